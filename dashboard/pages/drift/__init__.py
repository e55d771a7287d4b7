"""The Drift page: what it reads, its figures and its panels."""
