"""The Explanations page: its figures and its panels."""
