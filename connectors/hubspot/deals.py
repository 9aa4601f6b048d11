"""Writing deals: stage and pipeline by their labels, as they are read; the person as an association of the create.

A create carries the name of the deal's home in a property that HubSpot keeps unique, so none can be made twice, and one
whose answer was lost is found by it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from config.errors import ClosedloopError, InDoubt, RecordRejected
from connectors.api import Operation, Record, Result, Verb
from connectors.hubspot.client import BATCH, Client, Item
from connectors.hubspot.writes import push_records

STAGE, PIPELINE = "stage_label", "pipeline_label"
READ_ONLY = ("stage_closed", "stage_won")
"""What follows from the stage."""

Stages = Mapping[str, Mapping[str, Any]]
"""`pipeline/stage` (ids) -> its labels, in the order in which they are shown."""


def push_deals(
    client: Client, operations: Sequence[Operation], stages: Stages, read: Callable[[Sequence[str]], list[Record]]
) -> Iterator[Result]:
    """Create and change deals, a hundred a call; each result with what the deal holds then, as `read` tells it."""
    stop: ClosedloopError | None = None
    for start in range(0, len(operations), BATCH):
        some = operations[start : start + BATCH]
        if stop is not None:
            yield from (Result(operation.key, operation.id, error=stop) for operation in some)
            continue
        refused, good = _worded(client, some, stages)
        results = [*refused, *push_records(client, good)]
        made = {operation.key for operation in good if operation.verb is Verb.CREATE}
        yield from _whole(results, made, read)
        halted = (result.error for result in results if not isinstance(result.error, RecordRejected | InDoubt))
        stop = next((error for error in halted if error is not None), None)


def _whole(
    results: Sequence[Result], made: set[str], read: Callable[[Sequence[str]], list[Record]]
) -> Iterator[Result]:
    """The results with what the answers leave out: that what was `made` is new, and what a deal holds (whether it is
    won is told by its stage), for which they are read again."""
    done = [result.id for result in results if result.error is None]
    try:
        found = {record.id: record for record in (read(done) if done else ())}
    except ClosedloopError:  # they are written; what they hold is told by the next pull
        found = {}
    for result in results:
        if result.error is not None:
            yield result
        else:
            yield replace(result, created=result.key in made, record=found.get(result.id))


def _worded(client: Client, operations: Sequence[Operation], stages: Stages) -> tuple[list[Result], list[Operation]]:
    """The operations in HubSpot's ids, and the results of those that cannot be."""
    refused: list[Result] = []
    good: list[Operation] = []
    standing = _pipelines_of(client, [op.id for op in operations if op.id and _needs_pipeline(op, stages)])
    for operation in operations:
        try:
            good.append(replace(operation, values=_values(operation, stages, standing.get(operation.id, ""))))
        except RecordRejected as error:
            error.object, error.record = operation.object, operation.id
            refused.append(Result(operation.key, operation.id, error=error))
    return refused, good


def _needs_pipeline(operation: Operation, stages: Stages) -> bool:
    """Whether the deal's own pipeline says which stage is meant."""
    several = len({key.partition("/")[0] for key in stages}) > 1
    return several and STAGE in operation.values and PIPELINE not in operation.values


def _pipelines_of(client: Client, ids: Sequence[str]) -> dict[str, str]:
    items: Iterable[Item] = client.read("deals", ids, ("pipeline",)).values() if ids else ()
    return {item.id: str(orjson.loads(bytes(item.properties)).get("pipeline") or "") for item in items}


def _values(operation: Operation, stages: Stages, pipeline: str) -> dict[str, Any]:
    values = {name: value for name, value in operation.values.items() if name not in (STAGE, PIPELINE)}
    for name in READ_ONLY:
        if name in values:
            raise _refused(f"{name} follows from the stage.", "Map it with direction: pull.", name, "read_only")
    creating = operation.verb is Verb.CREATE
    if creating:
        _check(values)
    if not creating and STAGE not in operation.values and PIPELINE not in operation.values:
        return values
    if creating and "dealstage" in values:
        return values
    label, wanted = operation.values.get(STAGE), operation.values.get(PIPELINE)
    group, stage = _place(stages, label, wanted, pipeline)
    return {**values, "pipeline": group, "dealstage": stage}


def _check(values: Mapping[str, Any]) -> None:
    if not str(values.get("person") or "").startswith("contacts/"):
        raise _refused("A deal is made for a contact.", "Look at the mapping of people.", "person", "person")
    if not values.get("dealname"):
        raise _refused("A deal needs a name.", "Map its name to dealname.", "dealname", "field_missing")


def _place(stages: Stages, label: Any, wanted: Any, pipeline: str) -> tuple[str, str]:
    """(pipeline, stage) by id: of the stage called `label`, or the first, in the pipeline called `wanted`, or the
    deal's own, or the first there is."""
    found = [key.partition("/")[::2] for key, told in stages.items() if wanted is None or _same(told[PIPELINE], wanted)]
    if not found:
        shown = ", ".join(dict.fromkeys(str(told[PIPELINE]) for told in stages.values()))
        raise _refused("There is no such pipeline.", f"There are: {shown}.", PIPELINE, "unknown_pipeline")
    group = found[0][0] if wanted is not None else pipeline or found[0][0]
    here = {stage: stages[f"{group}/{stage}"] for its, stage in found if its == group}
    named = [stage for stage, told in here.items() if label is None or _same(told[STAGE], label)]
    if not named:
        shown = ", ".join(str(told[STAGE]) for told in here.values())
        raise _refused("There is no such stage in the pipeline.", f"It has: {shown}.", STAGE, "unknown_stage")
    return group, named[0]


def _same(told: Any, label: Any) -> bool:
    return str(told or "").strip().casefold() == str(label or "").strip().casefold()


def _refused(what: str, fix: str, field: str, code: str) -> RecordRejected:
    return RecordRejected(what, fix=fix, field=field, code=code)
