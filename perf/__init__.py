"""Load: replayed patients, load tests, crash tests."""
