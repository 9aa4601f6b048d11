"""A tap of the older family, on `singer-python` and not on Meltano's SDK: it wants its catalog as `--properties`, and
tells STATEs before its first SCHEMA. Its source is GitHub's interface on loopback, as far as two streams need it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest

from config.errors import Misconfigured
from connectors.api import Connector
from tests.connectors.singer.test_real_taps import opened, program
from tests.connectors.surroundings import pulled

REPOSITORY = "acme/site"
SMALL = 2
"""Rows on a page of the source."""


@dataclass
class Source:
    """Rows by the last part of their path, and the addresses asked for."""

    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    url: str = ""


class Answers(BaseHTTPRequestHandler):
    def __init__(self, source: Source, *rest: Any) -> None:
        self.source = source
        super().__init__(*rest)

    def do_GET(self) -> None:
        """A page of rows with a link to the next; 404 for what the source has not."""
        self.source.asked.append(self.path)
        told = urlsplit(self.path)
        rows = self.source.rows.get(told.path.removeprefix(f"/repos/{REPOSITORY}/"))
        page = int(parse_qs(told.query).get("page", ["1"])[0])
        some = (rows or [])[(page - 1) * SMALL : page * SMALL]
        self.send_response(404 if rows is None else 200)
        self.send_header("X-RateLimit-Remaining", "4999")
        if rows and page * SMALL < len(rows):
            self.send_header("Link", f'<{self.source.url}{told.path}?page={page + 1}>; rel="next"')
        self.end_headers()
        self.wfile.write(orjson.dumps({"message": "Not Found"} if rows is None else some))

    def log_message(self, format: str, *args: Any) -> None:
        """Not on the test's output."""


@pytest.fixture
def source() -> Iterator[Source]:
    made = Source()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Answers, made)) as server:
        made.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield made
        server.shutdown()


def person(number: int) -> dict[str, Any]:
    return {"starred_at": f"2026-11-0{number}T10:00:00Z", "user": {"id": number, "login": f"person{number}"}}


def issue(number: int, day: int) -> dict[str, Any]:
    return {"id": 100 + number, "title": f"Issue {number}", "state": "open", "updated_at": f"2026-11-{day:02}T10:00:00Z"}  # fmt: skip  # noqa: E501


def reading(source: Source, **streams: dict[str, Any]) -> Connector:
    source.rows.setdefault("commits", [])  # the tap looks here whether the repository may be read
    settings = {
        "tap": program("github", "tap-github"),
        "config": {"base_url": source.url, "repository": REPOSITORY, "start_date": "2026-01-01T00:00:00Z"},
        "properties": True,
        "streams": streams,
    }
    return opened(settings, {"access_token": "t0ken"})


PEOPLE = {"contacts": {"stream": "stargazers", "changed": "starred_at"}}
ISSUES = {"activities": {"stream": "issues", "changed": "updated_at", "revised": True}}


def test_it_tells_its_fields_and_all_pages_of_a_stream_that_comes_whole(source: Source) -> None:
    source.rows["stargazers"] = [person(number) for number in range(1, 6)]
    connector = reading(source, **PEOPLE)
    assert connector.check().account_id == "tap-github"
    fields = connector.describe("contacts").fields
    assert (fields["user.login"].type, fields["starred_at"].type) == ("text", "datetime")
    told, cursor = pulled(connector, "contacts", None, ["user.login"])
    assert [(record.id, record.version) for record in told][:2] == [
        ("1", "2026-11-01T10:00:00.000Z"),
        ("2", "2026-11-02T10:00:00.000Z"),
    ]
    assert [orjson.loads(record.raw)["user"]["login"] for record in told] == [f"person{n}" for n in range(1, 6)]
    assert not [record for record in told if record.fault]
    again, _ = pulled(connector, "contacts", cursor, [])
    assert [record.id for record in again] == [record.id for record in told]
    connector.close()


def test_it_goes_on_from_its_state(source: Source) -> None:
    source.rows["issues"] = [issue(number, number) for number in (3, 2, 1)]
    connector = reading(source, **ISSUES)
    told, cursor = pulled(connector, "activities", None, [])
    assert [record.id for record in told] == ["103", "102", "101"]
    assert all(record.revised for record in told)
    assert orjson.loads(cursor)["state"]["bookmarks"]["issues"][REPOSITORY] == {"since": "2026-11-03T10:00:00Z"}
    source.rows["issues"] = [issue(1, 9), *source.rows["issues"][:2]]
    later, _ = pulled(connector, "activities", cursor, [])
    assert {record.id for record in later} == {"101", "103"}  # what changed, and the bookmark's own: at least once
    assert any(asked.endswith("since=2026-11-03T10:00:00Z") for asked in source.asked)
    connector.close()


def test_a_stream_that_its_source_does_not_open_is_named(source: Source) -> None:
    source.rows["issues"] = []
    connector = reading(source, **PEOPLE)
    with pytest.raises(Misconfigured, match="offers no stream 'stargazers'") as told:
        connector.check()
    assert "issues" in str(told.value.fix)
    connector.close()
