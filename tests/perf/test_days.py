"""Retention measured, in small."""

from __future__ import annotations

import re

from tests.programs import run


def test_days_are_dropped_and_deleted_and_the_rest_verifies(postgres_server: object) -> None:
    ended = run("-m", "perf.days", "--rows", "450", "--more", "2", timeout=600)

    assert ended.returncode == 0, ended.stdout + ended.stderr
    rows = dict(re.findall(r"\| (dropped|deleted) \| (\d+) \|", ended.stdout))
    assert 60 <= int(rows["dropped"]) <= 75  # five days of fifteen rows, the first one a part
    assert int(rows["deleted"]) == 15
    assert ended.stdout.endswith(" 0 findings of db.verify\n")
