"""Data sets: reading, generating."""
