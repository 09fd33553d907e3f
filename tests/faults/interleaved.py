"""Two sessions whose statements are let through one at a time, in a given order.

Each is a thread that stands before its next statement until it is its turn. One that waits in the database for a lock
of the other is seen there, and the order goes on with the other.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any

from tests.faults.history import DEADLINE

#: "all": every order of all statements, however many; else of at most so many steps of each.
_WANTED = os.environ.get("INTERLEAVINGS", "4")
_WAITING = {
    "mysql": "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS "
    "WHERE VARIABLE_NAME = 'INNODB_ROW_LOCK_CURRENT_WAITS'",
    "postgresql": "SELECT COUNT(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'",
}
#: Seconds until it is asked whether a session that has not come to its next statement waits for a lock.
_SOON = 0.004

Operation = Callable[[], Any]


class Session:
    """One of the two: a thread with an operation of the product."""

    def __init__(self, name: str, operation: Operation) -> None:
        self.name = name
        self.answer: Any = None
        self.error: BaseException | None = None
        self.statements: list[str] = []
        self.is_blocked = False
        self._operation = operation
        self._change = threading.Condition()
        self._stands = self._may_pass = self.is_done = False
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)

    def _run(self) -> None:
        try:
            self.answer = self._operation()
        except BaseException as error:
            self.error = error
        with self._change:
            self.is_done = True
            self._change.notify_all()

    def arrive(self, sql: str) -> None:
        """Stand before a statement until it is let through."""
        with self._change:
            self._stands = True
            self._change.notify_all()
            assert self._change.wait_for(lambda: self._may_pass, DEADLINE), f"{self.name} was forgotten before {sql}"
            self._stands = self._may_pass = False
            self.statements.append(sql)
            self._change.notify_all()

    def let_through(self) -> None:
        """Its next statement, and what it does until the one after that."""
        with self._change:
            self._may_pass = True
            self._change.notify_all()
            self._change.wait_for(lambda: not self._may_pass, DEADLINE)

    def has_settled(self, seconds: float) -> bool:
        """Whether it stands before a statement, or has come to its end."""
        with self._change:
            return self._change.wait_for(lambda: self._stands or self.is_done, seconds)


class Pair:
    """Lets two sessions go on in an order such as "ABBA", and then to their ends.

    Arguments:
        locks: tells how many sessions wait for a lock in the database at the moment.
    """

    def __init__(self, first: Operation, second: Operation, locks: Callable[[], int]) -> None:
        self.sessions = {"A": Session("A", first), "B": Session("B", second)}
        self._locks = locks

    def run(self, order: str) -> tuple[Session, Session]:
        """Both, at their ends."""
        _sessions.update({session.thread: session for session in self.sessions.values()})
        try:
            for session in self.sessions.values():
                session.thread.start()
                self._settle()
            for name in order:
                self._step(name)
            while not all(session.is_done for session in self.sessions.values()):
                self._step("A" if not self.sessions["A"].is_done else "B")
        finally:
            _sessions.clear()
        return self.sessions["A"], self.sessions["B"]

    def _step(self, name: str) -> None:
        session, other = self.sessions[name], self.sessions["B" if name == "A" else "A"]
        if session.is_done or session.is_blocked:
            session = other
        if not session.is_done and not session.is_blocked:
            session.let_through()
        self._settle()

    def _settle(self) -> None:
        """Wait until nothing moves any more."""
        give_up = time.monotonic() + DEADLINE
        for session in self.sessions.values():
            session.is_blocked = False
        while moving := [s for s in self.sessions.values() if s.thread.ident and not s.has_settled(_SOON)]:
            assert time.monotonic() < give_up, [(s.name, s.statements) for s in self.sessions.values()]
            if len(moving) == 1 and self._locks() and not moving[0].has_settled(0):
                moving[0].is_blocked = True
                return


_sessions: dict[threading.Thread, Session] = {}


def gated(sql: str, commits: bool, send: Callable[[], Any]) -> Any:
    """A tap on the statements of all sessions; others pass."""
    session = _sessions.get(threading.current_thread())
    # With the first statement a transaction really begins; nothing can happen between the two that would matter.
    if session is not None and not sql.startswith(("BEGIN", "START")):
        session.arrive(sql)
    return send()


def waiting_for_locks(dialect: str) -> str:
    """The query that tells how many sessions of the server wait for a lock."""
    return _WAITING[dialect]


def orders(first: int, second: int) -> Iterator[str]:
    """All orders of so many steps of A and of B; of more than four each what :data:`_WANTED` says."""
    most = max(first, second) if _WANTED == "all" else int(_WANTED)
    steps = {"A": min(first, most), "B": min(second, most)}
    # What comes before the last ones only reads, and is one step.
    long = {"A": first - steps["A"] + 1, "B": second - steps["B"] + 1}
    for places in combinations(range(sum(steps.values())), steps["A"]):
        order = "".join("A" if place in places else "B" for place in range(sum(steps.values())))
        for name, length in long.items():
            order = order.replace(name, name * length, 1)
        yield order
