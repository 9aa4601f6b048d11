"""Deals that we made elsewhere of a deal."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from config.errors import StateUnusable

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "copies",
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("object", sa.Text(), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.Column("home_connection", sa.Text(), nullable=False),
        sa.Column("home_object", sa.Text(), nullable=False),
        sa.Column("home_record", sa.Text(), nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("connection", "object", "record"),
        sa.UniqueConstraint("home_connection", "home_object", "home_record", "connection", "object"),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    raise StateUnusable("A schema is not taken back.", fix="Restore a backup made before the upgrade.")
