"""When a write had left: what is in doubt is judged by that."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from config.errors import StateUnusable

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("journal", sa.Column("sent_at", sa.Text()))


def downgrade() -> None:
    raise StateUnusable("A schema is not taken back.", fix="Restore a backup made before the upgrade.")
