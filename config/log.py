"""Where a module logs to, without the weight of it before there is anything to log."""

from __future__ import annotations

from typing import Any


class Log:
    """structlog's logger of a name, got at its first word: structlog loads what draws tracebacks on a terminal, a tenth
    of a second that most commands have no need of."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._logger: Any = None

    def __getattr__(self, level: str) -> Any:
        if self._logger is None:
            import structlog

            self._logger = structlog.get_logger(self._name)  # a proxy: it heeds what is configured later
        return getattr(self._logger, level)
