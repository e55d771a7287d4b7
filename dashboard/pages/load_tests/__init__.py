"""The Load tests page: its figures and its panels."""
