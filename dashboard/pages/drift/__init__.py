"""The Drift page: data, charts and panels."""
