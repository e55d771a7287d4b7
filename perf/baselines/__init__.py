"""Services to compare ours with: what others would build, and ours without its log.

Each answers `POST /predict` with the same bodies; none of them stores a row.
"""
