"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from config.errors import StateUnusable

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "activities",
        sa.Column("stream", sa.Integer(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=True),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("campaign", sa.Text(), nullable=True),
        sa.Column("title", sa.Text(), nullable=True),
        sa.Column("url", sa.Text(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("dirty", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.PrimaryKeyConstraint("stream", "key"),
        sqlite_with_rowid=False,
    )
    op.create_index("activities_by_email", "activities", ["email"], unique=False)
    op.create_index("activities_by_person", "activities", ["stream", "person"], unique=False)
    op.create_index(
        "activities_dirty",
        "activities",
        ["stream", "key"],
        unique=False,
        sqlite_where=sa.text("dirty"),
        postgresql_where=sa.text("dirty"),
    )
    op.create_table(
        "budgets",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("tat", sa.Float(), nullable=False),
        sa.Column("blocked_until", sa.Float(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_table(
        "conflicts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("connection", sa.Text(), server_default="", nullable=False),
        sa.Column("object", sa.Text(), server_default="", nullable=False),
        sa.Column("record", sa.Text(), server_default="", nullable=False),
        sa.Column("lead", sa.Text(), server_default="", nullable=False),
        sa.Column("field", sa.Text(), server_default="", nullable=False),
        sa.Column("options", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("decision", sa.Text(), nullable=True),
        sa.Column("first_at", sa.Text(), nullable=False),
        sa.Column("last_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("kind", "connection", "object", "record", "lead", "field"),
    )
    op.create_table(
        "connections",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("platform", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), server_default="", nullable=False),
        sa.Column("account_name", sa.Text(), server_default="", nullable=False),
        sa.Column("approved_at", sa.Text(), nullable=True),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "deal_people",
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("deal_object", sa.Text(), nullable=False),
        sa.Column("deal", sa.Text(), nullable=False),
        sa.Column("person_object", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("connection", "source", "deal_object", "deal", "person_object", "person"),
    )
    op.create_index("deal_people_by_deal", "deal_people", ["connection", "deal_object", "deal"], unique=False)
    op.create_index("deal_people_by_person", "deal_people", ["connection", "person_object", "person"], unique=False)
    op.create_table(
        "handoffs",
        sa.Column("lead", sa.Text(), nullable=False),
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("object", sa.Text(), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.Column("score", sa.Integer(), nullable=False),
        sa.Column("reasons", sa.Text(), nullable=False),
        sa.Column("brief", sa.Text(), nullable=False),
        sa.Column("brief_state", sa.Text(), nullable=False),
        sa.Column("brief_record", sa.Text(), server_default="", nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("lead", "connection"),
    )
    op.create_index("handoffs_due", "handoffs", ["connection", "brief_state"], unique=False)
    op.create_table(
        "identities",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("lead", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "value"),
        sqlite_with_rowid=False,
    )
    op.create_index("identities_by_lead", "identities", ["lead"], unique=False)
    op.create_table(
        "journal",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("op", sa.Text(), nullable=False),
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("object", sa.Text(), nullable=False),
        sa.Column("verb", sa.Text(), nullable=False),
        sa.Column("record", sa.Text(), server_default="", nullable=False),
        sa.Column("lead", sa.Text(), nullable=True),
        sa.Column("before", sa.Text(), nullable=False),
        sa.Column("after", sa.Text(), nullable=False),
        sa.Column("remote", sa.Text(), nullable=False),
        sa.Column("reasons", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.Column("settled_at", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("op"),
    )
    op.create_index("journal_by_lead", "journal", ["lead"], unique=False)
    op.create_index("journal_by_run", "journal", ["run"], unique=False)
    op.create_index(
        "journal_open",
        "journal",
        ["connection", "state"],
        unique=False,
        sqlite_where=sa.text("state in ('intent', 'sent', 'in_doubt')"),
        postgresql_where=sa.text("state in ('intent', 'sent', 'in_doubt')"),
    )
    op.create_table(
        "leads",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("reasons", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="live", nullable=False),
        sa.Column("into", sa.Text(), nullable=True),
        sa.Column("score", sa.Integer(), server_default="0", nullable=False),
        sa.Column("stage", sa.Text(), server_default="", nullable=False),
        sa.Column("qualified_at", sa.Text(), nullable=True),
        sa.Column("qualified_why", sa.Text(), nullable=True),
        sa.Column("handed_off_at", sa.Text(), nullable=True),
        sa.Column("dirty", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "leads_dirty",
        "leads",
        ["dirty", "id"],
        unique=False,
        sqlite_where=sa.text("dirty > 0"),
        postgresql_where=sa.text("dirty > 0"),
    )
    op.create_table(
        "leases",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("token", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "meta",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "quarantine",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("direction", sa.Text(), nullable=False),
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("object", sa.Text(), nullable=False),
        sa.Column("record", sa.Text(), server_default="", nullable=False),
        sa.Column("lead", sa.Text(), server_default="", nullable=False),
        sa.Column("field", sa.Text(), server_default="", nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("fix", sa.Text(), server_default="", nullable=False),
        sa.Column("fingerprint", sa.Text(), server_default="", nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="1", nullable=False),
        sa.Column("first_at", sa.Text(), nullable=False),
        sa.Column("last_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("direction", "connection", "object", "record", "lead", "field"),
    )
    op.create_index("quarantine_open", "quarantine", ["state"], unique=False)
    op.create_table(
        "records",
        sa.Column("stream", sa.Integer(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("raw_hash", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("changed", sa.Text(), nullable=True),
        sa.Column("held", sa.Text(), nullable=True),
        sa.Column("version", sa.Text(), server_default="", nullable=False),
        sa.Column("first_at", sa.Text(), nullable=False),
        sa.Column("lead", sa.Text(), nullable=True),
        sa.Column("gone", sa.Text(), nullable=True),
        sa.Column("into", sa.Text(), nullable=True),
        sa.Column("problems", sa.Text(), nullable=True),
        sa.Column("dirty", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.PrimaryKeyConstraint("stream", "id"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "records_by_lead",
        "records",
        ["lead"],
        unique=False,
        sqlite_where=sa.text("lead IS NOT NULL"),
        postgresql_where=sa.text("lead IS NOT NULL"),
    )
    op.create_index(
        "records_dirty",
        "records",
        ["stream", "id"],
        unique=False,
        sqlite_where=sa.text("dirty"),
        postgresql_where=sa.text("dirty"),
    )
    op.create_table(
        "runs",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("command", sa.Text(), nullable=False),
        sa.Column("connections", sa.Text(), nullable=False),
        sa.Column("options", sa.Text(), server_default="{}", nullable=False),
        sa.Column("stage", sa.Text(), server_default="", nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("counts", sa.Text(), server_default="{}", nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("token", sa.Integer(), server_default="0", nullable=False),
        sa.Column("due", sa.Text(), nullable=True),
        sa.Column("started_at", sa.Text(), nullable=False),
        sa.Column("finished_at", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("runs_by_start", "runs", ["started_at"], unique=False)
    op.create_table(
        "streams",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("object", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("cursor", sa.Text(), nullable=True),
        sa.Column("complete", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("mapping", sa.Text(), server_default="", nullable=False),
        sa.Column("pulled_at", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("connection", "object"),
    )
    op.create_table(
        "tokens",
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("ciphertext", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("connection", "name"),
    )


def downgrade() -> None:
    """There is nothing before the first schema."""
    raise StateUnusable("The schema cannot go back.", fix="Restore a backup made before the upgrade.")
