"""A tap as a process: started without a shell, in a group of its own, read line by line, and ended for certain.

Nothing is read ahead of what is asked for but what lies in the pipe: a tap that is faster than its reader waits.
"""

from __future__ import annotations

import os
import re
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from config.errors import AuthorizationLost, ClosedloopError, Misconfigured, RetryLater

LONGEST = 8_000_000
"""Bytes of a line. The engine takes no record beyond a million."""
CHUNK = 65_536
BREATH = 15.0
"""Seconds after which a silent tap's reader says that it still waits."""
GRACE = 3.0
"""Seconds from the request to end to the end."""
PASSED_ON = re.compile(
    r"(PATH|HOME|USER|LOGNAME|LANG|LC_\w+|TZ|TMPDIR|TEMP|SYSTEMROOT|SSL_CERT_\w+|REQUESTS_CA_BUNDLE|\w+_proxy)", re.I
)
"""What of our environment a tap gets: the rest may hold other connections' secrets."""
_REFUSED = re.compile(
    r"\b40[13]\b|unauthori[sz]ed|forbidden|not authenticated|authentication"
    r"|invalid[\w ]{0,20}(token|credential|api.?key)",
    re.I,
)


class TapProcess:
    """One run of a tap. `waiting` is called every BREATH while it is silent; `hidden` are texts never to be shown."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        connection: str,
        timeout: float,
        hidden: frozenset[str],
        waiting: Callable[[], None],
    ) -> None:
        self._connection, self._timeout, self._hidden, self._waiting = connection, timeout, hidden, waiting
        environment = {name: value for name, value in os.environ.items() if PASSED_ON.fullmatch(name)}
        try:
            self._process = subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                env={**environment, "PYTHONUNBUFFERED": "1"},
            )
        except OSError as error:
            raise Misconfigured(
                f"The tap cannot be started: {error.strerror}.",
                fix="Install it into an environment of its own, and name its program in settings.tap.",
                connection=connection,
            ) from None
        self._tail = b""
        self._listener = threading.Thread(target=self._listen, name=f"tap-{connection}", daemon=True)
        self._listener.start()

    def lines(self) -> Iterator[bytes]:
        """The lines of its output, to its good end. Raises what became of a bad one."""
        held: list[bytes] = []
        for chunk in self._chunks():
            first, *others = chunk.split(b"\n")
            held.append(first)
            if others:
                yield b"".join(held)
                yield from others[:-1]
                held = [others[-1]]
            elif sum(map(len, held)) > LONGEST:
                raise self.trouble(f"wrote a line longer than {LONGEST} bytes", "long_line")
        yield b"".join(held)
        self._end_well()

    def _chunks(self) -> Iterator[bytes]:
        assert self._process.stdout is not None
        fd = self._process.stdout.fileno()
        with selectors.DefaultSelector() as selector:
            selector.register(fd, selectors.EVENT_READ)
            while chunk := self._chunk(selector, fd):
                yield chunk

    def _chunk(self, selector: selectors.BaseSelector, fd: int) -> bytes:
        """What it wrote; nothing at its end."""
        until = time.monotonic() + self._timeout
        while (left := until - time.monotonic()) > 0:
            if selector.select(min(left, BREATH)):
                return os.read(fd, CHUNK)
            self._waiting()
        raise self.trouble(f"was silent for {self._timeout:g} seconds", "silent")

    def _end_well(self) -> None:
        try:
            code = self._process.wait(self._timeout)
        except subprocess.TimeoutExpired:
            raise self.trouble(f"did not end within {self._timeout:g} seconds of its last word", "silent") from None
        self._listener.join(GRACE)
        if code:
            raise self._failure(code)

    def _failure(self, code: int) -> ClosedloopError:
        if code < 0:
            return self.trouble(f"was ended by signal {-code}", "killed")
        last = self.last_word()
        told = f"The tap ended with code {code}.{last}"
        if _REFUSED.search(last):
            return AuthorizationLost(told, fix="Renew what it logs in with.", connection=self._connection)
        if code in (2, 126, 127):  # the shell's and argparse's words for a wrong call
            return Misconfigured(told, fix="Run the tap by hand with the same settings.", connection=self._connection)
        return self.trouble(f"ended with code {code}", "ended")

    def trouble(self, what: str, code: str) -> RetryLater:
        """The tap did `what`: the next run may do better."""
        return RetryLater(
            f"The tap {what}.{self.last_word()}",
            after=60,
            fix="Try again later; if it stays so, run the tap by hand with the same settings.",
            connection=self._connection,
            code=code,
        )

    def last_word(self) -> str:
        """The last line of its standard error, without what may be personal or secret."""
        lines = [line for line in self._tail.decode("utf-8", "replace").splitlines() if line.strip()]
        return f" It said last: {harmless(lines[-1].strip(), self._hidden)}" if lines else ""

    def _listen(self) -> None:
        assert self._process.stderr is not None
        fd = self._process.stderr.fileno()
        while chunk := os.read(fd, CHUNK):
            self._tail = (self._tail + chunk)[-4096:]

    def close(self) -> None:
        """It and all that it started are gone."""
        if self._process.poll() is None:
            self._signal(signal.SIGTERM)
            try:
                self._process.wait(GRACE)
            except subprocess.TimeoutExpired:
                pass  # the next line ends it for certain
        self._signal(signal.SIGKILL)
        self._process.wait()
        self._listener.join(GRACE)
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._process.stdout.close()
        if not self._listener.is_alive():  # else somebody who left the group still holds it, and we still read
            self._process.stderr.close()

    def _signal(self, number: int) -> None:
        try:
            os.killpg(self._process.pid, number)
        except (ProcessLookupError, PermissionError):
            pass  # nobody of the group is left


_MASKS = (
    re.compile(r"\S+@\S+"),  # addresses, and URLs with a log-in
    re.compile(r"(?<=\?)\S+"),  # a URL's query
    re.compile(r"[{\[](?!Errno).*[}\]]|\{.*"),  # rows and records
    re.compile(r"(?<!module named )'[^']*'|\"[^\"]*\""),  # quoted values
    re.compile(r"[\w-]{20,}"),  # tokens
    re.compile(r"\+?\d[\d ()-]{5,}\d"),  # phone and other long numbers
)


def harmless(text: str, hidden: frozenset[str]) -> str:
    """`text` without the `hidden` ones and without what looks like a value, at most 200 characters of it."""
    for secret in sorted(hidden, key=len, reverse=True):
        if len(secret) > 2:
            text = text.replace(secret, "***")
    for mask in _MASKS:
        text = mask.sub("…", text)
    return "".join(letter if letter.isprintable() else " " for letter in text)[:200]
