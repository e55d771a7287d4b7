"""Login, roles, and the filter before every request."""
