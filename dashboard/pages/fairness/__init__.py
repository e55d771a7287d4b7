"""The Fairness page: charts and panels."""
