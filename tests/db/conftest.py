from __future__ import annotations

import pytest

import db.rollups.counts


@pytest.fixture
def url(database_url: str) -> str:
    """A migrated log on SQLite and on PostgreSQL."""
    return database_url


@pytest.fixture
def no_window_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count from the rollups even where a test has few rows."""
    monkeypatch.setattr(db.rollups.counts, "SMALL_WINDOW", 0)
