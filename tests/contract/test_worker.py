"""What a worker serves, in which turn, and how soon."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from taskqueue import BatchQueue, QueueService, TaskContext, Worker, signals, travel
from taskqueue.storage import wake
from tests.contract.backends import (
    Backend,
    once_per_database,
    only_memory,
    only_sequential,
    only_sql,
    only_sql_parallel,
)
from tests.contract.conftest import MakeQueue, MakeService
from tests.contract.tasks import note, step
from tests.contract.workers import at_work, fences, is_served, wait_for


def test_without_names_it_serves_the_active_queues_with_agent_server(
    service: QueueService, make_queue: MakeQueue, effects: list[Any]
) -> None:
    # given
    for name, options in {
        "asks": {"agent": "server", "error": "abort"},
        "other": {"agent": "browser"},
        "none": {},
        "draft": {"agent": "server", "error": "abort", "status": "draft"},
    }.items():
        make_queue(name, **options).enqueue(note, name)  # type: ignore[arg-type]
    make_queue("model", agent="server", error="abort", is_template=True)
    # when
    report = Worker(service).drain()
    # then
    assert (effects, report.executed, report.ended_by) == (["asks"], 1, "drained")


def test_with_names_it_serves_those_only_whatever_their_agent(
    service: QueueService, make_queue: MakeQueue, effects: list[Any]
) -> None:
    # given
    for name in ("named", "browsers", "other"):
        make_queue(name, agent="browser" if name == "browsers" else None).enqueue(note, name)
    # when
    Worker(service, ["named", "browsers"]).drain()
    # then
    assert sorted(effects) == ["browsers", "named"]


def test_a_queue_that_is_made_later_is_served_too(
    service: QueueService, make_queue: MakeQueue, effects: list[Any]
) -> None:
    with at_work(service):
        # when
        make_queue("late", agent="server", error="abort").enqueue(note, "x")
        # then
        wait_for(lambda: effects == ["x"], "the queue is served")


def test_a_short_queue_does_not_wait_for_a_long_one(
    service: QueueService, make_queue: MakeQueue, effects: list[Any]
) -> None:
    # given: more than a second of work before the short queue, by its name
    make_queue("a-long").create_items(step(_take_a_moment) for _ in range(300))
    make_queue("b-short").create_items(step(lambda ctx: effects.append("short")) for _ in range(3))
    # when
    Worker(service, ["a-long", "b-short"]).drain()
    # then
    places = [place for place, effect in enumerate(effects) if effect == "short"]
    assert len(effects) == 303
    assert len(places) == 3 and places[-1] < 250, places


def _take_a_moment(ctx: TaskContext) -> None:
    time.sleep(0.004)
    note(ctx, "long")


@pytest.mark.parametrize("where", ["same", "other"])
@pytest.mark.parametrize("after", [0.0, 0.1])
def test_it_is_woken_at_once(
    service: QueueService, make_queue: MakeQueue, make_service: MakeService, backend: Backend,
    effects: list[Any], where: str, after: float,
) -> None:  # fmt: skip
    # given: a second queue, so that one is idle while the other is at work
    if where == "other" and not backend.is_sql:
        pytest.skip("Memory has one process")
    queue, _idle = make_queue("busy"), make_queue("idle")
    enqueue = (make_service().load("busy") if where == "other" else queue).enqueue
    with at_work(service, "busy", "idle"):
        enqueue(note, 0)
        wait_for(lambda: effects == [0], "the worker is there")
        # when
        began = time.monotonic()
        for number in range(1, 6):
            time.sleep(after)
            enqueue(note, number)
            wait_for(lambda: effects[-1] == number, "it is picked up")  # noqa: B023
        # then: the look of each second alone would need about five
        assert time.monotonic() - began < 2.0 + 5 * after


@only_sql
@pytest.mark.parametrize("how", ["many", "session"])
def test_it_is_woken_by_what_comes_in_many_at_once_or_with_a_session(
    service: QueueService, make_queue: MakeQueue, make_service: MakeService, effects: list[Any], how: str
) -> None:
    # given
    make_queue("jobs")
    other = make_service().load("jobs")
    with at_work(service, "jobs"):
        began = time.monotonic()
        # when
        for number in range(5):
            task = step(lambda ctx: effects.append(1))
            if how == "many":
                other.create_items([task])
            else:
                with other.database.engine.begin() as connection:  # type: ignore[attr-defined]
                    other.create_item(task, session=connection)
            wait_for(lambda: len(effects) == number + 1, "it is picked up")  # noqa: B023
        # then
        assert time.monotonic() - began < 2.5


def test_what_becomes_due_is_picked_up_though_the_clock_jumps(
    service: QueueService, make_queue: MakeQueue, effects: list[Any]
) -> None:
    # given
    queue = make_queue("jobs")
    with at_work(service, "jobs"):
        queue.create_item(step(lambda ctx: effects.append("due")), delay=3600)
        queue.enqueue(note, "first", weight=-1)
        wait_for(lambda: effects == ["first"], "the worker is there")
        # when
        with travel(3601):
            # then
            wait_for(lambda: effects == ["first", "due"], "the delayed item is executed")
        # and when the clock is back again
        queue.enqueue(note, "back")
        wait_for(lambda: effects[-1] == "back", "the worker goes on")


@only_sequential
@pytest.mark.parametrize("workers", [1, 2])
def test_a_sequential_queue_stays_sequential(
    service: QueueService, make_queue: MakeQueue, make_service: MakeService, backend: Backend,
    effects: list[Any], workers: int,
) -> None:  # fmt: skip
    # given
    if workers == 2 and not backend.is_sql:
        pytest.skip("Memory has one process")
    make_queue("jobs").create_items(step(_journal(effects, number)) for number in range(40))
    services = [service, *(make_service() for _ in range(workers - 1))]
    # when
    threads = [threading.Thread(target=Worker(one, ["jobs"], threads=4, prefetch=3).drain) for one in services]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # then
    assert effects == [(kind, number) for number in range(40) for kind in ("start", "end")]


def _journal(journal: list[Any], number: int) -> Any:
    def task(ctx: TaskContext) -> None:
        journal.append(("start", number))
        time.sleep(0.003)
        journal.append(("end", number))

    return task


@only_sql_parallel
def test_the_threads_of_a_worker_share_a_parallel_queue(service: QueueService, make_queue: MakeQueue) -> None:
    # given: tasks that end only when four run at a time
    barrier = threading.Barrier(4, timeout=10)
    queue = make_queue("jobs", error="dead")
    queue.create_items(step(lambda ctx: barrier.wait() and None) for _ in range(4))
    # when
    report = Worker(service, ["jobs"], threads=4).drain()
    # then
    assert (report.executed, queue.dead_items()) == (4, [])


def test_a_paused_queue_is_left_alone_until_it_is_resumed(
    service: QueueService, make_queue: MakeQueue, effects: list[Any]
) -> None:
    # given
    paused, other = make_queue("paused"), make_queue("other")
    with at_work(service, "paused", "other"):
        paused.enqueue(note, "before")
        wait_for(lambda: effects == ["before"], "the worker is there")
        # when
        paused.set_status("paused")
        paused.enqueue(note, "after")
        other.enqueue(note, "other")
        wait_for(lambda: effects[-1] == "other", "the worker goes on elsewhere")
        # then
        assert effects == ["before", "other"]
        # and when
        paused.set_status("active")
        wait_for(lambda: effects[-1] == "after", "it goes on")


@only_sql
def test_items_of_a_paused_queue_are_not_claimed_again_and_again(
    service: QueueService, make_queue: MakeQueue, other_of: Any, effects: list[Any]
) -> None:
    # given
    paused, other = make_queue("paused"), make_queue("other")
    with at_work(service, "paused", "other"):
        wait_for(lambda: is_served(service, "paused"), "the queue is served")
        # when
        theirs = other_of(paused)
        theirs.set_status("paused")
        theirs.enqueue(note, "x")
        wait_for(lambda: not is_served(service, "paused"), "the worker has noticed")
        # then: at most one claim, given back, for each look at all queues that came too early
        (fence,) = fences(paused)
        assert fence <= 4, "claimed and given back again and again"
        # and when there is more
        theirs.enqueue(note, "y")
        for number in range(3):
            other.enqueue(note, number)
            wait_for(lambda: effects[-1:] == [number], "the worker looks around")  # noqa: B023
        # then
        assert fences(paused) == [fence, 0]


def test_a_receiver_of_queue_active_may_hold_a_queue_back(
    service: QueueService, make_queue: MakeQueue, effects: list[Any]
) -> None:
    # given
    held, free = make_queue("held"), make_queue("free")
    is_held = threading.Event()
    is_held.set()

    def hold_back(queue: BatchQueue) -> bool | None:
        return False if queue.name == "held" and is_held.is_set() else None

    with signals.queue_active.connected_to(hold_back), at_work(service, "held", "free"):
        # when
        held.enqueue(note, "held")
        free.enqueue(note, "free")
        wait_for(lambda: effects, "the worker is there")
        # then
        assert (effects, fences(held)) == (["free"], [0])
        # and when
        is_held.clear()
        wait_for(lambda: effects == ["free", "held"], "the queue is served")


def test_a_queue_whose_payload_nobody_handles_here_is_left_alone(
    service: QueueService, make_queue: MakeQueue, effects: list[Any]
) -> None:
    # given
    strange = make_queue("strange", payload="nobody-handles-this")
    strange.create_item({"x": 1})
    make_queue("jobs").enqueue(note, "x")
    # when
    Worker(service, ["strange", "jobs"]).drain()
    # then
    assert (effects, fences(strange)) == (["x"], [0])


def test_a_queue_that_is_deleted_meanwhile_does_not_stop_the_others(
    service: QueueService, make_queue: MakeQueue, effects: list[Any]
) -> None:
    # given
    make_queue("gone").enqueue(note, "gone")
    make_queue("jobs")
    with at_work(service, "gone", "jobs"):
        wait_for(lambda: effects == ["gone"], "the worker is there")
        # when
        service.delete("gone")
        service.load("jobs").enqueue(note, "x")
        # then
        wait_for(lambda: effects == ["gone", "x"], "the worker goes on")


@once_per_database
def test_one_damaged_registration_does_not_stop_the_others(
    service: QueueService, make_queue: MakeQueue, effects: list[Any]
) -> None:
    # given
    make_queue("damaged"), make_queue("jobs").enqueue(note, "x")
    service.database.statement(lambda tx: tx.change("UPDATE {queue} SET options = 'xx' WHERE name = 'damaged'"))
    # when
    with at_work(service, "damaged", "jobs"):
        # then
        wait_for(lambda: effects == ["x"], "the other queue is served")


@once_per_database
def test_hundreds_of_queues_can_be_served(
    service: QueueService, make_queue: MakeQueue, other_of: Any, effects: list[Any]
) -> None:
    # given
    for number in range(200):
        make_queue(f"q{number:03}", agent="server", error="abort")
    last = other_of(service.load("q199"))
    with at_work(service):
        last.enqueue(note, "now")
        wait_for(lambda: effects == ["now"], "the last queue is served")
        # when
        last.create_item(step(lambda ctx: effects.append("due")), delay=0.3)
        # then
        wait_for(lambda: effects == ["now", "due"], "what becomes due in it is noticed")


@once_per_database
def test_a_failing_watch_does_not_stop_the_worker(
    service: QueueService, make_queue: MakeQueue, other_of: Any, effects: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    failures = 0

    def fail(*_: Any) -> Any:
        nonlocal failures
        failures += 1
        raise OSError("no connection to be had")

    for watch in (wake.Probing, wake.Versioned):
        monkeypatch.setattr(watch, "_has_changed", fail)
    monkeypatch.setattr(wake.Listening, "_listening", fail)
    other = other_of(make_queue("jobs"))
    # when
    with at_work(service, "jobs"):
        wait_for(lambda: failures, "the watch fails")
        for number in range(2):
            other.enqueue(note, number)
            # then: the look of each second finds it
            wait_for(lambda: effects[-1:] == [number], "it is picked up")  # noqa: B023


@only_memory
def test_a_worker_of_memory_queues_opens_no_database(
    service: QueueService, make_queue: MakeQueue, effects: list[Any]
) -> None:
    # given
    make_queue("jobs").enqueue(note, "x")
    # when
    Worker(service, ["jobs"]).drain()
    # then
    assert (effects, service._database) == (["x"], None)
