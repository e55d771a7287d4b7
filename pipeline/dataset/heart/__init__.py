"""What only the UCI heart-disease data need: codings, their detection, label and unit checks."""
