"""May newly labelled patients enter training? `check` and the program `python -m pipeline.gate`."""
