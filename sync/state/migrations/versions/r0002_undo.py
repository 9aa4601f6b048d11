"""What undo needs: the journal says what was made and when values count from; wishes taken back are remembered."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from config.errors import StateUnusable

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("journal", sa.Column("created", sa.Boolean(), nullable=True))
    op.add_column("journal", sa.Column("times", sa.Text(), nullable=True))
    op.add_column("journal", sa.Column("undoes", sa.Text(), nullable=True))
    op.create_table(
        "pins",
        sa.Column("stream", sa.Integer(), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.Column("field", sa.Text(), nullable=False),
        sa.Column("wish", sa.Text(), nullable=False),
        sa.Column("holds", sa.Text(), nullable=False),
        sa.Column("run", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("stream", "record", "field"),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    raise StateUnusable("A schema is not taken back.", fix="Restore a backup made before the upgrade.")
