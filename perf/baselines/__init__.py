"""What others would build, and what the log costs: services to measure ours against.

Each answers `POST /predict` to the same bodies; none but ours keeps a row.
"""
