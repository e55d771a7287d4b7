"""One prediction: risk, explanation, details."""
