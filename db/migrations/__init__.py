"""How the tables came to be, one file per step; `cardiowatch migrate` applies what is missing."""

FIRST_FEATURES = (
    "age", "sex", "cp", "trestbps", "chol", "fbs", "restecg", "thalach", "exang", "oldpeak",
    "slope", "ca", "thal",
)  # fmt: skip
"""The features of migration 0001, which seals of format 1 cover."""
