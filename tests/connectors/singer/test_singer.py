"""Taps over our own: cursors, versions, deletes, odd records, settings."""

from __future__ import annotations

import stat
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from config.clock import ManualClock
from config.errors import AuthorizationLost, Misconfigured, RetryLater
from connectors import registry
from connectors.api import Account, Connector, Gone, Operation, Request, Surroundings, Verb
from connectors.singer import shape
from connectors.singer.catalog import selected
from connectors.singer.choices import StreamChoice, choices
from connectors.singer.connector import SingerConnector
from connectors.singer.pull import Cursor
from connectors.singer.records import version
from connectors.singer.sandbox import TOKEN, SingerSandbox
from tests.connectors.surroundings import Budget, Tokens, connect, pulled

CLOCK = ManualClock(datetime(2026, 11, 23, 10, tzinfo=UTC))


@pytest.fixture
def sandbox() -> Iterator[SingerSandbox]:
    with SingerSandbox(seed=1, clock=CLOCK) as made:
        assert isinstance(made, SingerSandbox)
        yield made


@pytest.fixture
def connector(sandbox: SingerSandbox) -> Iterator[Connector]:
    made = connect(sandbox, CLOCK)
    yield made
    made.close()


def fill(sandbox: SingerSandbox, number: int, object: str = "contacts") -> list[str]:
    made = []
    for one in range(number):
        CLOCK.advance(1)
        made.append(sandbox.put(object, {"email": f"p{one}@x.example"}))
    return made


# cursors


def states(sandbox: SingerSandbox) -> list[Any]:
    """The state of each sync that the tap was run with."""
    return [orjson.loads(line.body).get("state") for line in sandbox.log if line.path == "/sync"]


def test_a_cursor_never_stands_for_records_that_were_not_told(sandbox: SingerSandbox) -> None:
    ids = fill(sandbox, 9)
    sandbox.state_every = 4
    connector = connect(sandbox, CLOCK, page=3)
    told: list[str] = []
    for page in connector.pull("contacts", None, []):
        told += [record.id for record in page.records]
        bookmark = (Cursor.of(page.cursor, "people").state or {}).get("bookmarks", {}).get("people")
        behind = [row for row in sandbox.all("contacts") if bookmark and row["updated_at"] <= bookmark["updated_at"]]
        assert {row["id"] for row in behind} <= set(told)
    connector.close()
    assert told == ids


def test_a_pull_that_was_left_goes_on_in_the_same_run(sandbox: SingerSandbox, connector: Connector) -> None:
    ids = fill(sandbox, 7)
    sandbox.state_every = 100  # no STATE but the last: only the waiting tap knows how far it was read
    told: list[str] = []
    cursor: str | None = None
    for _ in range(20):
        page = next(iter(connector.pull("contacts", cursor, [])))
        told += [record.id for record in page.records]
        cursor = page.cursor
        if not page.more:
            break
    assert told == ids
    assert len(states(sandbox)) == 1


def test_another_process_goes_on_from_the_last_state(sandbox: SingerSandbox, connector: Connector) -> None:
    ids = fill(sandbox, 7)
    pages = connector.pull("contacts", None, [])
    first, second, third = (next(pages) for _ in range(3))
    told = [record.id for page in (first, second, third) for record in page.records]
    other = connect(sandbox, CLOCK)
    rest, _ = pulled(other, "contacts", third.cursor, [])
    other.close()
    assert {*told, *(record.id for record in rest)} == set(ids)
    assert len(rest) < len(ids)
    assert states(sandbox)[1] == Cursor.of(third.cursor, "people").state


def test_a_second_pull_asks_from_the_state(sandbox: SingerSandbox, connector: Connector) -> None:
    fill(sandbox, 3)
    _, cursor = pulled(connector, "contacts", None, [])
    again, later = pulled(connector, "contacts", cursor, [])
    assert len(again) == 1  # the bookmark's own record: at least once
    assert later == cursor
    CLOCK.advance(60)
    new = sandbox.put("contacts", {"email": "new@x.example"})
    assert new in {record.id for record in pulled(connector, "contacts", cursor, [])[0]}


def test_a_cursor_of_another_stream_is_none(sandbox: SingerSandbox, connector: Connector) -> None:
    ids = fill(sandbox, 3)
    _, cursor = pulled(connector, "activities", None, [])
    assert Cursor.of(cursor, "people") == Cursor("people")
    assert {record.id for record in pulled(connector, "contacts", cursor, [])[0]} == set(ids)


def test_an_object_without_a_stream_costs_nothing(sandbox: SingerSandbox) -> None:
    connector = connect(sandbox, CLOCK, streams={"contacts": {"stream": "people"}})
    [page] = connector.pull("deals", None, [])
    assert (list(page.records), page.more) == ([], False)
    assert dict(connector.describe("deals").fields) == {}
    assert connector.read("deals", "id", ["1"], []) == {}
    assert connector.calls == 0


def test_since_takes_the_place_of_the_start_date(tmp_path: Path) -> None:
    tap = tmp_path / "tap.py"
    tap.write_text(
        "import sys, json\n"
        "config = json.load(open(sys.argv[sys.argv.index('--config') + 1]))\n"
        "print(json.dumps({'type': 'SCHEMA', 'stream': 's', 'schema': {}, 'key_properties': ['id']}))\n"
        "print(json.dumps({'type': 'RECORD', 'stream': 's', 'record': {'id': config['start_date']}}))\n"
    )
    made = opened(tap=[sys.executable, str(tap)], catalog="none", config={"start_date": "2020-01-01T00:00:00Z"})
    told = [
        record.id for page in made.pull("contacts", None, [], since="2026-05-01T00:00:00Z") for record in page.records
    ]
    assert told == ["2026-05-01T00:00:00Z"]
    assert [record.id for record in pulled(made, "contacts", None, [])[0]] == ["2020-01-01T00:00:00Z"]
    made.close()


# gone


def test_a_marked_row_is_gone(sandbox: SingerSandbox, connector: Connector) -> None:
    [first, *_] = fill(sandbox, 2)
    CLOCK.advance(1)
    sandbox.remove("contacts", first)
    gone = {record.id: record.gone for record in pulled(connector, "contacts", None, [])[0]}
    assert gone[first] is Gone.DELETED
    assert list(gone.values()).count(None) == 1


def test_what_a_new_version_lacks_is_gone(sandbox: SingerSandbox, connector: Connector) -> None:
    first, second, *_ = fill(sandbox, 5, "owners")
    told, cursor = pulled(connector, "owners", None, [])
    assert not [record for record in told if record.gone]
    sandbox.remove("owners", first)
    sandbox.remove("owners", second)
    told, later = pulled(connector, "owners", cursor, [])
    assert [record.id for record in told if record.gone] == sorted((first, second))
    assert not [record for record in pulled(connector, "owners", later, [])[0] if record.gone]


def test_a_version_that_was_not_seen_whole_takes_nobody_away(sandbox: SingerSandbox, connector: Connector) -> None:
    [first, *_] = fill(sandbox, 5, "owners")
    _, cursor = pulled(connector, "owners", None, [])
    sandbox.remove("owners", first)
    page = next(iter(connector.pull("owners", cursor, [])))
    other = connect(sandbox, CLOCK)  # after a crash: it has not seen what came before
    told, later = pulled(other, "owners", page.cursor, [])
    assert not [record for record in told if record.gone]
    told, _ = pulled(other, "owners", later, [])
    assert [record.id for record in told if record.gone] == [first]
    other.close()


def test_farewells_keep_to_the_page_and_to_the_cursor(sandbox: SingerSandbox, connector: Connector) -> None:
    ids = fill(sandbox, 7, "owners")
    _, cursor = pulled(connector, "owners", None, [])
    for id in ids[:5]:
        sandbox.remove("owners", id)
    pages = list(connector.pull("owners", cursor, []))
    assert max(len(page.records) for page in pages) == 2
    gone = [record.id for page in pages for record in page.records if record.gone]
    assert gone == ids[:5]
    half = next(page for page in pages if any(record.gone for record in page.records))
    assert set(ids) <= Cursor.of(half.cursor, "owners").ids  # not all of it was said: nothing is forgotten yet
    assert Cursor.of(pages[-1].cursor, "owners").ids == set(ids[5:])


def test_without_an_activation_nobody_is_gone(sandbox: SingerSandbox, connector: Connector) -> None:
    [first, *_] = fill(sandbox, 3, "owners")
    _, cursor = pulled(connector, "owners", None, [])
    sandbox.remove("owners", first)
    whole = sandbox._full
    sandbox._full = lambda stream: (m for m in whole(stream) if m["type"] != "ACTIVATE_VERSION")  # type: ignore[method-assign]
    assert not [record for record in pulled(connector, "owners", cursor, [])[0] if record.gone]


# odd records


def test_a_record_of_the_wrong_type_says_where_and_why(sandbox: SingerSandbox, connector: Connector) -> None:
    good = sandbox.put("contacts", {"email": "a@x.example"})
    bad = sandbox.put("contacts", {"email": "b@x.example", "address": {"city": 7}})
    told = {record.id: record for record in pulled(connector, "contacts", None, [])[0]}
    assert orjson.loads(told[good].raw)["email"] == "a@x.example"
    assert told[good].fault is None
    fault = told[bad].fault
    assert fault is not None
    assert (fault.field, fault.code, fault.reason) == ("address.city", "type", "is no string")
    assert "settings.catalog" in fault.fix
    assert connector.read("contacts", "id", [bad], [])[bad].fault == fault
    assert connector.read("contacts", "email", ["b@x.example"], []) == {}


def test_records_without_a_key_are_told_one_by_one_and_the_same_each_time(
    sandbox: SingerSandbox, connector: Connector
) -> None:
    for number in range(3):
        sandbox.edit("contacts", sandbox.put("contacts", {"email": f"p{number}@x.example"}), {"id": None})
    told, _ = pulled(connector, "contacts", None, [])
    ids = [record.id for record in told]
    assert len(set(ids)) == 3
    assert all(id.startswith("?") for id in ids)
    assert {(f.field, f.reason) for record in told if (f := record.fault)} == {("id", "is no key")}
    assert "settings.streams.contacts.id" in {record.fault.fix for record in told if record.fault}.pop()
    assert [record.id for record in pulled(connector, "contacts", None, [])[0]] == ids


def test_ids_of_several_parts_and_versions(sandbox: SingerSandbox) -> None:
    sandbox.put("contacts", {"email": "a/b@x.example", "title": "x"})
    stream = {"stream": "people", "id": ["title", "email"], "changed": "updated_at"}
    connector = connect(sandbox, CLOCK, streams={"contacts": stream})
    [record] = pulled(connector, "contacts", None, [])[0]
    connector.close()
    assert record.id == "x/a%2Fb%40x.example"
    assert record.version == orjson.loads(record.raw)["updated_at"]


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("2026-11-01T10:00:00Z", "2026-11-01T10:00:00.000Z"),
        ("2026-11-01 12:00:00.5+02:00", "2026-11-01T10:00:00.500Z"),
        ("2026-11-01", "2026-11-01T00:00:00.000Z"),
        ("2026-11-01T10:00:00", "2026-11-01T10:00:00.000Z"),
        ("0001-01-01T00:00:00+14:00", ""),
        ("yesterday", ""),
        (17, ""),
        (None, ""),
    ],
)
def test_versions_are_stamps_or_nothing(told: Any, expected: str) -> None:
    assert version(told) == expected


SCHEMA = {
    "type": "object",
    "properties": {
        "a": {"type": ["null", "string"]},
        "n": {"type": "integer"},
        "b": {"type": "boolean"},
        "l": {"type": "array", "items": {"type": "object", "properties": {"x": {"type": "number"}}}},
        "o": {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "integer"}, {"type": "null"}]},
        "u": {"type": "unheard-of"},
        "r": {"$ref": "#/x"},
    },
}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": "x", "n": 1, "b": True, "l": [{"x": 1.5}], "o": 3, "u": [], "r": {}}, ""),
        ({"a": None, "n": None, "z": 1}, ""),
        ({"n": 2.0}, ""),
        ({"n": 2.5}, "n is no integer"),
        ({"n": True}, "n is no integer"),
        ({"b": 1}, "b is no boolean"),
        ({"a": 1}, "a is no string"),
        ({"l": [{"x": 1}, {"x": "1"}]}, "l[].x is no number"),
        ({"o": []}, "o is of none of the types that its schema names"),
        ([], "the record is no object"),
    ],
)
def test_types_are_checked_at_every_depth(value: Any, expected: str) -> None:
    told = shape.wrong(value, SCHEMA)
    assert (f"{told.place or 'the record'} {told.reason}" if told else "") == expected


def test_a_streams_fields_are_told_nested_ones_by_dots(sandbox: SingerSandbox, connector: Connector) -> None:
    fields = connector.describe("contacts").fields
    assert fields["address.city"].type == "text"
    assert fields["updated_at"].type == "datetime"
    assert fields["address"].type == "object"
    assert not any(field.writable for field in fields.values())


# the catalog and the settings


def test_only_the_chosen_streams_are_selected_in_every_way() -> None:
    unsupported: dict[str, Any] = {"breadcrumb": ["properties", "p"], "metadata": {"inclusion": "unsupported"}}
    streams: list[dict[str, Any]] = [
        {"stream": "a", "tap_stream_id": "db-a", "schema": {}, "metadata": [{"breadcrumb": [], "metadata": {"x": 1}}]},
        {"stream": "b", "tap_stream_id": "b", "schema": {}},
        {"stream": "c", "tap_stream_id": "c", "schema": {}, "metadata": [unsupported]},
    ]
    choice = StreamChoice(stream="db-a", method="INCREMENTAL", changed="at", beside=("c",))
    a, b, c = selected(streams, choice)["streams"]
    assert [one["selected"] for one in (a, b, c)] == [True, False, True]
    assert [one["schema"]["selected"] for one in (a, b, c)] == [True, False, True]
    facts = {"x": 1, "selected": True, "replication-method": "INCREMENTAL", "replication-key": "at"}
    assert a["metadata"] == [{"breadcrumb": [], "metadata": facts}]
    assert b["metadata"][0]["metadata"] == {"selected": False}
    assert c["metadata"][1]["metadata"]["selected"] is False
    assert "selected" not in streams[0]


def opened(**settings: Any) -> SingerConnector:
    chosen = {"tap": "tap-none", "streams": {"contacts": {"stream": "s"}}, **settings}
    account = Account("shop", "singer", {"mode": "tap"}, chosen)
    made = registry.platform("singer").open(account, Surroundings(CLOCK, Budget(), Tokens()))
    assert isinstance(made, SingerConnector)
    return made


def test_every_mistake_of_the_settings_is_told_at_once_without_values() -> None:
    with pytest.raises(Misconfigured) as told:
        opened(tap=[], timeout="s3cret", streams={"contacts": {"strem": "s"}})
    text = str(told.value)
    assert all(name in text for name in ("settings.tap", "settings.timeout", "settings.streams.contacts.strem"))
    assert "s3cret" not in text
    with pytest.raises(Misconfigured, match="people, which is no object"):
        opened(streams={"people": {"stream": "s"}})
    with pytest.raises(Misconfigured, match="There is no program tap-none"):
        opened().check()


@pytest.mark.parametrize("config", [{"password": "hunter2"}, {"db": [{"ssh_private_key": "hunter2"}]}])
def test_a_secret_in_clear_is_refused(config: Any) -> None:
    with pytest.raises(Misconfigured, match="stands in clear") as told:
        opened(config=config)
    assert "hunter2" not in str(told.value)
    opened(config={"token_url": "x", "next_page_token_path": "$.x", "password": ""})


def test_a_tap_without_a_catalog_is_at_least_there() -> None:
    with pytest.raises(Misconfigured, match="There is no program"):
        opened(catalog="none").check()
    assert opened(tap=sys.executable, catalog="none").check().account_name == Path(sys.executable).name


def test_numbers_that_are_none_are_blank(tmp_path: Path) -> None:
    """Python's own json prints NaN, which is no JSON."""
    tap = tmp_path / "tap.py"
    tap.write_text(
        "import json\n"
        "print(json.dumps({'type': 'SCHEMA', 'stream': 's', 'schema': {}, 'key_properties': ['id']}))\n"
        "print(json.dumps({'type': 'RECORD', 'stream': 's', 'version': 1.5e12,\n"
        "                  'record': {'id': 1, 'x': float('nan')}}))\n"
        "print(json.dumps({'type': 'STATE', 'stream': None, 'value': {'a': 1}}))\n"
    )
    made = opened(tap=[sys.executable, str(tap)], catalog="none")
    [record], cursor = pulled(made, "contacts", None, [])
    made.close()
    assert orjson.loads(record.raw) == {"id": 1, "x": None}
    assert orjson.loads(cursor)["state"] == {"a": 1}


def test_a_stream_that_is_not_offered_is_told_with_the_nearest(sandbox: SingerSandbox) -> None:
    connector = connect(sandbox, CLOCK, streams={"contacts": {"stream": "peple"}})
    with pytest.raises(Misconfigured, match=r"no stream 'peple'.*It offers: people"):
        connector.check()
    connector.close()


def test_a_wrong_token_is_told_without_it(sandbox: SingerSandbox) -> None:
    connector = connect(sandbox, CLOCK, auth={"mode": "tap", "access_token": "wr0ng-s3cret"})
    with pytest.raises(AuthorizationLost, match="401 Unauthorized for the token") as told:
        connector.check()
    assert "wr0ng" not in str(told.value)
    connector.close()


def test_secrets_go_into_a_file_of_the_owners_and_do_not_stay(
    sandbox: SingerSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_TOKEN", TOKEN)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    fill(sandbox, 5)
    config = {"base_url": sandbox.base_url, "access_token": "env:SHOP_TOKEN", "url": "file:///x"}
    connector = connect(sandbox, CLOCK, auth={"mode": "tap"}, config=config)
    pages = connector.pull("contacts", None, [])
    next(pages)
    [folder] = tmp_path.iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {path.name for path in folder.iterdir()} == {"catalog.json"}  # the tap has read its configuration
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in folder.iterdir())
    connector.close()
    assert list(tmp_path.iterdir()) == []
    monkeypatch.delenv("SHOP_TOKEN")
    with pytest.raises(Misconfigured, match="SHOP_TOKEN is not set"):
        connect(sandbox, CLOCK, config=config)


def test_other_connections_secrets_are_not_in_the_taps_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUBSPOT_ACCESS_TOKEN", "pat-1")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example")
    tap = tmp_path / "tap.py"
    tap.write_text(
        "import os, json\n"
        "print(json.dumps({'type': 'SCHEMA', 'stream': 's', 'schema': {}, 'key_properties': ['id']}))\n"
        "print(json.dumps({'type': 'RECORD', 'stream': 's', 'record': {'id': 1, 'names': sorted(os.environ)}}))\n"
    )
    made = opened(tap=[sys.executable, str(tap)], catalog="none")
    [record] = pulled(made, "contacts", None, [])[0]
    made.close()
    names = orjson.loads(record.raw)["names"]
    assert "HUBSPOT_ACCESS_TOKEN" not in names
    assert {"HTTPS_PROXY", "PATH"} <= set(names)


def test_a_config_file_alone_is_given_as_it_is(sandbox: SingerSandbox, tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_bytes(orjson.dumps({"base_url": sandbox.base_url, "access_token": TOKEN}))
    fill(sandbox, 1)
    connector = connect(sandbox, CLOCK, auth={"mode": "tap"}, config={}, config_file=str(file))
    assert len(pulled(connector, "contacts", None, [])[0]) == 1
    connector.close()
    assert file.is_file()
    with pytest.raises(Misconfigured, match="config_file cannot be read"):
        connect(sandbox, CLOCK, config_file=str(tmp_path / "none.json"))


def test_a_stream_without_keys_has_to_name_some_unless_it_is_of_activities(tmp_path: Path) -> None:
    tap = tmp_path / "tap.py"
    tap.write_text(
        "import json\n"
        "print(json.dumps({'type': 'SCHEMA', 'stream': 's', 'schema': {}, 'key_properties': []}))\n"
        "for n in (1, 2, 1): print(json.dumps({'type': 'RECORD', 'stream': 's', 'record': {'n': n}}))\n"
    )
    stream = {"stream": "s"}
    made = opened(tap=[sys.executable, str(tap)], catalog="none", streams={"contacts": stream, "activities": stream})
    with pytest.raises(Misconfigured, match=r"settings\.streams\.contacts\.id"):
        pulled(made, "contacts", None, [])
    told, _ = pulled(made, "activities", None, [])
    made.close()
    assert len(told) == 3
    assert told[0].id == told[2].id != told[1].id


def test_a_tap_that_tells_records_before_their_schema_is_told(tmp_path: Path) -> None:
    tap = tmp_path / "tap.py"
    tap.write_text('print(\'{"type": "RECORD", "stream": "s", "record": {"id": 1}}\')\n')
    made = opened(tap=[sys.executable, str(tap)], catalog="none")
    with pytest.raises(RetryLater, match="before their SCHEMA"):
        pulled(made, "contacts", None, [])
    made.close()


def test_it_only_reads(sandbox: SingerSandbox, connector: Connector) -> None:
    [result] = connector.push([Operation("k", Verb.CREATE, "contacts", {"email": "a@x.example"})], [])
    assert result.error is not None
    assert result.error.code == "read_only"
    with pytest.raises(AuthorizationLost):
        connector.verify(Request("POST", "https://x.example", {}, b"{}"))


def test_settings_take_one_word_or_many() -> None:
    made = choices(Account("s", "singer", {}, {"tap": "tap-x", "streams": {"contacts": {"stream": "s", "id": "key"}}}))
    assert (made.tap, made.streams["contacts"].id, made.name) == (("tap-x",), ("key",), "tap-x")
