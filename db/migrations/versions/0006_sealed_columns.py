"""The columns that each writer seals, in its signed record."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("writers", sa.Column("columns", sa.Text()))
    op.add_column("writers", sa.Column("signature", sa.LargeBinary()))
