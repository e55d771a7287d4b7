"""Faults to inject: a broken database, a broken network, a load balancer."""
