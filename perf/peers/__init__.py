"""Model servers of others, each in an environment of its own, serving the same two models.

What runs in those environments (`litserve.py`, `bentoml.py`, `mlserver.py`) imports nothing of ours
but `perf.baselines.models`.
"""
