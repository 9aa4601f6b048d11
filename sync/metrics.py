"""Health and Prometheus metrics on a local port: `/healthz` and `/metrics`.

Where the port is on loopback only who asks for loopback is answered: a page that a browser here has open, and whose
name its owner points at this machine, asks for that name.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import orjson
from prometheus_client import CollectorRegistry, Counter, Gauge, make_wsgi_app
from sqlalchemy import func, select

from config.errors import Misconfigured
from config.project import is_here, is_loopback
from sync.hints import pending_of_all
from sync.state.schema import conflicts, journal, leads, quarantine, runs, streams
from sync.workspace import Workspace


class Metrics:
    """What the daemon tells the outside. Counts and times only: no names, no values of any lead."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        labels = ("connection",)
        self._runs = Counter("closedloop_runs_total", "Finished runs", ("connection", "state"), registry=self.registry)
        self._records = Counter(
            "closedloop_records_total",
            "Records by what became of them",
            ("connection", "part", "state"),
            registry=self.registry,
        )
        self._last = Gauge(
            "closedloop_last_run_timestamp_seconds", "End of the last finished run", labels, registry=self.registry
        )
        self._waiting = Gauge("closedloop_waiting", "What waits for a person", ("what",), registry=self.registry)
        self._leads = Gauge("closedloop_leads", "Live leads", registry=self.registry)
        self._hooks = Counter(
            "closedloop_webhooks_total",
            "Webhook deliveries by what became of them",
            ("connection", "outcome"),
            registry=self.registry,
        )
        self._hints = Gauge(
            "closedloop_hints_pending", "Records that webhooks said to read", labels, registry=self.registry
        )
        self._calls = Gauge("closedloop_api_calls", "API calls since the start", labels, registry=self.registry)
        self._health: dict[str, Any] = {"status": "starting", "connections": {}}
        self._lock = threading.Lock()

    def finished(self, workspace: Workspace, run: str) -> None:
        """Count one finished run."""
        with workspace.state.read() as tx:
            row = tx.execute(select(runs).where(runs.c.id == run)).one()
        counts = orjson.loads(row.counts)
        for connection in orjson.loads(row.connections):
            self._runs.labels(connection, row.state).inc()
            self._last.labels(connection).set(workspace.clock.now().timestamp())
            for part in ("pull", "write"):
                for states in counts.get(part, {}).get(connection, {}).values():
                    for state, number in states.items():
                        self._records.labels(connection, part, state).inc(number)
            with self._lock:
                self._health["connections"][connection] = {"state": row.state, "finished_at": row.finished_at}

    def hooked(self, connection: str, outcome: str) -> None:
        """Count one webhook delivery: received, greeted, refused, failed, too_large, too_slow."""
        self._hooks.labels(connection, outcome).inc()

    def ticked(self, workspace: Workspace) -> None:
        """Read the gauges from the state."""
        waiting = {
            "quarantined": select(func.count()).select_from(quarantine).where(quarantine.c.state == "open"),
            "parked": select(func.count()).select_from(conflicts).where(conflicts.c.state == "open"),
            "in_doubt": select(func.count()).select_from(journal).where(journal.c.state.in_(["sent", "in_doubt"])),
            "incomplete_streams": select(func.count()).select_from(streams).where(~streams.c.complete),
        }
        with workspace.state.read() as tx:
            for what, query in waiting.items():
                self._waiting.labels(what).set(tx.execute(query).scalar() or 0)
            live = select(func.count()).select_from(leads).where(leads.c.state == "live")
            self._leads.set(tx.execute(live).scalar() or 0)
            told = pending_of_all(tx)
        for connection in workspace.connections:
            self._hints.labels(connection).set(told.get(connection, 0))
        for connection, calls in workspace.calls.items():
            self._calls.labels(connection).set(calls)
        with self._lock:
            failed = any(entry["state"] == "failed" for entry in self._health["connections"].values())
            self._health["status"] = "degraded" if failed else "ok"
            self._health["ticked_at"] = workspace.now()

    def health(self) -> bytes:
        with self._lock:
            return orjson.dumps(self._health)


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    timeout = 10  # who says nothing is hung up on

    def log_message(self, format: str, *args: Any) -> None:
        """Scrapes are no news."""


def application(metrics: Metrics, *, local: bool = False) -> Callable[..., Iterable[bytes]]:
    """The WSGI application of both pages; `local` for those who ask for this machine alone."""
    prometheus = make_wsgi_app(metrics.registry)

    def answer(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if local and not _is_asked_here(environ.get("HTTP_HOST", "")):
            start_response("421 Misdirected Request", [("Content-Type", "text/plain")])
            return [b"Ask for 127.0.0.1 or localhost.\n"]
        if environ["PATH_INFO"] == "/metrics":
            pages: Iterable[bytes] = prometheus(environ, start_response)
            return pages
        if environ["PATH_INFO"] == "/healthz":
            start_response("200 OK", [("Content-Type", "application/json")])
            return [metrics.health()]
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b"/healthz or /metrics\n"]

    return answer


def _is_asked_here(host: str) -> bool:
    """Whether a `Host` header names this machine."""
    found = _HOST.fullmatch(host)
    return found is not None and is_here((found[1] or found[2]).lower())


_HOST = re.compile(r"(?:\[([0-9a-fA-F:.]{2,45})\]|([0-9a-zA-Z.-]{1,253}))(?::\d{1,5})?", re.ASCII)


def listen(address: str, metrics: Metrics) -> WSGIServer:
    """Serve both pages on `host:port` in a thread. Raises Misconfigured when the port cannot be had."""
    host, _, port = address.rpartition(":")
    local = is_loopback(f"{host or '127.0.0.1'}:{port}")
    try:
        server = make_server(host or "127.0.0.1", int(port), application(metrics, local=local), _Server, _Quiet)
    except (OSError, ValueError) as error:
        raise Misconfigured(
            f"The daemon cannot listen on {address}: {error}.",
            fix="If the project's daemon runs already, that is enough. Else change daemon.metrics in the project file.",
        ) from error
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server
