"""Schemathesis over the whole OpenAPI document of the real service: `python -m tests.hostile.fuzz`.

Starts the service with keys on a scratch database and lets Schemathesis make requests from the
document, right and wrong ones, each alone and in a row through the ids that predictions answer
with. Once per coding, because which patient is right depends on the query, which JSON Schema
cannot say. Exits with 1 on any answer of 5xx, any that is not as documented, any wrong request that
is accepted, any right one that is refused, and when fewer cases were tried than asked for.
"""

from __future__ import annotations

import argparse
import copy
import json
import signal
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

from api.auth.api_keys import create_key, edit_keys
from db.audit.seal_key import create_seal_key
from db.migrate import migrate
from perf.load.server_process import ROOT, Server, ServerFailed
from pipeline.dataset.heart import Coding
from settings import load_settings

TOOL = ROOT / ".venv-fuzz" / "bin" / "schemathesis"

_IN_THE_PAST = (
    r"^(19\d\d|20[01]\d)-(0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])"
    r"T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(Z|[+-](0\d|1[0-3]):[0-5]\d)$"
)
"""That a time must not lie in the future is one more thing that JSON Schema cannot say."""


def in_one_coding(document: dict[str, Any], coding: Coding) -> dict[str, Any]:
    """Return the OpenAPI document of a service that knows one coding and asks for a key."""
    pin_to_cores = copy.deepcopy(document)
    for calls in pin_to_cores["paths"].values():
        for call in calls.values():
            call["security"] = [way for way in call["security"] if way] or [{}]
    for path in ("/predict", "/predict/batch"):
        call = pin_to_cores["paths"][path]["post"]
        chosen = next(p for p in call["parameters"] if p["name"] == "coding")
        chosen["required"] = coding is not Coding.LABELS
        chosen["schema"] = {"type": "string", "enum": [coding]}
        patient = {"$ref": f"#/components/schemas/Patient_{coding}"}
        schema = {"type": "array", "minItems": 1, "maxItems": 1000, "items": patient}
        call["requestBody"]["content"]["application/json"] = {
            "schema": patient if path == "/predict" else schema
        }
    sent = pin_to_cores["paths"]["/predictions/{id}/outcome"]["put"]["requestBody"]["content"]
    sent["application/json"]["schema"]["properties"]["observed_at"] = {
        "anyOf": [{"type": "string", "pattern": _IN_THE_PAST}, {"type": "null"}]
    }
    return pin_to_cores


def fuzz(
    server: Server, key: str, coding: Coding, examples: int, seed: int, folder: Path
) -> dict[str, Any]:
    """Run Schemathesis once; return its report."""
    base = f"http://127.0.0.1:{server.port}"
    headers = {"Authorization": f"Bearer {key}"}
    request = urllib.request.Request(f"{base}/openapi.json", headers=headers)  # noqa: S310
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(request, timeout=30) as reply:
        document = json.load(reply)
    schema, report = folder / f"{coding}.json", folder / f"{coding}-report.json"
    schema.write_text(json.dumps(in_one_coding(document, coding)))
    subprocess.run(
        [
            str(TOOL), "run", str(schema), "--url", base, "--seed", str(seed),
            "--max-examples", str(examples), "--continue-on-failure", "--generation-database=none",
            "--header", f"Authorization: Bearer {key}", "--suppress-health-check", "all",
            "--report", "json", "--report-json-path", str(report),
        ],
        check=False, cwd=folder,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(report.read_text())
    return found


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.hostile.fuzz", description=__doc__)
    parser.add_argument("--examples", type=int, default=600, help="most per call and coding")
    parser.add_argument("--at-least", type=int, default=20_000, help="cases; fewer are a failure")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--model-dir", type=Path, help="default: CARDIOWATCH_MODEL_DIR")
    return parser.parse_args()


def main() -> int:
    """Fuzz; return 0 when nothing was found."""
    options = _parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    tried, failures = 0, 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        url, keys_file = f"sqlite:///{folder}/log.db", folder / "keys.json"
        create_seal_key(Path(f"{folder}/log.db.key"))  # or a Patient-Reference is refused
        migrate(url, lambda _: None)
        with edit_keys(keys_file) as keys:
            key, text = create_key("fuzz", ("admin",))
            keys.append(key)
        model = options.model_dir or load_settings().model_dir
        try:
            with Server(
                ("-m", "api"), health="/readyz", on=set(), database_url=url, keys_file=keys_file,
                model_dir=model,
            ) as server:  # fmt: skip
                for coding in Coding:
                    found = fuzz(server, text, coding, options.examples, options.seed, folder)
                    tried += found["test_cases"]["generated"]
                    failures += found["test_cases"]["with_failures"] + len(found["errors"])
        except (ServerFailed, OSError) as error:
            print(f"The service cannot be fuzzed: {error}", file=sys.stderr)
            return 1
    print(f"{tried:,} cases, {failures} failed (seed {options.seed})")
    if tried < options.at_least:
        print(f"Fewer than the {options.at_least:,} asked for", file=sys.stderr)
    return 1 if failures or tried < options.at_least else 0


if __name__ == "__main__":
    sys.exit(main())
