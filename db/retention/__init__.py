"""Deletion of what is older than `RETENTION_DAYS`."""
