"""Train the model: audit the data, fit the scorecard, measure it, write the model folder."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from pipeline.data import HEART_CSV, DataError, read
from pipeline.design import design
from pipeline.fit import newton
from pipeline.masks import SITES, mask
from pipeline.model import from_json
from pipeline.scorecard import build, standardise, write_bundle
from settings import Settings

SEED = 1988
N_SETS = 400


def main() -> int:
    """Run the training from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=HEART_CSV)
    parser.add_argument("--model-dir", type=Path, default=Settings().model_dir)
    arguments = parser.parse_args()
    try:
        patients = read(arguments.data)
    except DataError as error:
        print(f"train: {error}", file=sys.stderr)
        return 1
    if patients.features is None or patients.disease is None:
        return 1
    rows = patients.features.to_numpy()
    y = patients.disease.to_numpy()
    center, scale = standardise(rows)
    rng = np.random.default_rng(SEED)
    copies = [rows] + [mask(rows, site, rng) for site in SITES]
    share = [0.5] + [0.125] * 4
    x = np.vstack([design(copy, center, scale) for copy in copies])
    yy = np.tile(y, len(copies))
    beta = newton(x, yy, np.repeat(share, len(rows)), 0.3)
    n = len(rows)
    counts = np.stack(
        [np.bincount((rng.random(n) * n).astype(int), minlength=n) for _ in range(N_SETS)]
    )
    weights = np.hstack([counts * s for s in share])
    sets = newton(x, yy, weights, 0.3)
    provenance = {"data": arguments.data.name, "sha256": patients.sha256, "n": n}
    text = build(beta, sets, rows, center, scale, provenance)
    write_bundle(arguments.model_dir, text, {"note": "preliminary"})
    print(f"model {from_json(text).version} in {arguments.model_dir}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
