"""What strangers may do at the door: send too much, too slowly, too often, too many at once. The daemon stays."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from connectors import registry
from connectors.trust import trust
from sync import hooks, hooks_server
from sync.daemon import Daemon
from sync.engine.inline import InlineEngine
from sync.hooks import open_door
from sync.metrics import Metrics, application, listen
from sync.workspace import Workspace
from tests.hooks.surroundings import House, hubspot_event, hubspot_signed, sync_each, write

MOST = 1_048_576


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Any]]:
    """A project over a HubSpot with one contact, synced."""
    place = tmp_path_factory.mktemp("bounds")
    with registry.platform("hubspot").sandbox(seed=4) as made:
        made.put("contacts", {"email": "ana@people.example", "firstname": "Ana"})
        write(place, {"hubspot": made})
        sync_each(place)
        yield place, made


@pytest.fixture
def one(folder: tuple[Path, Any]) -> Iterator[House]:
    """The door open, and no loop behind it: runs begin when the test says so."""
    daemon = Daemon(folder[0], lambda where: Workspace.open(where), InlineEngine)
    daemon.door = open_door(daemon.workspace, daemon.metrics, lambda: None)
    yield House(daemon, folder[0])
    daemon._shut()
    daemon.workspace.close()


def knock(one: House, head: str) -> socket.socket:
    assert one.daemon.door is not None
    line = socket.create_connection(("127.0.0.1", one.daemon.door.port), timeout=30)
    line.sendall(head.encode())
    return line


def status(line: socket.socket) -> int:
    """The status of the answer; 0 where the line was cut without one."""
    try:
        told = line.recv(4096)
    except ConnectionResetError:
        return 0
    finally:
        line.close()
    return int(told.split()[1]) if told else 0


def healthy(one: House) -> bool:
    """The health page and the door answer others meanwhile."""
    body = hubspot_event("1")
    server = listen("127.0.0.1:0", one.daemon.metrics)
    try:
        page = httpx.get(f"http://127.0.0.1:{server.server_port}/healthz", verify=trust(), trust_env=False, timeout=10)
        return page.status_code == 200 and one.send("hubspot", body, hubspot_signed(body)) == 200
    finally:
        server.shutdown()
        server.server_close()


def test_a_body_that_says_it_is_too_large_is_not_read(one: House) -> None:
    line = knock(one, f"POST /hooks/hubspot HTTP/1.1\r\nHost: h\r\nContent-Length: {MOST + 1}\r\n\r\n")
    assert status(line) == 413
    line = knock(one, "POST /hooks/nobody HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999\r\n\r\n")
    assert status(line) == 404


def test_fifty_megabytes_in_chunks_are_cut_off_at_the_limit(one: House) -> None:
    line = knock(one, "POST /hooks/hubspot HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    sent = 0
    try:
        for _ in range(800):
            line.sendall(chunk)
            sent += 0x10000
    except OSError:
        pass  # hung up on
    assert status(line) in (413, 0)
    assert MOST <= sent < 20 * MOST  # what the sockets' buffers hold, and no more
    assert one.metric("closedloop_webhooks_total", connection="hubspot", outcome="too_large") == 1
    assert healthy(one)


def test_a_slow_body_is_not_waited_for(one: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks_server, "BODY", 0.5)
    line = knock(one, "POST /hooks/hubspot HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n[")
    assert healthy(one)
    assert status(line) == 408


@pytest.mark.parametrize("head", ["", "POST /hooks/hub", "POST /hooks/hubspot HTTP/1.1\r\nHost: h\r\n"])
def test_a_line_that_says_nothing_is_cut(one: House, monkeypatch: pytest.MonkeyPatch, head: str) -> None:
    monkeypatch.setattr(hooks_server, "LIFE", 0.5)
    line = knock(one, head)
    assert status(line) == 0


def test_lines_that_are_held_open_are_bounded_and_the_daemon_stays(one: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many silent lines as are allowed: others are told to come again, until the silent ones are cut."""
    monkeypatch.setattr(hooks_server, "LIFE", 2.0)
    lines = [knock(one, "") for _ in range(hooks.CONNECTIONS)]
    body = hubspot_event("1")
    time.sleep(0.3)
    head = f"POST /hooks/hubspot HTTP/1.1\r\nHost: h\r\nContent-Length: {len(body)}\r\n\r\n{body.decode()}"
    assert status(knock(one, head)) == 503
    assert {status(line) for line in lines} == {0}
    assert healthy(one)


def test_what_is_no_http_is_refused(one: House) -> None:
    assert status(knock(one, "\x16\x03\x01\x02\x00\x01 what\r\n\r\n")) == 400
    assert status(knock(one, "POST /hooks/hubspot HTTP/1.1\r\nHost: h\r\nX: " + "a" * 70_000)) == 400
    assert healthy(one)


def test_two_thousand_deliveries_of_one_change_are_one_read(one: House, folder: tuple[Path, Any]) -> None:
    made = folder[1]
    [id] = made.store.rows["contacts"]
    with one.workspace.state.begin() as tx:
        tx.exec_driver_sql("delete from hints")
    body = hubspot_event(id)
    told = {"Host": "h", "Content-Length": str(len(body)), **hubspot_signed(body)}
    lines = ["POST /hooks/hubspot HTTP/1.1", *(f"{name}: {value}" for name, value in told.items())]
    sent = "\r\n".join(lines) + "\r\n\r\n" + body.decode()
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda _: status(knock(one, sent)), range(2000))) == [200] * 2000
    made.log.clear()
    time.sleep(hooks_wait())
    assert len(one.daemon.tick()) == 1
    assert one.daemon.tick() == []
    read = [line for line in made.log if line.path.endswith("/contacts/batch/read")]
    assert len(read) == 1
    assert [entry["id"] for entry in orjson.loads(read[0].body)["inputs"]] == [id]


def hooks_wait() -> float:
    from sync.hints import QUIET

    return QUIET + 0.1


def test_a_port_that_is_taken_is_told(one: House) -> None:
    from config.errors import Misconfigured
    from config.project import HooksConfig

    assert one.daemon.door is not None
    with pytest.raises(Misconfigured, match="Webhooks cannot be taken on 127"):
        hooks._listener(HooksConfig(listen=f"127.0.0.1:{one.daemon.door.port}"))


HERE = ("127.0.0.1", "127.0.0.1:9464", "localhost", "localhost:9464", "LOCALHOST", "[::1]", "[::1]:9464", "127.8.8.8:1")
ELSEWHERE = (
    "",
    "evil.example",
    "evil.example:9464",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "evil-localhost",
    "127.0.0.1@evil.example",
    "evil.example@127.0.0.1",
    "[::1].evil.example",
    "[::1]evil",
    "0.0.0.0",
    "169.254.169.254",
    "127.1",
    "0x7f.0.0.1",
    "2130706433",
    "::1",
    "127.0.0.1:9464:80",
    "127.0.0.1 evil",
    "127.0.0.1,evil.example",
    "localhost/../evil",
    "\u0661.example",
    "[fe80::1]",
)


@pytest.mark.parametrize("host", [*HERE, *ELSEWHERE])
def test_a_page_whose_name_was_pointed_at_this_machine_reads_no_metrics(host: str) -> None:
    told: list[str] = []
    environ = {"PATH_INFO": "/healthz", "HTTP_HOST": host}
    body = b"".join(application(Metrics(), local=True)(environ, lambda status, headers: told.append(status)))
    assert told == (["200 OK"] if host in HERE else ["421 Misdirected Request"])
    assert (b"status" in body) is (host in HERE)


@pytest.mark.parametrize("host", ["127.0.0.1", "evil.example", "localhost:1", "hooks.people.example"])
def test_neither_host_nor_forwarded_headers_make_a_delivery_genuine_or_not(one: House, host: str) -> None:
    body = hubspot_event("1")
    for signed, expected in ((hubspot_signed(body), 200), ({}, 401)):
        told = {
            "Host": host,
            "X-Forwarded-Host": "evil.example",
            "X-Forwarded-Proto": "http",
            "Origin": "http://evil.example",
        }
        lines = ["POST /hooks/hubspot HTTP/1.1", *(f"{n}: {v}" for n, v in {**told, **signed}.items())]
        head = "\r\n".join([*lines, f"Content-Length: {len(body)}"]) + "\r\n\r\n"
        assert status(knock(one, head + body.decode())) == expected
