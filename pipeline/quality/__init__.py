"""Rules for the values of a day: missing, impossible, constant, repeated."""
