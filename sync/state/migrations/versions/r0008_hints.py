"""What webhooks said to read."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from config.errors import StateUnusable

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "hints",
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("object", sa.Text(), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.Column("told", sa.Integer(), nullable=False, server_default="1"),
        sa.Column("first_at", sa.Text(), nullable=False),
        sa.Column("last_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("connection", "object", "record"),
        sqlite_with_rowid=False,
    )
    op.create_index("runs_of", "runs", ["connections", "started_at"])  # the daemon looks whenever a webhook comes
    op.create_index("runs_by_state", "runs", ["connections", "state"])


def downgrade() -> None:
    raise StateUnusable("A schema is not taken back.", fix="Restore a backup made before the upgrade.")
