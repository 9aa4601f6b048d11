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
)
