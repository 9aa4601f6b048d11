"""JSON Schemas of the project file and of mapping files, for completion in editors."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import orjson

from config.project import Project
from mappings.language import MappingFile
from mappings.model import FIELDS
from mappings.transforms import TRANSFORMS

_DRAFT = "https://json-schema.org/draft/2020-12/schema"


def project_schema() -> dict[str, Any]:
    """The schema of `closedloop.yaml`."""
    schema = Project.model_json_schema()
    # what a connection leaves out follows from its name
    return {"$schema": _DRAFT, **schema, "title": "Closedloop project"}


def mapping_schema() -> dict[str, Any]:
    """The schema of a mapping file, with the unified fields and the transforms as suggestions."""
    schema = MappingFile.model_json_schema()
    entry = schema["$defs"]["Entry"]["properties"]
    known = sorted({name for fields in FIELDS.values() for name in fields})
    entry["field"] = {**entry["field"], "anyOf": [{"enum": known}, {"type": "string"}]}
    transform = {"anyOf": [{"enum": sorted(TRANSFORMS)}, {"type": "object", "maxProperties": 1}]}
    entry["transform"] = {**entry["transform"], "items": transform}
    return {"$schema": _DRAFT, **schema, "title": "Closedloop mapping"}


def write(folder: Path) -> list[Path]:
    """Write both schemas into `folder`; the files written."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, schema in (("closedloop", project_schema()), ("mapping", mapping_schema())):
        path = folder / f"{name}.schema.json"
        path.write_bytes(orjson.dumps(schema, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
        written.append(path)
    return written


if __name__ == "__main__":
    write(Path(sys.argv[1]))
