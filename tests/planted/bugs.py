"""The planted bugs: one line each, the kind a tired colleague writes. Every one of them must turn the suite red."""

from __future__ import annotations

from dataclasses import dataclass

ENGINE = "tests/core tests/mappings tests/state tests/engine tests/simulation"


@dataclass(frozen=True, slots=True)
class Bug:
    """`old` stands exactly once in `file` and becomes `new`; `tests` are where to look for red first."""

    name: str
    file: str
    old: str
    new: str
    tests: str = ENGINE


BUGS = (
    # what is read
    Bug(
        "a lagging index overwrites what is newer",
        "sync/absorb.py",
        "if record.version and record.version < before.version:",
        "if False:",
    ),
    Bug(
        "a field left out of an answer counts as blank",
        "sync/absorb.py",
        "body = {**old, **values}",
        "body = {**dict.fromkeys(old), **values}",
    ),
    Bug(
        "what a deleted record said is forgotten",
        "sync/absorb.py",
        "body = {**old, **self._last_words(record)}",
        "body = {}",
    ),
    Bug(
        "the baseline of an edit is not dated",
        "sync/absorb.py",
        "        changed[name] = since\n",
        "",
    ),
    Bug(
        "what the platform rewrote is taken for an edit",
        "sync/absorb.py",
        "if name in held and is_rewrite(held[name], value):",
        "if False:",
    ),
    Bug(
        "a cursor is saved though its page is not",
        "sync/absorb.py",
        "    counts = absorb_records(tx, stream, arrived, mapped, run=run, at=at, forgotten=forgotten)\n    save_cursor",
        "    counts = absorb_records(tx, stream, arrived[1:], mapped, run=run, at=at, forgotten=forgotten)\n    save_cursor",
    ),
    Bug(
        "an activity is stored twice",
        "sync/absorb.py",
        "fresh = [record for id, record in by_id.items() if id not in known and record.gone is None]",
        "fresh = [record for id, record in by_id.items() if record.gone is None]",
    ),
    Bug(
        "a moved meeting keeps its old time",
        "sync/retold.py",
        'rows.update(tx, activities, stream, "key", COLUMNS[1:], changed, also="dirty = true")',
        "pass",
        "tests/state/test_absorb.py",
    ),
    Bug(
        "a bad row is dropped without a word",
        "sync/absorb.py",
        'self.complaints.judge(name, [ValueProblem("", code, reason)])',
        "pass",
    ),
    Bug(
        "somebody forgotten is taken in again",
        "sync/absorb.py",
        "if self.forgotten is not None and self.forgotten.has_person(values):",
        "if False:",
    ),
    # who is who
    Bug(
        "a changed address breaks the link",
        "sync/core/resolve.py",
        "    if linked:\n        return Match(lead=linked)\n",
        "",
    ),
    Bug(
        "an ambiguous match is guessed",
        "sync/core/resolve.py",
        "    return Match(rivals=tuple(claims.items()))",
        "    return Match(lead=next(iter(claims)))",
    ),
    Bug(
        "an address is taken away from its owner",
        "sync/resolve.py",
        "            owner = self._owners.setdefault(key, lead)\n",
        "            owner = self._owners[key] = lead\n",
    ),
    Bug(
        "a merge on a platform is not followed",
        "sync/resolve.py",
        "if row.gone in (Gone.MERGED, Gone.CONVERTED) and row.into:",
        "if row.gone in (Gone.CONVERTED,) and row.into:",
    ),
    Bug(
        "two accounts' ids are taken for one",
        "sync/core/resolve.py",
        'if name.removesuffix("_id") not in vague]',
        "]",
    ),
    # whose value survives
    Bug(
        "a deleted record goes on speaking",
        "sync/core/merge.py",
        "if record.gone and field.rule not in _LASTING:",
        "if False:",
    ),
    Bug(
        "a blank overwrites a value",
        "sync/core/merge.py",
        'return policy == "known" or (policy == "clear" and name in record.changed)',
        "return True",
    ),
    Bug(
        "the oldest value wins",
        "sync/core/merge.py",
        "return max(voices, key=lambda voice: (voice.at, voice.source == incumbent, voice.source))",
        "return min(voices, key=lambda voice: (voice.at, voice.source == incumbent, voice.source))",
    ),
    Bug(
        "the order of arrival decides a tie",
        "sync/core/merge.py",
        "return max(voices, key=lambda voice: (voice.at, voice.source == incumbent, voice.source))",
        "return max(voices, key=lambda voice: voice.at)",
    ),
    Bug(
        "consent is decided by the latest word",
        "sync/core/merge.py",
        "best = max(rank.get(voice.value, -1) for voice in voices)",
        "best = rank.get(_latest(voices, incumbent).value, -1)",
    ),
    # what is written
    Bug(
        "consent is loosened on the target",
        "sync/core/plan.py",
        "known.options.index(want) > known.options.index(have)",
        "known.options.index(want) != known.options.index(have)",
    ),
    Bug(
        "what was deleted is made again",
        "sync/core/plan.py",
        "        elif not here:\n",
        "        else:\n",
    ),
    Bug(
        "what a person took back is written again",
        "sync/core/plan.py",
        "return pinned is not None and pinned == (fingerprint(wish), fingerprint(holds))",
        "return False",
    ),
    Bug(
        "what a person is still to decide is written",
        "sync/core/plan.py",
        "undecided = {name for name, why in lead.reasons.items() if why.rule == UNDECIDED}",
        "undecided = set[str]()",
    ),
    Bug(
        "the value sent is trusted, not the one returned",
        "sync/settle.py",
        "body[name] = got.get(name, sent)",
        "body[name] = sent",
    ),
    Bug(
        "a value refused is sent for ever",
        "sync/core/plan.py",
        "        if refused(target.connection, target.object, record.id, lead.id, name, fingerprint(back.get(name))):\n            continue\n",
        "",
    ),
    # what a crash leaves
    Bug(
        "a create in doubt is sent again at once",
        "sync/push.py",
        "return (workspace.clock.now() - unstamp(row.created_at)).total_seconds() < DOUBT",
        "return False",
    ),
    Bug(
        "a write in doubt is not looked up",
        "sync/push.py",
        "        found = workspace.connector(connection).read(object, key, sorted(wanted), fields)\n",
        "        found = {}\n",
    ),
    Bug(
        "a result in doubt counts as done",
        "sync/settle.py",
        "        return Settled.PARKED\n    return Settled.QUARANTINED",
        "        return Settled.APPLIED\n    return Settled.QUARANTINED",
    ),
    Bug(
        "a write in doubt is planned again meanwhile",
        "sync/planning.py",
        "return (operation.object, operation.record, operation.lead) in unsure",
        "return False",
    ),
    Bug(
        "an operation is not in the journal before it leaves",
        "sync/push.py",
        "        tx.execute(journal.insert(), [_journal_row(run, operation, at) for operation in leaving])\n",
        "        pass\n",
    ),
    Bug(
        "the fencing token is not compared",
        "sync/state/leases.py",
        '(leases.c.name == bindparam("of")) & (leases.c.token == bindparam("held"))',
        '(leases.c.name == bindparam("of")) & (leases.c.token >= 0 * bindparam("held"))',
    ),
    Bug(
        "a living holder's lease is taken",
        "sync/state/leases.py",
        "if row.alive and not _may_follow(row.holder, run):",
        "if False:",
    ),
    # what protects
    Bug(
        "the guards let everything through",
        "config/project.py",
        "return number > self.allowed(total)",
        "return False",
    ),
    Bug(
        "an undo overwrites what people changed since",
        "sync/undo.py",
        "return bool(holds == wrote or (held is not None and held[0] == wrote and held[1] in (None, holds)))",
        "return True",
    ),
    Bug(
        "a stale plan is applied",
        "sync/planfile.py",
        "return any(values.get(change.field) != change.old for change in op.changes)",
        "return False",
    ),
    Bug(
        "a field that the account lost is written as blank",
        "sync/workspace.py",
        "mapped.without(gone) if gone else mapped",
        "mapped",
        "tests/connectors/test_drift.py",
    ),
    # the connectors
    Bug(
        "HubSpot: no overlap",
        "connectors/hubspot/connector.py",
        "OVERLAP = timedelta(seconds=300)",
        "OVERLAP = timedelta(0)",
        "tests/connectors/hubspot",
    ),
    Bug(
        "HubSpot: a row missing from the answer is a success",
        "connectors/hubspot/writes.py",
        "        yield from _missing(client, list(waiting.values()))\n",
        "        yield from (Result(operation.key, operation.id) for operation in waiting.values())\n",
        "tests/connectors/hubspot",
    ),
    Bug(
        "HubSpot: any signature will do",
        "connectors/hubspot/connector.py",
        'genuine = hmac.compare_digest(digest.encode(), headers.get("x-hubspot-signature-v3", "").encode())',
        "genuine = True",
        "tests/connectors/hubspot",
    ),
    Bug(
        "Mailchimp: no overlap",
        "connectors/mailchimp/connector.py",
        "OVERLAP = timedelta(seconds=300)",
        "OVERLAP = timedelta(0)",
        "tests/connectors/mailchimp",
    ),
    Bug(
        "Salesforce: no overlap",
        "connectors/salesforce/connector.py",
        "OVERLAP = 300",
        "OVERLAP = 0",
        "tests/connectors/salesforce",
    ),
    Bug(
        "Outreach: any signature will do",
        "connectors/outreach/connector.py",
        'not hmac.compare_digest(digest.encode(), headers.get("outreach-webhook-signature", "").encode())',
        "False",
        "tests/connectors/outreach",
    ),
)
