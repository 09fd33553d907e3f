"""Fail the n-th call to the database, for every n of one life cycle: before it is done, or after.

The error comes once. Whatever it hit, nothing that was acknowledged is lost or done twice, no connection is left in
use, no transaction is left open, and whoever goes on afterwards finds a queue that works.

Some errors are tried each time, all of them by ``make faults``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from taskqueue import QueueService
from tests.faults import cycles
from tests.faults.cycles import CallCycle, Cycle, effects, metadata
from tests.faults.failing import ERRORS, Calls, listen
from tests.storage.tapped import tap

#: Those that are tried each time, with the type of the queue: a conflict, and a connection lost before and after.
ALWAYS = {
    ("sqlite", "locked", False): "Sql",
    ("sqlite", "full", False): "SqlParallel",
    ("mariadb", "deadlock", False): "SqlParallel",
    ("mariadb", "lost", False): "Sql",
    ("mariadb", "lost", True): "SqlParallel",
    ("postgresql", "serialization", False): "Sql",
    ("postgresql", "lost", False): "SqlParallel",
    ("postgresql", "lost", True): "Sql",
}
#: The same for deferred calls and messages, whose life is twice as long.
ALWAYS_DEFERRED = {("sqlite", "locked", False), ("mariadb", "lost", True), ("postgresql", "lost", True)}
ALL = [
    (database, error, was_done)
    for database, errors in ERRORS.items()
    for error, (_make, also_after) in errors.items()
    for was_done in ((False, True) if also_after else (False,))
]
IS_SOAK = bool(os.environ.get("SOAK_SECONDS"))


def _case(case: tuple[str, str, bool], *more: str) -> Any:
    database, error, was_done = case
    return pytest.param(*case, *more, id="-".join((database, error, "after" if was_done else "before", *more)))


CASES = [_case(case, name) for case in ALL for name in ("Sql", "SqlParallel") if IS_SOAK or ALWAYS.get(case) == name]
DEFERRED_CASES = [_case(case) for case in ALL if IS_SOAK or case in ALWAYS_DEFERRED]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """All calls on the connections of the package, once :func:`listen` was called also on those of sessions."""
    calls = Calls()
    tap(monkeypatch, calls)
    return calls


@pytest.mark.chaos
@pytest.mark.parametrize(("database", "error", "was_done", "type_name"), CASES)
def test_whichever_call_fails_nothing_is_lost_and_nothing_is_done_twice(
    shared_database: Callable[..., str], calls: Calls, monkeypatch: pytest.MonkeyPatch, database: str, error: str,
    was_done: bool, type_name: str,
) -> None:  # fmt: skip
    fail_each_once(shared_database(database, "every_call"), calls, monkeypatch, ERRORS[database][error][0], was_done,
                   lambda service: Cycle(service, type_name))  # fmt: skip


@pytest.mark.chaos
@pytest.mark.parametrize(("database", "error", "was_done"), DEFERRED_CASES)
def test_whichever_call_fails_deferred_calls_and_messages_are_executed_once(
    shared_database: Callable[..., str], calls: Calls, monkeypatch: pytest.MonkeyPatch, database: str, error: str,
    was_done: bool,
) -> None:  # fmt: skip
    fail_each_once(shared_database(database, "every_deferred_call"), calls, monkeypatch, ERRORS[database][error][0],
                   was_done, CallCycle)  # fmt: skip


def fail_each_once(
    url: str, calls: Calls, monkeypatch: pytest.MonkeyPatch, make: Callable[[], Exception], was_done: bool,
    make_cycle: Callable[[QueueService], Cycle | CallCycle],
) -> None:  # fmt: skip
    """Live as often as a life has calls, and let another one fail each time."""
    service = QueueService(url, allow=[cycles.__name__])
    metadata.create_all(service.engine)
    listen(service, calls, monkeypatch)
    service.queues()

    def life(failing: int | None) -> list[str]:
        with service.engine.begin() as connection:
            connection.execute(effects.delete())
        cycle = make_cycle(service)
        calls.arm(failing, make(), was_done)
        cycle.live()
        seen = calls.number
        calls.disarm()
        cycle.finish()
        found = [f"call {failing} of {seen}: {promise}" for promise in cycle.broken_promises()]
        cycle.forget()
        numbers.append(seen)
        return found

    numbers: list[int] = []
    try:
        assert life(None) == []
        whole = numbers[0]
        assert whole > 40, "the life cycle has become shorter than it was"
        found = [promise for failing in range(1, whole + 1) for promise in life(failing)]
    finally:
        metadata.drop_all(service.engine)
        service.close()
    assert found == []
