"""The Poisoning page: its figures and its panels."""
