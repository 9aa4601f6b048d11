"""Planted bugs of what the engine is told of a write whose fate is not known."""

from __future__ import annotations

from tests.planted.bug import Bug

DOUBT = (
    Bug(
        "a write that was lost is refused where its second try is",
        "connectors/retry.py",
        "AuthorizationLost, PermissionMissing, RecordRejected, Misconfigured)",
        "AuthorizationLost)",
        tests="tests/connectors/test_retry.py",
    ),
    Bug(
        "ActiveCampaign: nobody says of a write that it is one",
        "connectors/activecampaign/client.py",
        "self._call(method, path, json=body, repeatable=True, writes=True, lane=lane)",
        "self._call(method, path, json=body, repeatable=True, lane=lane)",
        tests="tests/connectors/test_doubt.py",
    ),
    Bug(
        "ActiveCampaign: who was written is refused with their tag",
        "connectors/activecampaign/push.py",
        "fate = half_done(met) if self.client.writes > before else met",
        "fate: ClosedloopError = met",
        tests="tests/connectors/activecampaign/test_push.py",
    ),
    Bug(
        "HubSpot: who was written is refused with their opt-out",
        "connectors/hubspot/writes.py",
        "            return replace(_failed(operation, error, wrote), id=item.id)\n",
        "            return replace(_failed(operation, error, not item.id), id=item.id)\n",
        tests="tests/connectors/hubspot/test_push.py",
    ),
    Bug(
        "Salesforce: a bulk job that is lost sight of was never begun",
        "connectors/salesforce/bulk.py",
        "        raise InDoubt(what, connection=client.account.connection, object=object) from error\n",
        "        raise RetryLater(what, connection=client.account.connection, object=object) from error\n",
        tests="tests/connectors/salesforce/test_push.py",
    ),
    Bug(
        "Constant Contact: the second round writes over what somebody gave since the first",
        "connectors/constant_contact/push.py",
        "        if any(told[name] not in (seen[name], values[name]) for name in seen):\n",
        "        if False:\n",
        tests="tests/connectors/constant_contact/test_push.py",
    ),
    Bug(
        "what a pull brought of a write in doubt is spread before it is looked up",
        "sync/steps/push.py",
        "            for lead in brought(tx, name)\n",
        "            for lead in brought(tx, name) & set()\n",
        tests="tests/engine/test_doubt.py",
    ),
    Bug(
        "whoever is known by an address passes for another's record under it",
        "sync/readdressed.py",
        "told) or _is_anothers(tx, workspace, stream, before, told):",
        "told):",
        tests="tests/engine/test_doubt.py",
    ),
    Bug(
        "a write that is let go is planned before its lead is merged",
        "sync/replay.py",
        "    .where(leads.c.dirty == 0)  # one that is to be merged first is planned after that\n",
        "",
        tests="tests/engine/test_writes.py",
    ),
    Bug(
        "a record with another's address beside it is what a create without an answer made",
        "sync/makers.py",
        "    return bool(_owners(tx, workspace, row.connection, id, body).keys() - {row.lead})\n",
        "    return bool(o := _owners(tx, workspace, row.connection, id, body)) and row.lead not in o\n",
        tests="tests/engine/test_clashes.py",
    ),
)
