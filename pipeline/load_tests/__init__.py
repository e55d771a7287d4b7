"""Records of load tests and of autoscaling, as they are stored and shown."""
