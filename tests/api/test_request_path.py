"""One prediction's path through our files: each is entered once, and none calls back."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

from starlette.types import Message

from api.app import create_app
from settings import Settings
from tests.api.conftest import PATIENT, add_key
from tests.programs import ROOT

STATIONS = (
    "api/app.py",
    "api/auth/authorization.py",
    "api/routes/predict.py",
    "api/wire/decode.py",
    "pipeline/model/scorecard.py",
    "db/writer/writer.py",
)
LEAVES = {
    "api/auth/api_keys.py",
    "api/auth/rate_limit.py",
    "api/wire/body.py",
    "pipeline/model/scores.py",
    "pipeline/schema.py",
    "db/ids.py",
    "db/writer/committer.py",
}
"""Each is called by one station."""


def test_a_prediction_enters_six_stations_and_their_leaves_once_each(
    sqlite_url: str, model_dir: Path, keys_file: Path
) -> None:
    headers = {"Content-Type": "application/json", **add_key(keys_file, "predict")}
    service = create_app(
        Settings(database_url=sqlite_url, model_dir=model_dir, keys_file=keys_file)
    )
    scope = {
        "type": "http", "http_version": "1.1", "method": "POST", "path": "/predict",
        "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
    }  # fmt: skip
    statuses: list[int] = []
    entered: list[str] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": json.dumps(PATIENT).encode(), "more_body": False}

    async def send(message: Message) -> None:
        sys.setprofile(None)  # the row is committed
        statuses.append(message.get("status", 0))

    def profile(frame: FrameType, event: str, _: Any) -> None:
        file, back = frame.f_code.co_filename, frame.f_back
        if event == "call" and back is not None and back.f_code.co_filename != file:
            entered.append(file)
        if entered and file.endswith("committer.py"):
            sys.setprofile(None)  # what follows is the writing thread's, and the way back

    async def predict_twice() -> None:
        await service.service.open()
        await service(dict(scope), receive, send)  # fills the caches
        sys.setprofile(profile)
        await service(dict(scope), receive, send)
        await service.service.close()

    asyncio.run(predict_twice())

    assert statuses[::2] == [200, 200]
    ours = [file.removeprefix(f"{ROOT}/") for file in entered if file.startswith(f"{ROOT}/")]
    path = [file for file in ours if not file.startswith(("tests/", "api/server/", ".venv"))]
    assert tuple(file for file in path if file in STATIONS) == STATIONS
    assert Counter(path) == Counter([*STATIONS, *LEAVES])
