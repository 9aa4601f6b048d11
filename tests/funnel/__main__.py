"""`make funnel`: run the loop on the real funnel and print its outcome as one line of JSON."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import structlog

from tests.funnel import loop


def main() -> int:
    """0 when the loop ends where the file says it must."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    root = Path(os.environ.get("CLOSEDLOOP_SHARED") or Path(__file__).parents[3] / "shared")
    data = root / "data" / "olist_marketing_funnel"
    if not data.is_dir():
        print(f"The funnel's data is not at hand ({data}); set CLOSEDLOOP_SHARED.", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="closedloop-funnel-") as folder:
        outcome, people = loop.run(Path(folder), data)
    print(outcome.json())
    wanted = loop.expected(people)
    good = outcome.by_origin == wanted and outcome.last_sync_writes == 0 and outcome.leads == len(people)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
