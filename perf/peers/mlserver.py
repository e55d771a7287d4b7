"""MLServer with its own scikit-learn runtime: `python -m perf.peers.mlserver pipeline|array PORT`.

`parallel_workers=0` predicts in the process that answers: the faster of its two modes on one core.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

import joblib
from mlserver import MLServer, ModelSettings, Settings
from mlserver.settings import ModelParameters
from mlserver_sklearn import SKLearnModel

from perf.baselines.models import array_model, pipeline
from perf.load.server_process import free_port


async def serve(folder: Path, chosen: str, port: int) -> None:
    """Serve one model until stopped."""
    file = folder / "model.joblib"
    joblib.dump(pipeline() if chosen == "pipeline" else array_model(), file)
    model = ModelSettings(
        name="heart", implementation=SKLearnModel, parameters=ModelParameters(uri=str(file))
    )
    settings = Settings(
        host="127.0.0.1", http_port=port, grpc_port=free_port(), metrics_endpoint=None,
        parallel_workers=0, debug=False, load_models_at_startup=True,
    )  # fmt: skip
    await MLServer(settings).start([model])


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        asyncio.run(serve(Path(made), sys.argv[1], int(sys.argv[2])))
