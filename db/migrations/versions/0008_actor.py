"""The acting user of each row (HMAC)."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("predictions", sa.Column("actor", sa.LargeBinary()))
