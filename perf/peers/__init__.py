"""Other projects' model servers, each in its own environment, serving the same two models.

What runs in those environments (`litserve.py`, `bentoml.py`, `mlserver.py`) imports nothing of ours
but `perf.baselines.models` and `perf.load.server_process`.
"""
