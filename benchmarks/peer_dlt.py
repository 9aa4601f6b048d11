"""dlt reading the same contacts into DuckDB, set up as its HubSpot source is: the CRM list page by page with the
wanted properties, merged on the contact's id. Parquet between its steps is its fastest setting.

python benchmarks/peer_dlt.py ADDRESS FOLDER
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import people

SETTINGS = {
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "RUNTIME__LOG_LEVEL": "CRITICAL",
    "NORMALIZE__LOADER_FILE_FORMAT": "parquet",
}


def config(address: str) -> dict[str, Any]:
    return {
        "client": {"base_url": address, "auth": {"type": "bearer", "token": "pat-bench"}},
        "resources": [
            {
                "name": "contacts",
                "primary_key": "id",
                "write_disposition": "merge",
                "endpoint": {
                    "path": "crm/v3/objects/contacts",
                    "params": {"limit": 100, "properties": ",".join(people.PROPERTIES)},
                    "data_selector": "results",
                    "paginator": {"type": "cursor", "cursor_path": "paging.next.after", "cursor_param": "after"},
                },
            }
        ],
    }


def main(address: str, folder: Path) -> None:
    os.environ.update(SETTINGS)
    import dlt
    from dlt.sources.rest_api import rest_api_source

    folder.mkdir(parents=True, exist_ok=True)
    pipeline = dlt.pipeline(
        "bench",
        pipelines_dir=str(folder / "dlt"),
        destination=dlt.destinations.duckdb(str(folder / "dlt.duckdb")),
        dataset_name="hubspot",
    )
    pipeline.run(rest_api_source(config(address)), loader_file_format="parquet")
    with pipeline.sql_client() as client, client.execute_query("select count(*) from contacts") as cursor:
        print(f'{{"pulled": {cursor.fetchone()[0]}}}')


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
