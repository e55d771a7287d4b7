"""A monitoring run: what it reads, checks and concludes."""
