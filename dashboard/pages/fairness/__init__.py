"""The Fairness page: its figures and its panels."""
