"""Read-only, bounded queries of the log."""
