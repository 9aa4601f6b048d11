"""Leads that a person has kept apart: probable duplicates that are none."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from config.errors import StateUnusable

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "strangers",
        sa.Column("one", sa.Text(), nullable=False),
        sa.Column("other", sa.Text(), nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("one", "other"),
    )


def downgrade() -> None:
    raise StateUnusable("A schema is not taken back.", fix="Restore a backup made before the upgrade.")
