"""How the model servers of others are asked; the servers themselves take minutes to install."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from perf.peers import services
from perf.peers.services import PEERS, Peer, PeerFailed

PATIENT = {
    "age": 63.0, "sex": "male", "cp": "typical angina", "trestbps": 145.0, "chol": None,
    "fbs": True, "restecg": "normal", "thalach": 150.0, "exang": False, "oldpeak": 2.3,
    "slope": "flat", "ca": 0, "thal": None,
}  # fmt: skip
CODES = [63.0, 1.0, 1.0, 145.0, 0.0, 1.0, 0.0, 150.0, 0.0, 2.3, 2.0, 0.0, 0.0]


def peer(name: str) -> Peer:
    return next(one for one in PEERS if one.name == name)


def body(name: str, tmp_path: Path) -> dict[str, object]:
    file = tmp_path / "bodies.jsonl"
    peer(name).write_bodies([json.dumps(PATIENT).encode()], file)
    found: dict[str, object] = json.loads(file.read_text())
    return found


def test_array_models_get_the_uci_codes_with_0_for_missing(tmp_path: Path) -> None:
    assert body("LitServe, array", tmp_path) == {"values": CODES}
    assert body("BentoML, array", tmp_path) == {"values": CODES}
    assert body("MLServer, array", tmp_path)["inputs"] == [
        {"name": "x", "shape": [1, 13], "datatype": "FP64", "data": CODES}
    ]


def test_pipelines_get_the_patient_in_words(tmp_path: Path) -> None:
    assert body("LitServe, pipeline", tmp_path) == PATIENT
    assert body("BentoML, pipeline", tmp_path) == {"patient": PATIENT}


def test_mlserver_gets_a_typed_column_per_finding(tmp_path: Path) -> None:
    columns = body("MLServer, pipeline", tmp_path)["inputs"]

    assert isinstance(columns, list)
    assert {column["name"]: column["datatype"] for column in columns} == {
        "age": "FP64", "sex": "BYTES", "cp": "BYTES", "trestbps": "FP64", "chol": "FP64",
        "fbs": "BOOL", "restecg": "BYTES", "thalach": "FP64", "exang": "BOOL", "oldpeak": "FP64",
        "slope": "BYTES", "ca": "FP64", "thal": "FP64",
    }  # fmt: skip


@pytest.mark.parametrize("package", ["bentoml", "litserve", "mlserver"])
def test_each_peer_is_locked_with_hashes(package: str) -> None:
    lock = Path(services.__file__).with_name(f"{package}.txt").read_text()

    packages = [line for line in lock.splitlines() if line[:1].isalnum()]
    assert any(line.startswith(f"{package}==") for line in packages)
    assert all(line.endswith("\\") for line in packages)  # hashes follow


def test_a_peer_that_cannot_be_installed_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "ROOT", tmp_path)
    monkeypatch.setattr(services, "_ENVIRONMENTS", tmp_path / "peers")
    (tmp_path / "perf" / "peers").mkdir(parents=True)
    (tmp_path / "perf" / "peers" / "litserve.txt").write_text("litserve==0\n")
    (tmp_path / "install.sh").write_text(
        "#!/bin/sh\necho starting >&2\necho no network >&2\nexit 1\n"
    )
    (tmp_path / "install.sh").chmod(0o755)

    with pytest.raises(PeerFailed, match="cannot be installed: no network"):
        peer("LitServe, array").start(set())
