"""Load tests, fault injection, and replayed patients."""
