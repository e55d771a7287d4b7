"""The Load tests page: charts and panels."""
