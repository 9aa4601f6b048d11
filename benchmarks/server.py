"""A HubSpot of pre-rendered bytes on loopback: a contact list that costs the server next to nothing.

    python benchmarks/server.py --contacts 200000 --ready FILE

writes its port to FILE when it listens. Besides HubSpot's paths it knows `/__calls` (requests by sort, as JSON),
`/__reset` (count from zero) and `/__touch?count=100&what=change|date` (contacts change now; `date` moves only their
modified time). Those three are not counted.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson
import people

PAGE = 100

_OBJECT = re.compile(r"/crm/(?:v3/objects|objects/[\w-]+)/(\w+)(/search|/batch/\w+)?")


def answer(body: bytes, status: str = "200 OK") -> bytes:
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json;charset=utf-8\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Account:
    """The account's contacts, page by page, as whole HTTP answers."""

    def __init__(self, number: int) -> None:
        self.records = [orjson.dumps(contact) for contact in people.contacts(number)]
        self.modified: dict[int, datetime] = {}  # index -> when, of those changed since the start
        self.calls: Counter[str] = Counter()
        self.pages = [self._page(start) for start in range(0, max(number, 1), PAGE)]

    def _page(self, start: int) -> bytes:
        end = start + PAGE
        body = b'{"results":[' + b",".join(self.records[start:end]) + b"]"
        if end < len(self.records):
            body += b',"paging":{"next":{"after":"%d","link":"x"}}' % end
        return answer(body + b"}")

    def list(self, query: dict[str, str]) -> bytes:
        if query.get("archived") == "true":
            return answer(b'{"results":[]}')
        after, limit = int(query.get("after") or 0), int(query.get("limit") or 10)
        if limit != PAGE or after % PAGE:
            return answer(b'{"status":"error","message":"pages of 100 only"}', "400 Bad Request")
        return self.pages[after // PAGE]

    def search(self, body: dict[str, Any]) -> bytes:
        """Contacts changed since a time, of ids beyond one, by id: what an incremental pull asks."""
        filters = {row["propertyName"]: row for group in body["filterGroups"] for row in group["filters"]}
        beyond = int(filters.get("hs_object_id", {}).get("value", 0))
        after, limit = int(body.get("after") or 0), int(body.get("limit") or 10)
        row = filters.get("lastmodifieddate")
        since = datetime.fromtimestamp(int(row["value"]) / 1000, UTC) if row else people.BEGAN
        found = [i for i in self._changed(since) if people.FIRST_ID + i > beyond]
        shown = found[after : after + limit]
        told = b'{"total":%d,"results":[' % len(found) + b",".join(self.records[i] for i in shown) + b"]"
        if after + limit < len(found):
            told += b',"paging":{"next":{"after":"%d"}}' % (after + limit)
        return answer(told + b"}")

    def _changed(self, since: datetime) -> list[int]:
        if since >= people.BEFORE:
            return sorted(index for index, at in self.modified.items() if at >= since)
        text = people.instant(since)
        return [i for i, record in enumerate(self.records) if orjson.loads(record)["updatedAt"] >= text]

    def touch(self, count: int, what: str) -> bytes:
        """Change `count` contacts, spread evenly over the account."""
        now = datetime.now(UTC)
        count = min(count, len(self.records))
        chosen = [len(self.records) * n // count for n in range(count)]
        for index in chosen:
            contact = orjson.loads(self.records[index])
            contact["updatedAt"] = contact["properties"]["lastmodifieddate"] = people.instant(now)
            if what == "change":
                contact["properties"]["jobtitle"] = f"Changed at {now:%H:%M:%S.%f}"
            self.records[index] = orjson.dumps(contact)
            self.modified[index] = now
        for page in {index // PAGE for index in chosen}:
            self.pages[page] = self._page(page * PAGE)
        return answer(orjson.dumps({"touched": len(chosen)}))

    def write(self, body: dict[str, Any]) -> bytes:
        now = people.instant(datetime.now(UTC))
        rows = [
            {"id": str(row["id"]), "properties": row.get("properties", {}), "updatedAt": now, "new": False}
            for row in body["inputs"]
        ]
        return answer(orjson.dumps({"status": "COMPLETE", "results": rows}))

    def respond(self, method: str, target: str, body: bytes) -> bytes:
        if target.startswith("/__"):
            return self._steer(target)
        parts = urlsplit(target)
        sort, found = self._sort(method, parts.path)
        self.calls[sort] += 1
        if found is None:
            return answer(_FIXED.get(sort, b'{"results":[]}'))
        if sort == "search":
            return self.search(orjson.loads(body))
        if sort == "write":
            return self.write(orjson.loads(body))
        return self.list(dict(parse_qsl(parts.query))) if found == "contacts" else answer(b'{"results":[]}')

    def _sort(self, method: str, path: str) -> tuple[str, str | None]:
        match = _OBJECT.match(path)
        if match is None:
            return next((name for name in _FIXED if name in path), "other"), None
        object, verb = match.groups()
        return ("search" if verb == "/search" else "write" if verb else "list"), object

    def _steer(self, target: str) -> bytes:
        parts = urlsplit(target)
        query = dict(parse_qsl(parts.query))
        if parts.path == "/__touch":
            return self.touch(int(query.get("count", 100)), query.get("what", "change"))
        if parts.path == "/__reset":
            self.calls.clear()
        return answer(orjson.dumps(self.calls))


_FIXED = {
    "account-info": b'{"portalId":4242,"uiDomain":"bench.hubspot.com","timeZone":"UTC"}',
    "owners": orjson.dumps({"results": [
        {"id": id, "email": email, "firstName": "Owner", "lastName": id, "archived": False,
         "updatedAt": "2026-01-01T00:00:00.000Z"} for id, email in people.OWNERS.items()
    ]}),
    "pipelines": b'{"results":[]}',
    "properties": orjson.dumps({"results": [
        {"name": name, "label": name, "type": "string", "fieldType": "text", "options": []}
        for name in people.PROPERTIES
    ]}),
}  # fmt: skip


class Talk(asyncio.Protocol):
    """One connection, kept alive."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while True:
            head, found, rest = self.buffer.partition(b"\r\n\r\n")
            if not found:
                return
            length = 0
            if head[:3] != b"GET":
                told = re.search(rb"(?i)content-length: *(\d+)", head)
                length = int(told[1]) if told else 0
            if len(rest) < length:
                return
            self.buffer = rest[length:]
            method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ", 2)
            self.transport.write(self.account.respond(method, target, rest[:length]))


async def serve(number: int, ready: Path) -> None:
    account = Account(number)
    server = await asyncio.get_running_loop().create_server(lambda: Talk(account), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    waiting = ready.with_suffix(".new")
    waiting.write_text(str(port))
    waiting.rename(ready)
    async with server:
        await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--contacts", type=int, default=20_000)
    parser.add_argument("--ready", type=Path, required=True, help="the port is written here when the server listens")
    chosen = parser.parse_args()
    if hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, {1})
    asyncio.run(serve(chosen.contacts, chosen.ready))


if __name__ == "__main__":
    main()
