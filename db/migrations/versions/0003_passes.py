"""Monitoring runs: one report per window, source and model, with its status."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    kind = sa.Column("kind", sa.String(32), nullable=False, server_default="monitoring")
    op.add_column("reports", kind)
    op.add_column("reports", sa.Column("key", sa.String(200)))
    op.add_column("reports", sa.Column("source", sa.String(16)))
    op.add_column("reports", sa.Column("since", TIME))
    op.add_column("reports", sa.Column("until", TIME))
    op.add_column("reports", sa.Column("status", sa.String(8)))
    op.add_column("reports", sa.Column("verdict", sa.Text()))
    op.create_index("ix_reports_kind_key", "reports", ["kind", "key"], unique=True)
    op.create_index("ix_reports_kind_source_until", "reports", ["kind", "source", "until"])
