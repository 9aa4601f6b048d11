"""A new connector as a package of its own: the template under another name, with what makes it installable.

The template (`connectors/template`) is a connector like every other, of a platform that there is not: what is written
here keeps the rules as it stands, and is made another platform's by editing.
"""

from __future__ import annotations

import re
from pathlib import Path

from config.errors import Misconfigured
from connectors import registry

TEMPLATE = Path(registry.__file__).parent / "template"
FILES = ("__init__.py", "manifest.yaml", "client.py", "connector.py", "mapping.yaml", "sandbox.py", "README.md")

_PROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "closedloop-acme"
version = "0.1.0"
description = "Acme for Closedloop."
readme = "README.md"
requires-python = ">=3.11"
dependencies = ["closedloop"]

[project.entry-points."closedloop.connectors"]
acme = "closedloop_acme:platform"

[tool.hatch.build.targets.wheel]
packages = ["closedloop_acme"]

# the conformance suite comes with Closedloop as a pytest plugin: a test for each rule
[tool.pytest.ini_options]
testpaths = ["tests"]
addopts = "--connector acme"
"""

_README = """\
# closedloop-acme

Acme for Closedloop. As it was made it speaks to a platform that there is not; `closedloop_acme/` is to be edited.

    pip install -e .
    pytest                      # the rules that every connector keeps, over the sandbox, and the tests of its own
    closedloop connectors       # shows it beside the others
"""

_TEST = '''\
"""What is Acme's own; the rules that all connectors keep come by `--connector acme` (pyproject.toml)."""

from __future__ import annotations

from closedloop_acme import platform
from config.errors import RecordRejected
from connectors.api import Operation, Verb
from connectors.conformance import bench


def test_a_refused_value_names_its_field_and_not_itself() -> None:
    with bench(platform) as made, made.connected() as connector:
        values = {"email": "new@people.example", "first_name": "x" * 101}
        operation = Operation("one", Verb.CREATE, "contacts", values, match={"email": values["email"]})
        error = made.push(connector, operation)["one"].error
        assert isinstance(error, RecordRejected)
        assert error.field == "first_name"
        assert "xxx" not in str(error)


def test_a_list_of_several_pages_is_pulled_whole() -> None:
    with bench(platform) as made, made.connected() as connector:
        made.sandbox.page = 1
        assert made.pulled(connector, "contacts").ids == set(made.ids["contacts"])
'''


def write(name: str, folder: Path) -> list[Path]:
    """A package for the platform `name` in `folder`; its files.

    Raises Misconfigured for a name that is none or is taken, and for a folder that holds anything.
    """
    _refuse(name, folder)
    package = f"closedloop_{name}"
    texts = {
        Path("pyproject.toml"): _PROJECT,
        Path("README.md"): _README,
        Path("tests") / f"test_{name}.py": _TEST,
        **{Path(package) / file: (TEMPLATE / file).read_text(encoding="utf-8") for file in FILES},
    }
    written = []
    for place, text in texts.items():
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(renamed(text, name), encoding="utf-8")
        written.append(path)
    return written


def _refuse(name: str, folder: Path) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name) or len(name) > 40:
        raise Misconfigured(f"{name!r} is no name.", fix="Lower-case letters, digits and _, like my_crm.")
    if name in registry.names():
        raise Misconfigured(f"There is a connector {name!r} already.", fix="Choose another name.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Misconfigured(f"{folder} is not empty.", fix="Name another folder with --folder.")


def renamed(text: str, name: str) -> str:
    """The template's text for the platform `name`: `my_crm`, `MyCrmConnector`, `My Crm`, `api.my-crm.example`."""
    words = name.split("_")
    title = " ".join(word.capitalize() for word in words)
    dashed = "-".join(words)
    text = re.sub(r"acme(?=\.example|-signature)|(?<=loop-)acme", dashed, text)
    text = re.sub(r"Acme(?=-Signature)", "-".join(word.capitalize() for word in words), text)
    text = re.sub(r"Acme(?=[A-Z])", title.replace(" ", ""), text)
    return text.replace("ACME", name.upper()).replace("Acme", title).replace("acme", name)
