"""Logs: one event per state change, to standard error, JSON where nobody is watching."""

from __future__ import annotations

import logging
import sys

import structlog

LIBRARIES = (
    "httpx",
    "httpcore",
    "urllib3",
    "requests",
    "hubspot",
    "simple_salesforce",
    "mailchimp_marketing",
    "sqlalchemy",
)
"""What logs addresses of calls, with the addresses of people in them, headers or bodies. What matters of them is in our
own events."""


def configure(*, verbose: bool = False) -> None:
    """Warnings only, or everything of note with `verbose`. Field values and secrets are in no event."""
    for library in LIBRARIES:
        logging.getLogger(library).setLevel(logging.CRITICAL)
    watched = sys.stderr.isatty()
    renderer = structlog.dev.ConsoleRenderer() if watched else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO if verbose else logging.ERROR),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
