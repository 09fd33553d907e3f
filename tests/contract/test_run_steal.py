"""Taking over: only what is held by somebody without a sign of life, and then for good."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from taskqueue import BatchQueue, QueueService, Runner, RunResult, Task, TaskContext, travel
from taskqueue.errors import RunMovedOn
from taskqueue.execution.holding import Holding
from taskqueue.queues.sql_base import process
from taskqueue.runs.look import Look
from taskqueue.runs.state import RunState
from taskqueue.storage import runs
from tests.contract import tasks
from tests.contract.backends import Backend, only_sql
from tests.contract.conftest import MakeService
from tests.contract.records import (
    act,
    begin,
    counted,
    counters,
    everything,
    kinds,
    run_of,
    sql,
    store,
)

pytestmark = only_sql
#: Seconds. No second sign of life comes during a test, and a holder is lost when two are missing.
HEARTBEAT = 1000.0
ALIVE, SILENCE, LEASE = 2 * HEARTBEAT - 60, 2 * HEARTBEAT + 1, 4 * HEARTBEAT
STALE_AFTER = 30.0


@pytest.fixture
def service(make_service: MakeService) -> QueueService:
    """A service whose leases outlast the silence of their holders."""
    return make_service(lease_slice=LEASE, stale_after=STALE_AFTER, heartbeat=HEARTBEAT)


@pytest.fixture
def queue(service: QueueService, backend: Backend) -> BatchQueue:
    """A queue of that service."""
    return service.create(backend.type, "jobs")


@pytest.fixture
def page(make_service: MakeService, queue: BatchQueue) -> BatchQueue:
    """The same queue in the process of the page."""
    return make_service(stale_after=STALE_AFTER, heartbeat=1.0).load(queue.name)


def refused_without_effect(queue: BatchQueue, action: Callable[[], None]) -> None:
    before = everything(queue)
    with pytest.raises(RunMovedOn):
        action()
    assert everything(queue) == before


class Holder:
    """A process that holds an item in the middle of its task, and gives no further sign of life."""

    def __init__(self, queue: BatchQueue) -> None:
        self._queue = queue
        self._goes_on = threading.Event()
        self._is_in_hand = threading.Event()
        self._results: list[RunResult] = []
        self.should_stop: list[bool] = []
        self._thread = threading.Thread(target=lambda: self._results.append(Runner(queue).run_all()))

    def task(self, ctx: TaskContext) -> None:
        """The task that is taken over."""
        if self._is_in_hand.is_set():
            tasks.effects.append("again")
            return
        self._is_in_hand.set()
        assert self._goes_on.wait(60)
        tasks.effects.append("too late")

    def hold(self) -> tuple[RunState, int, int]:
        """Begin; the run, and the id and fence of the item in hand."""
        self._thread.start()
        assert self._is_in_hand.wait(30)
        assert tasks.until(lambda: _beats(self._queue) == 1)
        item = next(one for one in self._queue.items() if one.release_time is not None)
        assert item.fence >= 1
        return run_of(self._queue), item.id, item.fence

    def let_go(self) -> RunResult:
        """Let the task end."""
        self._goes_on.set()
        self._thread.join(60)
        return self._results[0]


def _beats(queue: BatchQueue) -> int:
    read = "SELECT COUNT(*) FROM {holder} WHERE token = :token"
    return int(sql(queue).database.transaction(lambda tx: tx.row(read, token=process.token))[0])


@pytest.fixture
def holder(queue: BatchQueue) -> Iterator[Holder]:
    """The process that will be taken for lost."""
    made = Holder(queue)
    yield made
    made._goes_on.set()
    if made._thread.is_alive():
        made._thread.join(60)


def test_an_item_in_the_hands_of_the_living_is_not_taken(queue: BatchQueue, page: BatchQueue, holder: Holder) -> None:
    queue.create_item(tasks.step(holder.task))
    run, item_id, fence = holder.hold()

    with travel(ALIVE):
        refused_without_effect(page, lambda: act(page, run).steal(item_id, fence))
    assert holder.let_go()
    assert counters(run_of(queue)) == counted(1, done=1)


def test_an_item_of_the_lost_is_taken_blocks_the_run_and_is_theirs_no_more(
    queue: BatchQueue, page: BatchQueue, holder: Holder
) -> None:
    queue.create_item(tasks.step(holder.task, "Long"))
    run, item_id, fence = holder.hold()

    with travel(SILENCE):
        act(page, run).steal(item_id, fence)
        refused_without_effect(page, lambda: act(page, run).steal(item_id, fence))
        refused_without_effect(page, lambda: act(page, run).steal(item_id, fence + 1))

    found = run_of(page)
    standing = page.fetch_item(item_id)
    assert found.problem is not None and standing is not None
    assert (found.status, found.problem.kind, found.problem.title) == ("blocked", "lost_lease", "Long")
    assert (found.problem.item_id, found.problem.fence) == (item_id, standing.fence) == (item_id, fence + 1)
    assert (standing.interruptions, standing.failures, standing.release_time) == (1, 0, None)

    result = holder.let_go()

    assert (bool(result), result.completed, tasks.effects) == (False, 0, ["too late"])
    assert page.fetch_item(item_id) == standing
    assert counters(run_of(page)) == counted(1, done=0)
    assert run_of(page).status == "blocked"


@pytest.mark.parametrize("verb", ["retry", "skip"])
def test_what_was_taken_is_decided_on_like_any_other_problem(
    queue: BatchQueue, page: BatchQueue, holder: Holder, verb: str
) -> None:
    queue.create_item(tasks.step(holder.task))
    queue.enqueue(tasks.note, "behind")
    run, item_id, fence = holder.hold()
    with travel(SILENCE):
        act(page, run).steal(item_id, fence)

    getattr(act(page, run), verb)(item_id, fence + 1)

    assert Runner.of_run(page, run).run_all()
    assert run_of(page).status == "completed"
    assert tasks.effects == (["again"] if verb == "retry" else []) + ["behind"]
    holder.let_go()
    found = run_of(page)
    assert counters(found) == counted(2, done=2) if verb == "retry" else counted(2, done=1, skipped=1)
    assert kinds(page, found).count("taken_over") == 1


@pytest.mark.parametrize(
    "what", ["old fence", "next fence", "another item", "a ready item", "another queue", "no item"]
)
def test_what_the_page_did_not_show_is_not_taken(
    service: QueueService, queue: BatchQueue, page: BatchQueue, holder: Holder, what: str, backend: Backend
) -> None:
    queue.create_item(tasks.step(holder.task))
    ready = queue.enqueue(tasks.note)
    elsewhere = service.create(backend.type, "elsewhere")
    elsewhere.enqueue(tasks.note)
    run, item_id, fence = holder.hold()
    with Holding(elsewhere) as theirs:
        (their_item,) = theirs.lease(1)
        asked = {
            "old fence": (item_id, fence - 1),
            "next fence": (item_id, fence + 1),
            "another item": (ready.id, fence),
            "a ready item": (ready.id, ready.fence),
            "another queue": (their_item.id, their_item.fence),
            "no item": (10**9, fence),
        }[what]

        with travel(SILENCE):
            refused_without_effect(page, lambda: act(page, run).steal(*asked))


def test_an_item_that_somebody_claimed_by_hand_is_never_taken(queue: BatchQueue, page: BatchQueue) -> None:
    queue.enqueue(tasks.note)
    run = begin(queue)
    item = queue.claim_item(LEASE)
    assert item is not None
    # Somebody else than a runner gives no signs of life, which says nothing.
    sql(queue).database.transaction(lambda tx: tx.change("UPDATE {item} SET holder = 'somebody'"))

    with travel(SILENCE):
        refused_without_effect(page, lambda: act(page, run).steal(item.id, item.fence))


def test_what_was_leased_ahead_is_freed_with_the_item_that_is_taken(
    queue: BatchQueue, page: BatchQueue, backend: Backend
) -> None:
    for number in range(3):
        queue.enqueue(tasks.note, number)
    run = begin(queue)
    with Holding(queue) as holding:
        first, second, third = holding.lease(3) if backend.is_sequential else [holding.lease(1)[0] for _ in range(3)]
        assert tasks.until(lambda: _beats(queue) == 1)

        with travel(SILENCE):
            act(page, run).steal(first.id, first.fence)

        expected = 0 if backend.is_sequential else 2
        assert page.get_statistic("leased") == expected
        assert queue.delete_items([second, third]) == ([second, third] if backend.is_sequential else [])


def test_who_gives_signs_of_life_by_another_clock_is_judged_by_that_of_the_database(
    queue: BatchQueue, page: BatchQueue, holder: Holder, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.create_item(tasks.step(holder.task))
    run, item_id, fence = holder.hold()

    monkeypatch.setattr("time.time", lambda: 4e9)
    monkeypatch.setattr("taskqueue.clock._origin_ms", 4e12)
    refused_without_effect(page, lambda: act(page, run).steal(item_id, fence))


def test_a_page_is_told_of_all_that_is_in_hand(queue: BatchQueue, page: BatchQueue, holder: Holder) -> None:
    queue.create_item(tasks.step(holder.task, "Long"))
    run, item_id, fence = holder.hold()

    def look(shift: float) -> Any:
        with travel(shift):
            database = sql(page).database
            row = database.statement(lambda tx: runs.find(tx, run.id), write=False)
            (seen,) = database.statement(lambda tx: Look(sql(page)).in_hand(tx, row), write=False)
            return seen

    now, later = look(0), look(SILENCE)
    assert (now.item_id, now.fence, now.title, now.attempt) == (item_id, fence, "Long", 1)
    assert (now.is_stale, later.is_stale) == (False, True)
    assert now.beat_age < 60 and SILENCE <= later.beat_age < SILENCE + 60


def test_a_stolen_item_that_is_retried_begins_with_fresh_attempts(
    service: QueueService, make_service: MakeService, backend: Backend
) -> None:
    queue = service.create(backend.type, "again", retry_limit=1)
    page = make_service(stale_after=STALE_AFTER).load("again")
    holder = Holder(queue)
    queue.create_item(tasks.step(lambda ctx: ctx.attempt > 1 and holder.task(ctx) is None))
    run, item_id, fence = holder.hold()
    with travel(SILENCE):
        act(page, run).steal(item_id, fence)

    act(page, run).retry(item_id, fence + 1)

    standing = page.fetch_item(item_id)
    assert standing is not None and (standing.failures, standing.interruptions) == (0, 0)
    holder.let_go()


@pytest.mark.parametrize(("age", "period", "is_lost"), [(29, 3, False), (31, 3, True), (31, 20, False), (41, 20, True)])
def test_a_holder_is_lost_after_stale_after_and_two_of_its_own_beats(
    queue: BatchQueue, page: BatchQueue, age: int, period: int, is_lost: bool
) -> None:
    item = queue.enqueue(tasks.note)
    run = begin(queue)
    with Holding(queue) as holding:
        holding.lease(1)
        assert tasks.until(lambda: _beats(queue) == 1)
        change = "UPDATE {holder} SET beat_time = {now} - :age, beat_period = :period"
        sql(queue).database.transaction(lambda tx: tx.change(change, age=age * 1000, period=period * 1000))

        if is_lost:
            act(page, run).steal(item.id, 1)
        else:
            refused_without_effect(page, lambda: act(page, run).steal(item.id, 1))


def test_a_run_that_was_taken_over_can_be_carried_on_in_a_terminal(
    queue: BatchQueue, page: BatchQueue, holder: Holder
) -> None:
    queue.create_item(tasks.step(holder.task))
    run, item_id, fence = holder.hold()
    with travel(SILENCE):
        act(page, run).steal(item_id, fence)

    assert Runner(page).run_all()
    assert tasks.effects == ["again"]
    holder.let_go()
    assert (run_of(page).id, run_of(page).status, counters(run_of(page))) == (run.id, "completed", counted(1, done=1))


def test_a_task_in_a_slice_of_a_page_is_taken_over_too(queue: BatchQueue, page: BatchQueue) -> None:
    run = begin(queue)
    item = queue.create_item(Task(tasks.note, ("x",)))
    holding = Holding(queue)
    with holding:
        holding.lease(1)
        assert tasks.until(lambda: _beats(queue) == 1)
        with travel(SILENCE):
            act(page, run).steal(item.id, 1)
    assert store(page).get(run.id).status == "blocked"
