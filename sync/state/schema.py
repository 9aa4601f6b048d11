"""The tables. Migrations in `sync/state/migrations` build exactly these; a test compares.

Values are JSON text in the unified model's canonical forms; instants are text as `config.clock.stamp` writes them, so
that they sort; hashes are signed 64-bit. What could be derived is not stored, except where a column says for what.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    literal_column,
    text,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import CreateIndex
from sqlalchemy.sql.elements import ColumnElement

WHERE = "where"
"""In an index's `info`: of which rows it is. Both databases write it alike; SQLAlchemy's own options for it would load
both dialects, PostgreSQL's with asyncio, at every start."""


@compiles(CreateIndex)
def _partial(create: Any, compiler: Any, **options: Any) -> str:
    made: str = compiler.visit_create_index(create, **options)
    where = create.element.info.get(WHERE)
    return f"{made} WHERE {where}" if where else made


metadata = MetaData()

meta = Table(
    "meta",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

connections = Table(
    "connections",
    metadata,
    Column("name", Text, primary_key=True),
    Column("platform", Text, nullable=False),
    Column("account_id", Text, nullable=False, server_default=""),
    Column("account_name", Text, nullable=False, server_default=""),
    Column("approved_at", Text),  # when a person let the first writes through
    Column("created_at", Text, nullable=False),
)

streams = Table(
    "streams",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("connection", Text, nullable=False),
    Column("object", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("cursor", Text),
    Column("complete", Boolean, nullable=False, server_default=text("false")),  # the last pull went to its end
    Column("mapping", Text, nullable=False, server_default=""),  # hash of the mapping that read the records
    Column("pulled_at", Text),
    UniqueConstraint("connection", "object"),
)

records = Table(
    "records",
    metadata,
    Column("stream", Integer, nullable=False),
    Column("id", Text, nullable=False),
    Column("raw_hash", BigInteger, nullable=False),  # of the platform's bytes: equal means nothing to do
    Column("hash", BigInteger, nullable=False),  # of `body`
    Column("body", Text, nullable=False),  # the baseline: unified values this record is known to hold
    Column("changed", Text),  # {field: stamp} of fields that changed after the first absorb
    Column("held", Text),  # {field: [sent, returned]} where the platform rewrote what we sent
    Column("version", Text, nullable=False, server_default=""),
    Column("first_at", Text, nullable=False),  # version at the first absorb: when its values count from
    Column("lead", Text),  # the link
    Column("gone", Text),
    Column("into", Text),  # "object/id" of the survivor
    Column("problems", Text),  # [[field, code, reason]] of values that could not be read
    Column("dirty", Boolean, nullable=False, server_default=text("true")),  # absorbed, not yet decided upon
    PrimaryKeyConstraint("stream", "id"),
    Index("records_by_lead", "lead", info={WHERE: "lead IS NOT NULL"}),
    Index("records_dirty", "stream", "id", info={WHERE: "dirty"}),
    sqlite_with_rowid=False,
)

activities = Table(
    "activities",
    metadata,
    Column("stream", Integer, nullable=False),
    Column("key", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("at", Text, nullable=False),
    Column("person", Text),  # "object/id" on the same connection
    Column("email", Text),
    Column("campaign", Text),
    Column("title", Text),
    Column("url", Text),
    Column("detail", Text),
    Column("dirty", Boolean, nullable=False, server_default=text("true")),
    PrimaryKeyConstraint("stream", "key"),
    Index("activities_by_person", "stream", "person"),
    Index("activities_by_email", "email"),
    Index("activities_dirty", "stream", "key", info={WHERE: "dirty"}),
    sqlite_with_rowid=False,
)

leads = Table(
    "leads",
    metadata,
    Column("id", Text, primary_key=True),
    Column("body", Text, nullable=False),
    Column("reasons", Text, nullable=False),  # {field: provenance}
    Column("state", Text, nullable=False, server_default="live"),  # live, merged, forgotten (while platforms are asked)
    Column("into", Text),
    Column("score", Integer, nullable=False, server_default="0"),
    Column("stage", Text, nullable=False, server_default=""),
    Column("qualified_at", Text),
    Column("qualified_why", Text),  # [[points or condition, text]]
    Column("handed_off_at", Text),
    Column("dirty", Integer, nullable=False, server_default="1"),  # 0 at rest, 1 to merge, 2 to plan
    Column("created_at", Text, nullable=False),
    Column("updated_at", Text, nullable=False),
    Index("leads_dirty", "dirty", "id", info={WHERE: "dirty > 0"}),
)

identities = Table(
    "identities",
    metadata,
    Column("kind", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("lead", Text, nullable=False),
    PrimaryKeyConstraint("kind", "value"),
    Index("identities_by_lead", "lead"),
    sqlite_with_rowid=False,
)

deal_people = Table(  # associations folded: which lead's record is in which deal
    "deal_people",
    metadata,
    Column("connection", Text, nullable=False),
    Column("deal_object", Text, nullable=False),
    Column("deal", Text, nullable=False),
    Column("person_object", Text, nullable=False),
    Column("person", Text, nullable=False),
    Column("source", Text, nullable=False),  # "object/id" of the association record that says so
    Column("role", Text, nullable=False, server_default=""),
    PrimaryKeyConstraint("connection", "source", "deal_object", "deal", "person_object", "person"),
    Index("deal_people_by_person", "connection", "person_object", "person"),
    Index("deal_people_by_deal", "connection", "deal_object", "deal"),
)

runs = Table(
    "runs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("command", Text, nullable=False),
    Column("connections", Text, nullable=False),  # JSON list
    Column("options", Text, nullable=False, server_default="{}"),
    Column("stage", Text, nullable=False, server_default=""),
    Column("state", Text, nullable=False),  # running, done, held, failed, cancelled
    Column("counts", Text, nullable=False, server_default="{}"),
    Column("error", Text),
    Column("token", Integer, nullable=False, server_default="0"),
    Column("due", Text),  # the schedule tick it answers
    Column("started_at", Text, nullable=False),
    Column("finished_at", Text),
    Index("runs_by_start", "started_at"),
    Index("runs_of", "connections", "started_at"),
    Index("runs_by_state", "connections", "state"),
)

journal = Table(
    "journal",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("op", Text, nullable=False, unique=True),
    Column("run", Text, nullable=False),
    Column("connection", Text, nullable=False),
    Column("object", Text, nullable=False),
    Column("verb", Text, nullable=False),
    Column("record", Text, nullable=False, server_default=""),
    Column("lead", Text),
    Column("before", Text, nullable=False),  # unified values before, of the fields written
    Column("after", Text, nullable=False),  # unified values meant
    Column("remote", Text, nullable=False),  # {"values": ..., "match": ...} as sent
    Column("reasons", Text, nullable=False),
    Column("state", Text, nullable=False),  # intent, sent, settled, in_doubt, quarantined, withdrawn
    Column("error", Text),
    Column("created_at", Text, nullable=False),
    Column("settled_at", Text),
    Column("created", Boolean),  # of a create: whether the record is new; NULL where the answer did not say
    Column("times", Text),  # {field: [since when the old value counts, the new]}; "" where from the first absorb
    Column("undoes", Text),  # of an undo: {field: fingerprint of the wish that is taken back}
    Column("sent_at", Text),  # of one in doubt: it had left by then; NULL where a process died, until that is seen
    Index("journal_by_run", "run"),
    Index("journal_by_lead", "lead"),
    Index(
        "journal_open",
        "connection",
        "state",
        info={WHERE: "state in ('intent', 'sent', 'in_doubt')"},
    ),
)

quarantine = Table(
    "quarantine",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run", Text, nullable=False),
    Column("direction", Text, nullable=False),  # pull, push
    Column("connection", Text, nullable=False),
    Column("object", Text, nullable=False),
    Column("record", Text, nullable=False, server_default=""),
    Column("lead", Text, nullable=False, server_default=""),
    Column("field", Text, nullable=False, server_default=""),
    Column("code", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("fix", Text, nullable=False, server_default=""),
    Column("fingerprint", Text, nullable=False, server_default=""),  # of what was refused: the same is not sent again
    Column("state", Text, nullable=False),  # open, replaying, resolved, dismissed
    Column("attempts", Integer, nullable=False, server_default="1"),
    Column("first_at", Text, nullable=False),
    Column("last_at", Text, nullable=False),
    UniqueConstraint("direction", "connection", "object", "record", "lead", "field"),
    Index("quarantine_open", "state"),
)

conflicts = Table(
    "conflicts",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("kind", Text, nullable=False),  # match, field, write
    Column("connection", Text, nullable=False, server_default=""),
    Column("object", Text, nullable=False, server_default=""),
    Column("record", Text, nullable=False, server_default=""),
    Column("lead", Text, nullable=False, server_default=""),
    Column("field", Text, nullable=False, server_default=""),  # of a write: its verb
    Column("options", Text, nullable=False),  # the candidates, with their evidence
    Column("state", Text, nullable=False),  # open, decided, closed
    Column("decision", Text),
    Column("first_at", Text, nullable=False),
    Column("last_at", Text, nullable=False),
    Column("why", Text, nullable=False, server_default=""),  # restored: an older state may not decide it by itself
    UniqueConstraint("kind", "connection", "object", "record", "lead", "field"),
)

handoffs = Table(
    "handoffs",
    metadata,
    Column("lead", Text, nullable=False),
    Column("connection", Text, nullable=False),
    Column("object", Text, nullable=False),
    Column("record", Text, nullable=False),
    Column("score", Integer, nullable=False),
    Column("reasons", Text, nullable=False),
    Column("brief", Text, nullable=False),
    Column("brief_state", Text, nullable=False),  # none, due, written, archived, withdrawn
    Column("brief_record", Text, nullable=False, server_default=""),
    Column("at", Text, nullable=False),
    PrimaryKeyConstraint("lead", "connection"),
    Index("handoffs_due", "connection", "brief_state"),
)

conversions = Table(  # outcomes told, or to be told, to ad and analytics platforms
    "conversions",
    metadata,
    Column("connection", Text, nullable=False),
    Column("object", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("lead", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("event_at", Text, nullable=False),
    Column("value", Text),
    Column("reason", Text),
    Column("state", Text, nullable=False),  # due, sent, refused, unsure, merged
    Column("at", Text, nullable=False),
    PrimaryKeyConstraint("connection", "object", "event_id"),
    Index("conversions_by_lead", "lead"),
    Index("conversions_due", "connection", "object", info={WHERE: "state = 'due'"}),
    sqlite_with_rowid=False,
)

copies = Table(  # deals that we made elsewhere of a deal: each stands for one deal at home, and at home only once
    "copies",
    metadata,
    Column("connection", Text, nullable=False),
    Column("object", Text, nullable=False),
    Column("record", Text, nullable=False),
    Column("home_connection", Text, nullable=False),
    Column("home_object", Text, nullable=False),
    Column("home_record", Text, nullable=False),
    Column("at", Text, nullable=False),
    PrimaryKeyConstraint("connection", "object", "record"),
    UniqueConstraint("home_connection", "home_object", "home_record", "connection", "object"),
    sqlite_with_rowid=False,
)

pins = Table(  # wishes that a person took back: not written again while the record holds what it was given instead
    "pins",
    metadata,
    Column("stream", Integer, nullable=False),
    Column("record", Text, nullable=False),
    Column("field", Text, nullable=False),
    Column("wish", Text, nullable=False),  # fingerprint of the value taken back
    Column("holds", Text, nullable=False),  # fingerprint of the value that the record holds instead
    Column("run", Text, nullable=False),
    PrimaryKeyConstraint("stream", "record", "field"),
    sqlite_with_rowid=False,
)

strangers = Table(  # leads that look alike, and that a person has kept apart; `one` is the smaller
    "strangers",
    metadata,
    Column("one", Text, nullable=False),
    Column("other", Text, nullable=False),
    Column("at", Text, nullable=False),
    PrimaryKeyConstraint("one", "other"),
)

hints = Table(  # records that a webhook said to read, until they are
    "hints",
    metadata,
    Column("connection", Text, nullable=False),
    Column("object", Text, nullable=False),
    Column("record", Text, nullable=False),  # "" for all of the object
    Column("told", Integer, nullable=False, server_default="1"),  # how often: what is told while it is read stays
    Column("first_at", Text, nullable=False),
    Column("last_at", Text, nullable=False),
    PrimaryKeyConstraint("connection", "object", "record"),
    sqlite_with_rowid=False,
)

suppressed = Table(  # people who were forgotten: keyed digests of their addresses and records, and nothing else
    "suppressed",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("digest", Text, nullable=False, unique=True),
    Column("at", Text, nullable=False),
)

budgets = Table(
    "budgets",
    metadata,
    Column("key", Text, primary_key=True),
    Column("tat", Float, nullable=False),  # theoretical arrival time, seconds of the database's clock
    Column("blocked_until", Float, nullable=False, server_default="0"),
)

leases = Table(
    "leases",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("token", Integer, nullable=False),
    Column("expires_at", Float, nullable=False),
)

tokens = Table(
    "tokens",
    metadata,
    Column("connection", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("ciphertext", Text, nullable=False),
    Column("updated_at", Text, nullable=False),
    PrimaryKeyConstraint("connection", "name"),
)


# What the partial indexes are of, word for word. SQLite takes such an index only for a condition that holds its very
# words, no parameters in their place and nothing that comes to the same; else it goes through the whole table.

DIRTY_RECORDS: ColumnElement[Any] = literal_column("records.dirty")
DIRTY_ACTIVITIES: ColumnElement[Any] = literal_column("activities.dirty")
OPEN_WRITES: ColumnElement[Any] = journal.c.state.in_(
    [literal_column("'intent'"), literal_column("'sent'"), literal_column("'in_doubt'")]
)
"""Writes whose fate is not known."""


def dirty_leads(step: int) -> ColumnElement[Any]:
    """The leads that wait for a step: 1 to be merged, 2 to be planned."""
    return (leads.c.dirty > literal_column("0")) & (leads.c.dirty == step)
