"""The Poisoning page: charts and panels."""
