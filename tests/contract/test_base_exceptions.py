"""What is raised and is no ``Exception``: the task has failed, and only Ctrl-C is meant for somebody else."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from taskqueue import BatchQueue, DatabaseUnavailable, ErrorMode, QueueService, Runner, TaskContext, signals
from taskqueue.execution.holding import Holding
from taskqueue.worker.lookout import Lookout
from taskqueue.worker.rota import Rota
from tests.contract.backends import once_per_database, only_memory
from tests.contract.conftest import MakeQueue, MakeService
from tests.contract.tasks import leave, note, step
from tests.contract.workers import at_work, wait_for


class Timeout(BaseException):
    """As that of gevent."""


KINDS = [asyncio.CancelledError, GeneratorExit, Timeout]


def raiser(kind: type[BaseException]) -> Any:
    def task(ctx: TaskContext) -> None:
        raise kind("on purpose")

    return task


@once_per_database
@pytest.mark.parametrize("kind", [*KINDS, KeyboardInterrupt])
def test_in_a_worker_the_task_has_failed_and_the_next_one_is_executed(
    kind: type[BaseException], service: QueueService, make_queue: MakeQueue, effects: list[Any]
) -> None:
    queue = make_queue("jobs", error="dead")
    queue.create_item(step(raiser(kind)))
    queue.enqueue(note, "next")

    with at_work(service, "jobs"):
        wait_for(lambda: effects == ["next"], "the next item is executed")

    [letter] = queue.dead_items()
    assert letter.error == f"{kind.__name__}: on purpose"


@only_memory
def test_in_a_worker_a_batch_has_failed_and_the_next_one_is_executed(
    service: QueueService, make_queue: MakeQueue, effects: list[Any]
) -> None:
    @service.handler("pictures", batch=True)
    def resize(contexts: list[TaskContext], pictures: list[Any]) -> None:
        if "bad" in pictures:
            raise KeyboardInterrupt
        effects.extend(pictures)

    queue = make_queue("jobs", payload="pictures", error="dead")
    for picture in ("bad", "good"):
        queue.create_item(picture)

    with at_work(service, "jobs"):
        wait_for(lambda: effects == ["good"], "the next item is executed")

    assert [letter.error for letter in queue.dead_items()] == ["KeyboardInterrupt"]


@only_memory
@pytest.mark.parametrize("kind", KINDS)
def test_in_the_main_thread_the_task_has_failed_too(
    kind: type[BaseException], make_queue: MakeQueue, effects: list[Any]
) -> None:
    queue = make_queue(error="delete")
    queue.create_item(step(raiser(kind)))
    queue.enqueue(note, "next")

    result = Runner(queue, error_mode=ErrorMode.CONTINUE).run_all()

    assert (result.completed, result.failed, effects) == (1, 1, ["next"])


@only_memory
def test_a_last_step_that_raises_it_has_failed(queue: BatchQueue) -> None:
    result = Runner(queue, on_end=leave).run_all()

    assert (result.is_error, type(result.exception)) == (True, SystemExit)


@only_memory
def test_a_hook_that_raises_it_is_ignored(queue: BatchQueue, effects: list[Any]) -> None:
    queue.enqueue(note, "x")

    with signals.item_finished.connected_to(lambda sender, **facts: raiser(Timeout)(sender)):
        assert Runner(queue).run_all().completed == 1


# --- whatever else happens ---


@once_per_database
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("place, name", [(Rota, "take"), (Lookout, "_listen")])
def test_a_worker_whose_thread_dies_begins_anew(
    place: Any,
    name: str,
    service: QueueService,
    queue: BatchQueue,
    effects: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    # given
    original, has_died = getattr(place, name), threading.Event()

    def die_once(*args: Any) -> Any:
        if not has_died.is_set():
            has_died.set()
            raise SystemExit
        return original(*args)

    monkeypatch.setattr(place, name, die_once)
    # when
    with at_work(service, queue.name):
        assert has_died.wait(20)
        wait_for(lambda: "has died" in caplog.text, "the death is noticed")
        queue.enqueue(note, "x")
        # then
        wait_for(lambda: effects == ["x"], "the item is executed")


@only_memory
def test_what_cannot_be_given_back_is_not_renewed_any_more(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    queue = make_service(heartbeat=0.02).create("Memory", "jobs")
    queue.enqueue(note)
    holding = Holding(queue).__enter__()
    holding.lease(1)
    wait_for(lambda: holding._thread is not None, "the first beat")
    # when
    with monkeypatch.context() as patched, pytest.raises(DatabaseUnavailable):
        patched.setattr(queue, "relinquish_items", raiser(DatabaseUnavailable))
        holding.let_go()
    # then
    assert holding._thread is not None
    holding._thread.join(20)
    assert not holding._thread.is_alive()
