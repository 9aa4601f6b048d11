"""The sandbox's bulk read: jobs that take a look or two, and a zipped CSV that tells everything as text."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable
from typing import Any

from connectors.zoho import coql
from connectors.zoho.sandbox_coql import parse, shown
from connectors.zoho.sandbox_store import Store

Row = dict[str, Any]
MOST = 200_000


def started(store: Store, id: str, query: Row, queued: int) -> Row:
    """A job. Raises Refused for a module or field that there is not."""
    module, fields = query["module"]["api_name"], [name for name in query.get("fields") or () if name != "Tag"]
    parse(coql.select(fields[:50] or ["id"], module, "(id is not null)", "id", 1))
    now = store.now()
    return {"id": id, "query": query, "state": "ADDED", "looks": queued, "at": now, "by": store.user}


def told(job: Row, count: int) -> Row:
    """What a look at the job says; each look brings it further."""
    job["looks"] -= 1
    if job["state"] not in ("FAILURE", "COMPLETED"):
        job["state"] = "COMPLETED" if job["looks"] < 0 else "IN PROGRESS"
    page = int(job["query"].get("page") or 1)
    shown_: Row = {
        "id": job["id"],
        "operation": "read",
        "state": job["state"],
        "query": {**job["query"], "module": {**job["query"]["module"], "id": "6100000000000002175"}},
        "created_by": {"id": job["by"], "name": "Rita Ortega"},
        "created_time": job["at"],
        "file_type": "csv",
        "Attachment_Source__s": "custom_file",
        "File_Id__s": None,
    }
    if job["state"] == "COMPLETED":
        link = f"/crm/bulk/v8/read/{job['id']}/result"
        here = max(0, min(MOST, count - MOST * (page - 1)))
        more = count > MOST * page
        shown_["result"] = {"page": page, "per_page": MOST, "count": here, "download_url": link, "more_records": more}
    return shown_


def packed(job: Row, rows: list[Row], look: Callable[[str, str], Row]) -> bytes:
    """The job's file. Of lookups it has the id, of tags the names, of lists what stands in them, with semicolons."""
    fields = job["query"]["fields"]
    plain = [name for name in fields if name != "Tag"]
    page = int(job["query"].get("page") or 1)
    made = io.StringIO()
    lines = csv.writer(made, lineterminator="\n")
    lines.writerow(["Id" if name == "id" else name for name in fields])
    query = parse(coql.select(plain[:50], job["query"]["module"]["api_name"], "(id is not null)", "id", 1))
    for row in rows[MOST * (page - 1) : MOST * page]:
        values = shown(row, query, look) | {"Tag": [tag["name"] for tag in row.get("Tag") or ()]}
        lines.writerow([_cell(values[name]) for name in fields])
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(f"{job['id']}.csv"), made.getvalue())
    return body.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return str(value["id"])
    return ";".join(map(str, value)) if isinstance(value, list) else str(value)
