"""The gate for newly labelled patients: may they enter training."""
