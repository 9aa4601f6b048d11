"""The fence before every call to a platform: whoever lost a connection's lease calls no more.

A chunk of writes may take a platform many minutes, in which no transaction of ours would renew the lease or find it
lost. So every call passes here first. While operations are written, the stored token is compared before each call; the
lease is renewed as calls go out, so that a slow platform does not cost it.

Calls are counted here too: while something is read, so many of them without anything to store are a platform that gives
ever new pages of what a connector puts together before it yields.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from config.errors import Misconfigured
from connectors.api import Budget
from sync.state.database import State
from sync.state.leases import Lease

ENDLESS = "If the account is so large, raise guards.pages; else look where base_url leads, and who answers there."


class Fence:
    """Who may call the platforms of one process, by connection."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._posts: dict[str, _Post] = {}

    def hold(self, connections: Sequence[str], leases: Sequence[Lease]) -> None:
        """Calls to these connections are made under these leases, one each, until `drop`."""
        for connection, lease in zip(connections, leases, strict=True):
            self._posts[connection] = _Post(lease)

    def drop(self, connections: Sequence[str]) -> None:
        for connection in connections:
            self._posts.pop(connection, None)

    @contextmanager
    def writing(self, connection: str) -> Iterator[None]:
        """Inside, every call to `connection` is preceded by a look at the stored token."""
        post = self._posts.get(connection)
        if post is not None:
            post.strict = True
        try:
            yield
        finally:
            if post is not None:
                post.strict = False

    @contextmanager
    def reading(self, connection: str, at_most: int) -> Iterator[None]:
        """Inside, no more than `at_most` calls to `connection` leave without `moved` between them; 0 for no bound."""
        post = self._posts.get(connection)
        if post is not None:
            post.begin(at_most)
        try:
            yield
        finally:
            if post is not None:
                post.begin(0)

    def moved(self, connection: str) -> None:
        """What was read of `connection` is being stored."""
        post = self._posts.get(connection)
        if post is not None:
            post.begin(post.bound)

    def check(self, connection: str) -> None:
        """Raises Fenced when the lease of `connection` is another process's by now; renews it when it is time. Raises
        Misconfigured where call after call brings nothing."""
        post = self._posts.get(connection)
        if post is not None:
            post.count(connection)
            post.check(self._state)


class _Post:
    """A held lease, and when it was renewed last."""

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self.strict = False
        self.bound = 0  # of calls that bring nothing, while something is read
        self._gone = 0
        self._renewed = time.monotonic()
        self._one = threading.Lock()

    def begin(self, bound: int) -> None:
        with self._one:
            self.bound, self._gone = bound, 0

    def count(self, connection: str) -> None:
        with self._one:
            self._gone += 1
            if self.bound and self._gone > self.bound:
                what = f"There seems to be no end: {self.bound} calls brought nothing to store."
                raise Misconfigured(what, fix=ENDLESS, connection=connection, code="endless")

    def check(self, state: State) -> None:
        with self._one:
            if time.monotonic() - self._renewed > self.lease.seconds / 3:
                with state.begin(durable=False) as tx:
                    self.lease.check(tx)
                self._renewed = time.monotonic()
            elif self.strict:
                with state.read() as tx:
                    self.lease.look(tx)


class FencedBudget:
    """A connection's rate budget whose every take passes the fence last, right before the call leaves."""

    def __init__(self, budget: Budget, fence: Fence, connection: str) -> None:
        self._budget = budget
        self._fence = fence
        self._connection = connection

    def take(self, key: str, calls: int, *, rate: float, burst: int) -> None:
        self._budget.take(key, calls, rate=rate, burst=burst)
        self._fence.check(self._connection)

    def block(self, key: str, seconds: float) -> None:
        self._budget.block(key, seconds)
