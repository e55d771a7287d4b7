"""The only way rows get into the log: queued, committed in groups, acknowledged afterwards."""
