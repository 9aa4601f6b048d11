"""The sandbox's exports of CRM data validation: jobs that take their time, and addresses that end."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from config.clock import Clock
from connectors.linkedin.sandbox_restli import Row

TAKES = timedelta(minutes=30)
LIVES = timedelta(hours=24)


@dataclass
class Exports:
    """Jobs by id, flagged records with the time they were flagged. `fails`: the next job ends in an internal error;
    `per_file`: rows in one file."""

    clock: Clock
    jobs: dict[str, Row] = field(default_factory=dict)
    flagged: list[Row] = field(default_factory=list)
    fails: bool = False
    per_file: int = 1000
    next_job: int = 148

    def ms(self) -> int:
        return round(self.clock.now().timestamp() * 1000)

    def start(self, since: int) -> str:
        id = str(self.next_job)
        self.next_job += 1
        self.jobs[id] = {"since": since, "until": self.ms(), "fails": self.fails}
        self.fails = False
        return id

    def told(self, id: str, base: str) -> Row | None:
        """The job as it stands: at work for half an hour, then done for a day."""
        job = self.jobs.get(id)
        if job is None:
            return None
        shown = {"jobId": int(id), "exportStartAt": job["since"], "exportEndAt": job["until"]}
        done = job["until"] + TAKES.total_seconds() * 1000
        if self.ms() < done:
            return {**shown, "status": "PROCESSING"}
        if job["fails"]:
            return {**shown, "status": "FAILED_DUE_TO_INTERNAL_ERROR"}
        files = range(0, max(1, len(self._rows(job))), self.per_file)
        return {
            **shown,
            "status": "COMPLETED",
            "downloadUrls": [f"{base}/ambry/{id}/{n // self.per_file}" for n in files],
            "nextExportStartAt": job["until"],
            "expireAt": int(done + LIVES.total_seconds() * 1000),
        }

    def file(self, id: str, number: int) -> bytes | None:
        """One of a finished job's files; None once its address has ended."""
        job = self.jobs.get(id)
        if job is None or self.ms() >= job["until"] + (TAKES + LIVES).total_seconds() * 1000:
            return None
        rows = self._rows(job)[number * self.per_file :][: self.per_file]
        lines = ["recordId,recordType", *(f"{row['id']},{row['type']}" for row in rows)]
        return ("\r\n".join(lines) + "\r\n").encode()

    def _rows(self, job: Row) -> list[Row]:
        return [row for row in self.flagged if job["since"] <= row["at"] < job["until"]]
