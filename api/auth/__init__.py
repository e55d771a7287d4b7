"""API keys, roles, rate limit, patient reference, access log."""
