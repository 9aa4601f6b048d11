"""Taps that others wrote, from the registry, in environments of their own: `make taps` installs them."""

from __future__ import annotations

import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from config.clock import ManualClock
from config.errors import ClosedloopError, Misconfigured, RetryLater
from connectors import registry
from connectors.api import Account, Connector, Surroundings
from connectors.hubspot.client import VERSION
from sync import scaffold
from sync.runs import Options, Runner
from sync.workspace import Workspace
from tests.connectors.surroundings import Budget, Tokens, pulled

ROOT = Path(__file__).parents[3]


def program(environment: str, name: str) -> str:
    """The tap's program; the test is skipped where it was not installed."""
    folder = ROOT / ".venv-taps" / environment / ("Scripts" if sys.platform == "win32" else "bin")
    found = shutil.which(name, path=str(folder))
    if found is None:
        pytest.skip(f"{name} is not installed: run make taps")
    return found


def opened(settings: dict[str, Any], auth: dict[str, str] | None = None) -> Connector:
    account = Account("real", "singer", auth or {}, settings)
    clock = ManualClock(datetime(2026, 11, 23, 10, tzinfo=UTC))
    return registry.platform("singer").open(account, Surroundings(clock, Budget(), Tokens()))


# tap-jsonl: a folder's files, by the time they were written


def people(folder: Path, *rows: dict[str, Any]) -> Path:
    file = folder / "people.jsonl"
    file.write_bytes(b"\n".join(map(orjson.dumps, rows)) + b"\n")
    return file


ANA = {"id": 1, "email": "ana@x.example", "first_name": "Ana", "updated_at": "2026-11-01T10:00:00Z", "address": {"city": "Oslo"}}  # fmt: skip  # noqa: E501
BOB = {"id": 2, "email": "bob@x.example", "first_name": "Bob", "updated_at": "2026-11-02T10:00:00Z"}


def jsonl(file: Path, **more: Any) -> dict[str, Any]:
    """The settings that read `file`."""
    return {
        "tap": program("jsonl", "tap-jsonl"),
        "config": {"path": str(file), "stream_name": "people", "primary_keys": ["id"]},
        "streams": {"contacts": {"stream": "people", "changed": "updated_at"}},
        **more,
    }


def test_tap_jsonl_tells_its_fields_its_records_and_its_state(tmp_path: Path) -> None:
    connector = opened(jsonl(people(tmp_path, ANA, BOB)))
    assert connector.check().account_id == "tap-jsonl"
    fields = connector.describe("contacts").fields
    assert (fields["email"].type, fields["updated_at"].type, fields["address"].type) == ("text", "datetime", "object")
    told, cursor = pulled(connector, "contacts", None, [])
    assert [(record.id, record.version) for record in told] == [
        ("1", "2026-11-01T10:00:00.000Z"),
        ("2", "2026-11-02T10:00:00.000Z"),
    ]
    assert orjson.loads(told[0].raw)["address"] == {"city": "Oslo"}
    state = orjson.loads(cursor)["state"]
    assert state["bookmarks"]["people"]["replication_key_value"]
    again, later = pulled(connector, "contacts", cursor, [])
    assert {record.id for record in again} <= {"1", "2"}
    assert orjson.loads(later)["state"]["bookmarks"].keys() == {"people"}
    assert connector.read("contacts", "id", ["2", "9"], []).keys() == {"2"}
    connector.close()


def test_tap_jsonl_wrongly_configured_is_an_error_with_a_name(tmp_path: Path) -> None:
    connector = opened(jsonl(tmp_path, config={"path": 7}))
    with pytest.raises(ClosedloopError) as told:
        pulled(connector, "contacts", None, [])
    connector.close()
    assert isinstance(told.value, RetryLater | Misconfigured)


def test_tap_jsonl_pages_of_a_long_file(tmp_path: Path) -> None:
    rows = [{**BOB, "id": number, "email": f"p{number}@x.example"} for number in range(2500)]
    connector = opened(jsonl(people(tmp_path, *rows)))
    pages = list(connector.pull("contacts", None, []))
    connector.close()
    assert max(len(page.records) for page in pages) <= 1000
    assert len({record.id for page in pages for record in page.records}) == 2500


def test_tap_jsonl_makes_leads_and_is_quiet_afterwards(tmp_path: Path) -> None:
    settings = jsonl(people(tmp_path, ANA, BOB))
    with registry.platform("hubspot").sandbox(seed=3) as hubspot:
        known = hubspot.put("contacts", {"email": "ana@x.example"})
        chosen = {
            "hubspot": scaffold.sandbox_connection(tmp_path, "hubspot", hubspot),
            "files": scaffold.Chosen("singer", "tap", {}, settings),
        }
        scaffold.write(tmp_path, chosen, tail='\nqualification: {qualified_when: "false"}\n')
        with Workspace.open(tmp_path) as workspace:
            for command in ("backfill", "sync", "sync"):
                runner = Runner(workspace)
                report = runner.run(command, workspace.connections, Options(approve=True, bulk=command == "backfill"))
                assert not report.errors, report.errors
            assert all(row["planned"] == 0 for to in report.counts["write"].values() for row in to.values())
        held = hubspot.get("contacts", known)
        assert (held["firstname"], held["city"]) == ("Ana", "Oslo")


# tap-rest-api-msdk: any JSON interface; here HubSpot's, of our sandbox


def rest(hubspot: Any) -> dict[str, Any]:
    """The settings that read the sandbox's contacts, but for the token."""
    return {
        "tap": program("rest-api", "tap-rest-api-msdk"),
        "config": {
            "api_url": f"{hubspot.base_url}/crm/objects/{VERSION}",
            "auth_method": "bearer_token",
            "next_page_token_path": "$.paging.next.after",
            "pagination_next_page_param": "after",
            "streams": [
                {
                    "name": "people",
                    "path": "/contacts",
                    "primary_keys": ["id"],
                    "records_path": "$.results[*]",
                    "params": {"limit": 100, "properties": "email,firstname"},
                }
            ],
        },
        "streams": {"contacts": {"stream": "people", "changed": "updatedAt"}},
    }


def test_tap_rest_api_reads_every_page_of_a_platform() -> None:
    with registry.platform("hubspot").sandbox(seed=3) as hubspot:
        made = [hubspot.put("contacts", {"email": f"p{n}@x.example"}) for n in range(230)]
        connector = opened(rest(hubspot), {"bearer_token": hubspot.account()["auth"]["token"]})
        assert connector.describe("contacts").fields["properties_email"].type == "text"
        told, _ = pulled(connector, "contacts", None, [])
        connector.close()
        assert {record.id for record in told} == set(made)
        assert orjson.loads(told[0].raw)["properties_email"].endswith("@x.example")
        assert all(record.version for record in told)


def test_tap_rest_api_with_a_wrong_token_shows_none_of_it() -> None:
    with registry.platform("hubspot").sandbox(seed=3) as hubspot:
        hubspot.put("contacts", {"email": "a@x.example"})
        connector = opened(rest(hubspot), {"bearer_token": "wr0ng-s3cret"})
        with pytest.raises(ClosedloopError) as told:
            connector.check()
        connector.close()
        assert "wr0ng" not in str(told.value)
