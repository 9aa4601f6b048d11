"""Outreach held against recorded answers and the vendor's description, counted; the tests beside it judge the same."""

from __future__ import annotations

import orjson

from connectors.api import Connector
from connectors.outreach.objects import OBJECTS
from connectors.outreach.sandbox import OutreachSandbox
from tests.connectors.surroundings import pulled
from tests.connectors.truth import Truth
from tests.connectors.wire import judged


def replay(outreach: OutreachSandbox, connector: Connector) -> tuple[int, list[str]]:
    """The recorded lists through the connector: how many records, and the members of them that were lost."""
    from tests.connectors.outreach.test_recorded import LISTED, bodies, told

    records, lost = 0, []
    for file, object in LISTED.items():
        body = bodies()[file]
        rows = body["data"] if isinstance(body["data"], list) else [body["data"]]
        told(outreach, OBJECTS[object].path, {**body, "data": rows})
        names = sorted({name for row in rows for name in row["attributes"]})
        found, _ = pulled(connector, object, None, ["id", *names])
        for record, row in zip(found, rows, strict=True):
            raw = orjson.loads(record.raw)
            records += 1
            lost += [f"{file}: {name}" for name, value in row["attributes"].items() if raw.get(name, ...) != value]
    return records, lost


def measure() -> Truth:
    """Bodies replayed or sorted as refusals, kinds of bodies sent, and the sandbox's differences in shape."""
    from tests.connectors.outreach.test_recorded import EXPLAINED, bodies, compared, connected
    from tests.connectors.outreach.test_wire import described, toured

    with connected() as (outreach, connector):
        _, lost = replay(outreach, connector)
    with connected() as (outreach, connector):
        seen = {difference for some in compared(outreach, connector).values() for difference in some}
    operations, invalid = judged(toured().log, described)
    used = len(bodies()) - 1  # the recorded description is an older one than the vendor's
    return Truth(used, len(lost), len(operations), len(invalid), len(seen), len(seen & set(EXPLAINED)))
