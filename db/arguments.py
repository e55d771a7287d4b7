"""Options shared by several commands."""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime
from typing import Any

import click

_REFERENCE = re.compile(r"[ -~]{1,64}")


class Time(click.ParamType[datetime]):
    """A time with its time zone, converted to UTC."""

    name = "time"

    def convert(self, value: Any, param: Any, ctx: Any) -> datetime:
        """Return the time; a usage error where it has no zone."""
        try:
            time = datetime.fromisoformat(value)
        except ValueError:
            self.fail("write it as 2026-11-24T00:00:00Z", param, ctx)
        if time.tzinfo is None:
            self.fail("give the time a zone, as in 2026-11-24T00:00:00Z", param, ctx)
        return time.astimezone(UTC)


class PatientReference(click.ParamType[str]):
    """A Patient-Reference; - = one line of standard input."""

    name = "reference"

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        """Return the reference; a usage error where the service would not accept it."""
        given = sys.stdin.buffer.readline().decode("latin-1").strip() if value == "-" else value
        if not _REFERENCE.fullmatch(given):
            self.fail("it must be 1 to 64 printable ASCII characters", param, ctx)
        return str(given)
