"""A queue is counted row by row, and the more items the longer: so seldom that it takes a twentieth of the time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest

from taskqueue import QueueService, remaining
from taskqueue.queues.sql_base import SqlBase
from taskqueue.remaining import Remaining
from taskqueue.runs.state import Definition
from taskqueue.runs.store import Runs
from taskqueue.web import counts
from taskqueue.web.counts import Counts

SECONDS, STEP, SHARE = 60.0, 0.05, 20


class Counted:
    """A queue whose counting takes as long as is said, by a clock that only this moves on."""

    def __init__(self, queue: SqlBase, took: float, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.times, self._took = 1000.0, 0, took
        for module in (counts, remaining):
            monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: self.now))
        for name in ("count_states", "number_of_items"):
            monkeypatch.setattr(queue, name, self._slow(getattr(queue, name)))

    def _slow(self, count: Callable[[], object]) -> Callable[[], object]:
        def counted() -> object:
            self.times += 1
            self.now += self._took
            return count()

        return counted

    def ask_for_long(self, ask: Callable[[], object]) -> None:
        """Ask again and again for a minute, as many pages or tasks do."""
        end = self.now + SECONDS
        while self.now < end:
            ask()
            self.now += STEP


@pytest.fixture
def queue(database_url: str) -> Iterator[SqlBase]:
    """A queue with some items."""
    service = QueueService(database_url)
    queue = service.create("SqlParallel", "many")
    assert isinstance(queue, SqlBase)
    queue.create_items(range(3))
    yield queue
    service.close()


@pytest.mark.parametrize(("took", "most"), [(0.0, SECONDS / 0.2), (0.1, SECONDS / (0.1 * SHARE)), (2.0, 2)])
def test_given_many_pages_that_poll_then_the_queue_is_counted_a_twentieth_of_the_time_at_most(
    queue: SqlBase, monkeypatch: pytest.MonkeyPatch, took: float, most: float
) -> None:
    run = Runs.of(queue).create(queue, Definition("Big"))
    counted, known = Counted(queue, took, monkeypatch), Counts()

    counted.ask_for_long(lambda: known.of(queue, run))

    assert 1 < counted.times <= most + 1


@pytest.mark.parametrize(("took", "most"), [(0.0, SECONDS / 5), (0.1, SECONDS / 5), (2.0, 2)])
@pytest.mark.parametrize("is_added_to", [False, True])
def test_given_a_run_that_tells_what_is_left_then_the_queue_is_counted_a_twentieth_of_the_time_at_most(
    queue: SqlBase, monkeypatch: pytest.MonkeyPatch, took: float, most: float, is_added_to: bool
) -> None:
    counted, left = Counted(queue, took, monkeypatch), Remaining(queue)
    if is_added_to:
        most = SECONDS / max(0.25, took * SHARE)

    def ask() -> None:
        queue.changes += is_added_to
        if left.is_due():
            left.count()

    counted.ask_for_long(ask)

    assert 1 < counted.times <= most + 1
