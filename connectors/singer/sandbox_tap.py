"""The sandbox's tap, a program of its own with nothing but Python: `--config FILE [--discover] [--catalog FILE]
[--state FILE]`. What it prints its source decides, see `sandbox.py`."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from typing import Any, NoReturn


def _file(option: str) -> Any:
    if option not in sys.argv:
        return None
    with open(sys.argv[sys.argv.index(option) + 1], encoding="utf-8") as file:
        return json.load(file)


def _fail(what: str, code: int = 1) -> NoReturn:
    sys.stderr.write(f"CRITICAL {what}\n")
    raise SystemExit(code)


def _ask(config: Any, method: str, path: str, body: Any = None) -> Any:
    connection = http.client.HTTPConnection(config["base_url"].split("//")[1], timeout=30)
    headers = {"authorization": f"Bearer {config.get('access_token')}"}
    try:
        connection.request(method, path, json.dumps(body), headers)
        answer = connection.getresponse()
        told = answer.read()
    except OSError as error:
        _fail(f"no answer: {type(error).__name__}")
    finally:
        connection.close()
    if answer.status != 200:
        _fail(f"{answer.status} {answer.reason} for the token {config.get('access_token')}")
    return json.loads(told)


def _misbehave(behave: Any, number: int) -> None:
    """Before the message of this number."""
    if behave.get("child") and number == 0:
        child = subprocess.Popen([sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)"])
        sys.stderr.write(f"child {child.pid}\n")
    while behave.get("shout") == number:
        sys.stderr.write("shouting without end\n" * 100)
    if behave.get("hang_after") == number:
        time.sleep(600)
    if behave.get("garbage_after") == number:
        sys.stdout.write("Fetching page 1 for ana@people.example\n")
    if behave.get("die_after") == number:
        _fail(behave.get("last", "out of luck"), behave.get("exit", 1))


def _print(told: Any) -> None:
    behave = told.get("behave") or {}
    for number, message in enumerate([*told["messages"], None]):
        _misbehave(behave, number)
        if message is not None:
            sys.stdout.write(json.dumps(message) + "\n")
            sys.stdout.flush()


def main() -> None:
    """What a tap does when it is called."""
    config = _file("--config")
    if "--discover" in sys.argv:
        sys.stdout.write(json.dumps(_ask(config, "GET", "/catalog")) + "\n")
        return
    catalog = _file("--catalog") or _file("--properties") or {"streams": []}
    wanted = [entry["stream"] for entry in catalog["streams"] if entry.get("selected")]
    _print(_ask(config, "POST", "/sync", {"streams": wanted, "state": _file("--state")}))


if __name__ == "__main__":
    main()
