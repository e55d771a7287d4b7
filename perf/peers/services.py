"""The measured peers: how each is started, and the requests it takes."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from typing import Any

from errors import CardiowatchError
from perf.baselines.models import encode_codes
from perf.load.server_process import ROOT, Server, ServerFailed

Json = dict[str, Any]
_ENVIRONMENTS = ROOT / "var" / "peers"
_QUIET = {"BENTOML_DO_NOT_TRACK": "True", "BENTOML_HOME": str(_ENVIRONMENTS / "bentoml-home")}
"""BentoML sends usage reports unless told not to; LitServe and MLServer do not."""


class PeerFailed(CardiowatchError):
    """A peer cannot be measured here; the message says why."""


@dataclass(frozen=True)
class Peer:
    """A model server with one of the two models.

    Attributes
    ----------
    name
        In the tables.
    package
        Names its environment and its locked requirements in this folder.
    command
        Arguments of its Python; `{port}` in them is replaced.
    health, path
        Paths of its readiness and of its predictions.
    body
        Turns a patient in labels into this server's request.
    """

    name: str
    package: str
    command: tuple[str, ...]
    health: str
    path: str
    body: Callable[[Json], Json]

    def write_bodies(self, patients: Iterable[bytes], file: Path) -> None:
        """Write the patients, each a JSON object in labels, as this server takes them."""
        lines = [json.dumps(self.body(json.loads(patient))) for patient in patients]
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def start(self, on: set[int]) -> Server:
        """Install the peer if necessary and start it on these cores.

        Raises
        ------
        PeerFailed
            It cannot be installed, or it does not start.
        """
        python = _install(self.package)
        log = _ENVIRONMENTS / f"{self.package}.log"
        try:
            return Server(
                self.command, health=self.health, on=on, python=python, log=log, variables=_QUIET
            )
        except ServerFailed as error:
            raise PeerFailed(f"{error}; var/peers/{log.name} says why") from None


def _install(package: str) -> Path:
    """Create the environment of a package from its locked requirements; return its Python."""
    folder = _ENVIRONMENTS / package
    lock = ROOT / "perf" / "peers" / f"{package}.txt"
    digest, stamp = hashlib.sha256(lock.read_bytes()).hexdigest(), folder / "installed"
    if not stamp.exists() or stamp.read_text() != digest:
        rmtree(folder, ignore_errors=True)
        done = subprocess.run(  # noqa: S603
            [ROOT / "install.sh", folder, lock],
            env=os.environ | {"PYTHON": sys.executable}, stderr=subprocess.PIPE, text=True,
            check=False,
        )  # fmt: skip
        if done.returncode:
            last = done.stderr.strip().splitlines()[-1:]
            raise PeerFailed(f"cannot be installed: {''.join(last)}")
        stamp.write_text(digest)
    return folder / "bin" / "python"


def _as_it_is(patient: Json) -> Json:
    return patient


def _as_patient(patient: Json) -> Json:
    return {"patient": patient}


def _as_values(patient: Json) -> Json:
    return {"values": encode_codes(patient)}


_PROBABILITY = [{"name": "predict_proba"}]


def _as_columns(patient: Json) -> Json:
    """Return a V2 inference request that MLServer turns into a DataFrame of one row."""
    return {
        "parameters": {"content_type": "pd"},
        "inputs": [_column(name, value) for name, value in patient.items()],
        "outputs": _PROBABILITY,
    }


def _column(name: str, value: Any) -> Json:
    column = {"name": name, "shape": [1], "data": [value]}
    if isinstance(value, bool):
        return column | {"datatype": "BOOL"}
    if isinstance(value, str):
        return column | {"datatype": "BYTES", "parameters": {"content_type": "str"}}
    return column | {"datatype": "FP64"}  # null becomes NaN


def _as_tensor(patient: Json) -> Json:
    codes = encode_codes(patient)
    tensor = {"name": "x", "shape": [1, len(codes)], "datatype": "FP64", "data": codes}
    return {"inputs": [tensor], "outputs": _PROBABILITY}


def _litserve(model: str, body: Callable[[Json], Json]) -> Peer:
    command = ("-m", "perf.peers.litserve", model, "{port}")
    return Peer(f"LitServe, {model}", "litserve", command, "/health", "/predict", body)


def _bentoml(model: str, service: str, body: Callable[[Json], Json]) -> Peer:
    command = ("-m", "bentoml", "serve", f"perf.peers.bentoml:{service}", "--port", "{port}")
    return Peer(f"BentoML, {model}", "bentoml", command, "/readyz", "/predict", body)


def _mlserver(model: str, body: Callable[[Json], Json]) -> Peer:
    command = ("-m", "perf.peers.mlserver", model, "{port}")
    path = "/v2/models/heart/infer"
    return Peer(f"MLServer, {model}", "mlserver", command, "/v2/models/heart/ready", path, body)


PEERS = (
    _mlserver("pipeline", _as_columns),
    _litserve("pipeline", _as_it_is),
    _bentoml("pipeline", "OnFrame", _as_patient),
    _mlserver("array", _as_tensor),
    _litserve("array", _as_values),
    _bentoml("array", "OnArray", _as_values),
)
