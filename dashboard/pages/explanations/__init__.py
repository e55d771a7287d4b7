"""The Explanations page: charts and panels."""
