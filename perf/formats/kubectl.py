"""Parses the output of `kubectl get hpa NAME -w`.

```
NAME              REFERENCE                    TARGETS         MINPODS   MAXPODS   REPLICAS   AGE
cardiowatch-api   Deployment/cardiowatch-api   cpu: 210%/70%   1         3         1          5m30s
```

kubectl prints AGE in whole minutes after ten of them. If a line begins with a time such as
`2026-11-25T20:01:02Z`, that is used instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime

from pipeline.load_tests.autoscaling import AutoscalerSample, Autoscaling, UnreadableRecord

_STAMP = re.compile(r"(\d{4}-\d\d-\d\dT\S+)\s+(.*)")
_USED = re.compile(r"(?:cpu: )?(\d+|<unknown>)%?/(\d+)%")
_AGE = re.compile(r"(\d+)([ydhms])")
_SECONDS = {"y": 365 * 86_400, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
_COLUMNS = ("NAME", "TARGETS", "MINPODS", "MAXPODS", "REPLICAS", "AGE")


def parse_hpa(text: str) -> Autoscaling:
    """Parse what `kubectl get hpa NAME -w` printed.

    Raises
    ------
    UnreadableRecord
        There is no line of an autoscaler, several are mixed, or a line cannot be read.
    """
    rows = list(_rows(text))
    if not rows:
        raise UnreadableRecord(
            "no autoscaler in it: the output of kubectl get hpa NAME -w begins with NAME REFERENCE"
        )
    names = sorted({row["NAME"] for _, row in rows})
    if len(names) > 1:
        raise UnreadableRecord(f"several autoscalers ({', '.join(names)}): name one to kubectl")
    try:
        times = [_seconds(stamp, row["AGE"]) for stamp, row in rows]
        used = [_used(row["TARGETS"]) for _, row in rows]
        moments = [
            AutoscalerSample(time - times[0], cpu, int(row["REPLICAS"]))
            for time, (cpu, _), (_, row) in zip(times, used, rows, strict=True)
        ]
        last = rows[-1][1]
        return Autoscaling(
            names[0], used[-1][1], int(last["MINPODS"]), int(last["MAXPODS"]), moments
        )
    except ValueError as error:
        raise UnreadableRecord(f"a line cannot be read: {error}") from error


def _rows(text: str) -> Iterator[tuple[str | None, dict[str, str]]]:
    """Yield each line's time, if it has one, and its columns by name."""
    heads: list[str] = []
    for line in text.splitlines():
        stamped = _STAMP.match(line)
        stamp, rest = stamped.groups() if stamped else (None, line)
        cells = re.split(r"\s{2,}", rest.strip())
        if "REFERENCE" in cells:
            heads = cells
        elif len(cells) == len(heads):
            row = dict(zip(heads, cells, strict=True))
            if all(name in row for name in _COLUMNS):
                yield stamp, row


def _seconds(stamp: str | None, age: str) -> float:
    if stamp is not None:
        return datetime.fromisoformat(stamp).timestamp()
    parts = _AGE.findall(age)
    if not parts:
        raise ValueError(f"age {age!r}")
    return float(sum(int(number) * _SECONDS[unit] for number, unit in parts))


def _used(targets: str) -> tuple[int | None, int]:
    """Return CPU and its target in percent; other metrics are ignored."""
    found = _USED.search(targets)
    if found is None:
        raise ValueError(f"no CPU in {targets!r}")
    cpu, target = found.groups()
    return (None if cpu == "<unknown>" else int(cpu)), int(target)
