"""Counts of values for each hour and day, kept beside the log."""
