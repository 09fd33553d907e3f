"""Networks that swallow, delay and cut: no call hangs beyond its deadline, and every promise holds.

A call has a deadline for each answer (``read_timeout``), and after the first failure it tries again for a while
(patience); an attempt that has begun by then takes its own time. ``NETWORK_SECONDS=60`` disturbs the swarm for longer.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from taskqueue import QueueItem, Runner, TaskContext, TaskQueueError, Worker
from taskqueue.errors import DatabaseUnavailable, OutcomeUnknown
from taskqueue.queues.batch import BatchQueue
from taskqueue.storage import deadlines, wake
from tests.faults.checks import violations
from tests.faults.child import LEASE
from tests.faults.history import DEADLINE, wait_until
from tests.faults.lines import Lines
from tests.faults.proxy import DatabaseProxy
from tests.faults.stage import Stage
from tests.servers import SERVER_DATABASES, Server

#: Of disturbance, for each kind of it.
SECONDS = float(os.environ.get("NETWORK_SECONDS") or 2.5)
#: In seconds: for an answer, for each step of connecting, and for new attempts after the first failure.
READ, CONNECT, PATIENCE = 1, 2, 0.5
#: A call may be in two attempts that hang; and so much more on a busy machine.
LONGEST, MORE = READ + PATIENCE + max(READ, CONNECT), 2.0

UNAVAILABLE = (DatabaseUnavailable, OutcomeUnknown)

pytestmark = [pytest.mark.chaos, pytest.mark.parametrize("database_url", SERVER_DATABASES, indirect=True)]


@pytest.fixture
def server(request: pytest.FixtureRequest, database_url: str) -> Server:
    """The server of the test's database."""
    found: Server = request.getfixturevalue(f"{request.node.callspec.params['database_url']}_server")
    return found


@pytest.fixture
def lines(server: Server, database_url: str) -> Iterator[Lines]:
    lines = Lines(server, database_url, read_timeout=str(READ), connect_timeout=str(CONNECT))
    lines.bad.database._patience = PATIENCE
    yield lines
    lines.close()


@pytest.fixture
def queue(lines: Lines) -> BatchQueue:
    """A queue whose service has connections in both of its pools."""
    queue = lines.create("SqlParallel", batch_limit=5)
    queue.create_item("x")
    with lines.bad.engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    return queue


# --- no call hangs -------------------------------------------------------------------------------


def in_time(call: Callable[[], object], seconds: float) -> BaseException | None:
    """Call it; fail when it takes longer than that (and some), give back what it raised."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            call()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    began = time.monotonic()
    thread.start()
    thread.join(DEADLINE)
    took = time.monotonic() - began
    assert not thread.is_alive(), "it hangs"
    assert took < seconds + MORE, f"it took {took:.1f} s"
    return raised[0] if raised else None


def use_session(lines: Lines) -> None:
    with lines.bad.engine.begin() as connection:
        connection.execute(text("SELECT 1"))


CALLS: dict[str, Callable[[BatchQueue, QueueItem, Lines], object]] = {
    "enqueue": lambda queue, _item, _lines: queue.create_item("y"),
    "enqueue-many": lambda queue, _item, _lines: queue.create_items(range(1000)),
    "claim": lambda queue, _item, _lines: queue.claim_item(),
    "heartbeat": lambda queue, item, _lines: queue.extend_lease(item),
    "complete": lambda queue, item, _lines: queue.delete_item(item),
    "release": lambda queue, item, _lines: queue.release_item(item),
    "statistics": lambda queue, _item, _lines: queue.statistics(),
    "list": lambda queue, _item, _lines: [*queue.items()],
    "pause": lambda queue, _item, _lines: queue.set_status("paused"),
    "session": lambda _queue, _item, lines: use_session(lines),
    "first-use": lambda _queue, _item, lines: use_first(lines),
}


def use_first(lines: Lines) -> None:
    """As a process that has just begun."""
    service = type(lines.bad)(lines.url)
    service.database._patience = PATIENCE
    try:
        service.queues()
    finally:
        service.close()


def test_given_a_black_hole_when_called_then_each_call_says_so_in_time_and_works_when_that_is_over(
    lines: Lines, queue: BatchQueue
) -> None:
    # given: connections in the pool for some of the calls; the others will connect
    queue.create_items(range(len(CALLS)))
    items = [queue.claim_item() for _ in CALLS]
    fill_pool(lines, 5)
    # when: all at once, to wait for them once
    with lines.proxy.black_hole(), ThreadPoolExecutor(len(CALLS)) as pool:
        jobs = {
            name: pool.submit(in_time, partial(call, queue, item, lines), LONGEST)
            for (name, call), item in zip(CALLS.items(), items, strict=True)
        }
        errors = {name: job.result() for name, job in jobs.items()}
    # then: a session is not ours, and has the errors of SQLAlchemy
    assert isinstance(errors.pop("session"), OperationalError)
    assert {name for name, error in errors.items() if not isinstance(error, UNAVAILABLE)} == set(), errors
    assert in_time(lambda: queue.create_item("after"), 1) is None
    assert in_time(lambda: use_session(lines), CONNECT) is None


def test_given_connections_that_a_gateway_has_forgotten_when_called_then_one_deadline_later_it_is_done(
    lines: Lines, queue: BatchQueue
) -> None:
    # given: an idle pool of several, all of them dead
    fill_pool(lines, 5)
    with lines.proxy.black_hole(old_only=True):
        # when, then: the first finds out for all
        assert in_time(lambda: queue.create_item("one"), READ) is None
        assert in_time(lambda: queue.create_item("two"), 0) is None
        assert in_time(lambda: use_session(lines), CONNECT) is None
    assert sorted(item.data for item in lines.seen.items()) == ["one", "two", "x"]


def test_given_long_idle_connections_that_a_gateway_has_forgotten_when_called_then_they_are_tried_first(
    lines: Lines, queue: BatchQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given: a write whose outcome nobody could tell
    monkeypatch.setattr(deadlines, "IDLE", 0.0)
    with lines.proxy.black_hole(old_only=True):
        # when, then
        assert in_time(lambda: queue.create_items(range(5)), CONNECT) is None
    assert lines.seen.number_of_items() == 6


def fill_pool(lines: Lines, count: int) -> None:
    """Let so many connections lie idle in the pool."""
    barrier = threading.Barrier(count)
    with ThreadPoolExecutor(count) as pool:
        for _ in range(count):
            pool.submit(lines.bad.database.statement, lambda _tx: barrier.wait(DEADLINE), write=False)


def test_given_a_black_hole_under_the_transaction_of_a_task_when_it_goes_on_then_it_hears_so_in_time(
    lines: Lines, queue: BatchQueue
) -> None:
    def fall_in(ctx: TaskContext) -> None:
        with ctx.transaction() as session:
            session.execute(text("SELECT 1"))
            with lines.proxy.black_hole():
                error = in_time(lambda: session.execute(text("SELECT 1")), READ)
            raised.append(error)
            raise error or AssertionError

    raised: list[BaseException | None] = []
    in_hand.append(fall_in)
    queue = lines.create("SqlParallel")
    queue.enqueue(act)
    Runner(queue).run_all(wait=0)

    assert [type(error) for error in raised] == [OperationalError]
    assert lines.seen.number_of_items() == 1


#: What the task does.
in_hand: list[Callable[[TaskContext], None]] = []


def act(ctx: TaskContext) -> None:
    in_hand.pop()(ctx)


@pytest.mark.parametrize("harm", ["cut", "hole"])
def test_given_a_listener_whose_line_is_dead_when_items_come_then_the_worker_hears_of_them_again(
    lines: Lines, queue: BatchQueue, harm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    monkeypatch.setattr(wake, "QUIET", 0.2)
    heard: list[Any] = []
    stop = threading.Event()
    watch = wake.open_watch(lines.bad.database, stop)
    watch.wait(list, 0.01)
    # when
    if harm == "cut":
        lines.proxy.cut()
    else:
        with lines.proxy.black_hole(old_only=True):
            pass

    def listen() -> None:
        while not stop.is_set():
            with suppress(TaskQueueError):
                heard.extend(watch.wait(lambda: [queue.name], 0.05))

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()

    def is_heard() -> bool:
        lines.seen.create_item("y")
        time.sleep(0.05)
        return queue.name in heard

    # then
    try:
        wait_until(is_heard, "the worker hears of new items")
    finally:
        stop.set()
        thread.join(DEADLINE)
        watch.close()
    assert not thread.is_alive()


def test_given_a_worker_in_a_black_hole_when_it_is_asked_to_stop_then_it_does_so_in_time(
    lines: Lines, queue: BatchQueue
) -> None:
    worker = Worker(lines.bad, threads=1)
    thread = threading.Thread(target=worker.run, daemon=True)
    thread.start()
    time.sleep(0.5)
    with lines.proxy.black_hole():
        time.sleep(0.2)
        worker.stop()
        thread.join(DEADLINE)
    assert not thread.is_alive()


# --- every promise holds ---------------------------------------------------------------------------


def cuts(proxy: DatabaseProxy, dice: random.Random, end: float) -> int:
    """Connections end, some or all at a time, whatever they are in the middle of: pools, listeners, heartbeats."""
    count = 0
    while time.monotonic() < end:
        time.sleep(dice.uniform(0.05, 0.4))
        count += proxy.cut(dice.choice([0.2, 0.5, 1.0]), dice)
    return count


def holes(proxy: DatabaseProxy, dice: random.Random, end: float) -> int:
    """Nothing gets through for a while; or connections are forgotten, and new ones work."""
    count = 0
    while time.monotonic() < end:
        count += proxy.connections
        with proxy.black_hole(old_only=dice.random() < 0.5):
            time.sleep(dice.uniform(0.1, 1.5))
        time.sleep(dice.uniform(0.3, 1.0))
    return count


def latency(proxy: DatabaseProxy, dice: random.Random, end: float) -> int:
    """Each answer takes 200 ms."""
    proxy.delay = 0.2
    time.sleep(max(0.0, end - time.monotonic()))
    proxy.delay = 0.0
    return 0


def losses(proxy: DatabaseProxy, dice: random.Random, end: float) -> int:
    """Now and then the answer to a write is lost."""
    count = 0
    while time.monotonic() < end:
        with proxy.swallow(times=dice.randint(1, 3)) as lost:
            time.sleep(dice.uniform(0.05, 0.2))
        count += len(lost.hits)
    return count


def test_given_a_swarm_when_its_network_misbehaves_then_every_promise_holds(
    stage: Stage, server: Server, database_url: str
) -> None:
    # given: producers on a straight line, because who adds an item, and loses the answer, finds it as long as it
    # stands, and here it is gone in a moment
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # shown by pytest when the test fails
    dice = random.Random(seed)
    stage.create("SqlParallel")
    stage.create_effects()
    with DatabaseProxy(server.name, server.port) as proxy:
        url = proxy.through(database_url, read_timeout=str(READ), connect_timeout=str(CONNECT))
        producers = [stage.start("produce", first=number * 1_000_000) for number in (1, 2)]
        servants = [stage.start("serve", url=url) for _ in range(3)]
        stage.history.wait_for("finished", count=3)
        # when
        harm = {act.__name__: act(proxy, dice, time.monotonic() + SECONDS) for act in (cuts, holes, latency, losses)}
        stage.announce_the_end()
        healed = time.time()
        for child in [*producers, *servants]:
            child.wait_until_done()
        # A servant may have found the queue empty, and ended, just before a producer's last item came.
        stage.start("serve", url=url).wait_until_done()
    took = max(line["time"] for line in stage.history.lines("finished")) - healed
    # then
    assert violations(stage.history.lines(), stage.effects(), sum(harm.values())) == []
    assert stage.queue.statistics() == dict.fromkeys(stage.queue.statistics(), 0)
    assert took < LEASE + 5, f"all was done only {took:.1f} s after the network was whole again"
    assert harm["cuts"] >= 5 and harm["losses"] >= 5 and len(stage.effects()) >= 50, f"too little happened: {harm}"
    print(f"connections harmed: {harm}; {len(stage.effects())} items, done {took:.1f} s after the end of it")
