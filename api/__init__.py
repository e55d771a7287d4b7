"""The HTTP service: answers risk requests; every 200 is a committed row."""
