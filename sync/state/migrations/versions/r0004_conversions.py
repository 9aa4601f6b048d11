"""Outcomes told to ad and analytics platforms."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from config.errors import StateUnusable

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "conversions",
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("object", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("lead", sa.Text(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("event_at", sa.Text(), nullable=False),
        sa.Column("value", sa.Text()),
        sa.Column("reason", sa.Text()),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("connection", "object", "event_id"),
        sqlite_with_rowid=False,
    )
    op.create_index("conversions_by_lead", "conversions", ["lead"])
    due = sa.text("state = 'due'")
    op.create_index("conversions_due", "conversions", ["connection", "object"], sqlite_where=due, postgresql_where=due)


def downgrade() -> None:
    raise StateUnusable("A schema is not taken back.", fix="Restore a backup made before the upgrade.")
