"""Nothing that is a person's, and no secret, is in a log, an error or the metrics, however loud the log is and whatever
a platform repeats in its refusals."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog

from config.clock import ManualClock
from config.errors import ClosedloopError
from connectors import registry
from connectors.sandbox import Answer, Call, FaultKind, Sandbox
from connectors.trust import trust
from sync import scaffold
from sync.cli.logs import LIBRARIES, configure
from sync.metrics import Metrics, listen
from sync.runs import Options, Report, Runner
from sync.state.keys import KEY_FILE
from sync.workspace import Workspace

CLOCK = ManualClock(datetime(2026, 11, 23, 9, tzinfo=UTC))
PERSON = {
    "email": "zqcanary.one@zqdomain.example",
    "firstname": "Zqfirst",
    "lastname": "Zqlast",
    "jobtitle": "Zqtitle",
    "phone": "+4930901820777",
}
OTHER = {"Email": "zqcanary.two@zqdomain.example", "LastName": "Zqtwo", "Company": "Zqcompany", "Title": "Zqother"}
PLATFORMS = ("hubspot", "salesforce", "activecampaign")
MARKS = ("zq", "0901820777")


def echo(status: int) -> Any:
    """A refusal that repeats all it was told, as real ones do."""

    def answer(call: Call) -> Answer:
        said = call.body.decode("utf-8", "replace") + call.raw_path + str(dict(call.headers))
        return Answer.of({"message": said, "category": "VALIDATION_ERROR", "errors": [{"message": said}]}, status)

    return answer


@pytest.fixture
def loud() -> Iterator[io.StringIO]:
    """The log as a command has it, every word of it, and where it goes."""
    root, heard = logging.getLogger(), io.StringIO()
    before = {name: logging.getLogger(name).level for name in (*LIBRARIES, "root")}
    handler = logging.StreamHandler(heard)
    configure(verbose=True)
    wrapper = structlog.make_filtering_bound_logger(logging.DEBUG)
    structlog.configure(wrapper_class=wrapper, logger_factory=structlog.PrintLoggerFactory(heard))
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield heard
    root.removeHandler(handler)
    structlog.reset_defaults()
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


def spied(sandbox: Sandbox, heard: set[str]) -> Sandbox:
    """The sandbox; every credential that reaches it is noted."""
    honest = sandbox.before

    def before(call: Call) -> Answer | None:
        heard.update(call.headers.get("authorization", "").split()[1:])
        return honest(call)

    sandbox.before = before  # type: ignore[method-assign]
    return sandbox


def test_no_canary_is_told(
    tmp_path: Path, loud: io.StringIO, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CLOSEDLOOP_KEY", raising=False)
    heard: set[str] = set()
    made = {name: registry.platform(name).sandbox(seed=5, clock=CLOCK) for name in PLATFORMS}
    started = {name: spied(sandbox, heard).start() for name, sandbox in made.items()}
    try:
        told = _lived(tmp_path, started)
    finally:
        for sandbox in started.values():
            sandbox.stop()
    out, err = capfd.readouterr()
    secrets = heard | {(tmp_path / KEY_FILE).read_text()} | _secrets(started)
    assert len(secrets) >= 4
    whole = told + out + err + loud.getvalue()
    assert "call.retry" in whole  # the log was there
    assert {mark for mark in MARKS if mark in whole.lower()} == set()
    assert {secret[:6] for secret in secrets if secret in whole} == set()


def _secrets(started: dict[str, Any]) -> set[str]:
    found = (value for sandbox in started.values() for value in sandbox.account()["auth"].values())
    return {str(value) for value in found if len(str(value)) > 12}


def _lived(folder: Path, started: dict[str, Any]) -> str:
    """All that is told of some syncs, good and bad: errors, reports, metrics."""
    chosen = {name: scaffold.sandbox_connection(folder, name, made) for name, made in started.items()}
    scaffold.write(folder, chosen, tail="qualification: {qualified_when: \"lead.title != ''\"}\n")
    person = started["hubspot"].put("contacts", dict(PERSON))
    started["hubspot"].put("contacts", {"email": "zqbad@", "firstname": "Zqbad", "phone": "zqcall"})
    started["salesforce"].put("leads", dict(OTHER))
    told: list[str] = []
    with Workspace.open(folder, clock=CLOCK) as workspace:
        for status in (0, 400, 401, 403, 429, 500, 0):
            _upset(started, status)
            told += _reported(Runner(workspace).run("sync", list(workspace.connections), Options(approve=True)))
            told += _looked_up(workspace)
            CLOCK.advance(300)
            started["hubspot"].edit("contacts", person, {"jobtitle": f"Zq{status}"})
        told.append(_metrics(workspace))
    return "\n".join(told)


def _looked_up(workspace: Workspace) -> list[str]:
    """The errors of looking somebody up by their address, which stands in the calls' addresses then."""
    told = []
    for name, object, key in (("activecampaign", "contacts", "email"), ("salesforce", "leads", "Email")):
        try:
            workspace.connector(name).read(object, key, [PERSON["email"]], [key])
        except ClosedloopError as error:
            told += [str(error), repr(error)]
    return told


def _upset(started: dict[str, Any], status: int) -> None:
    for sandbox in started.values():
        sandbox.faults.clear()
        if status:
            sandbox.inject(FaultKind.ANSWER, "contacts|leads|sobjects|query", times=3, answer=echo(status))


def _reported(report: Report) -> list[str]:
    causes: list[str] = []
    for error in report.errors:
        causes += [str(error), repr(error), str(error.__dict__)]
    return [*causes, str(report.counts), str(report.calls)]


def _metrics(workspace: Workspace) -> str:
    metrics = Metrics()
    metrics.ticked(workspace)
    server = listen("127.0.0.1:0", metrics)
    try:
        pages = (f"http://127.0.0.1:{server.server_port}/{page}" for page in ("metrics", "healthz"))
        return "".join(httpx.get(page, verify=trust(), trust_env=False).text for page in pages)
    finally:
        server.shutdown()
        server.server_close()
