"""Handlers that take many items at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from taskqueue import BatchQueue, Later, Retry, Runner, TaskContext, Unrecoverable, run_loop
from tests.contract import tasks
from tests.contract.backends import Backend, once_per_database, only_memory
from tests.contract.conftest import MakeService
from tests.contract.records import begin, counted, counters, drive_to_the_end
from tests.contract.store import overwrite

Answer = Callable[[list[TaskContext], list[Any]], Any]


@pytest.fixture
def make_thumbs(make_service: MakeService, backend: Backend) -> Callable[..., BatchQueue]:
    """Makes a queue whose batch handler notes what it gets, and answers as it is told."""

    def make(answer: Answer = lambda contexts, data: None, count: int = 7, **options: Any) -> BatchQueue:
        service = make_service()

        @service.handler("thumb", batch=True)
        def thumbs(contexts: list[TaskContext], data: list[Any]) -> Any:
            tasks.effects.append(list(data))
            assert [context.item.data for context in contexts if context.item] == data
            return answer(contexts, data)

        queue = service.create(backend.type, "thumbs", payload="thumb", **{"batch_limit": 3, **options})
        queue.create_items(range(count))
        return queue

    return make


def test_a_run_hands_them_over_in_batches(make_thumbs: Callable[..., BatchQueue], effects: list[Any]) -> None:
    result = Runner(make_thumbs()).run_all()

    assert (bool(result), result.completed) == (True, 7)
    assert effects == [[0, 1, 2], [3, 4, 5], [6]]


def test_a_loop_hands_them_over_in_batches(make_thumbs: Callable[..., BatchQueue], effects: list[Any]) -> None:
    report = run_loop(make_thumbs())

    assert (report.item_successes, report.queue_total) == (7, 0)
    assert effects == [[0, 1, 2], [3, 4, 5], [6]]


def test_one_step_takes_one_item(make_thumbs: Callable[..., BatchQueue], effects: list[Any]) -> None:
    queue = make_thumbs()

    assert Runner(queue).run_next().completed == 1
    assert effects == [[0]]
    assert queue.statistics()["ready"] == 6


def test_each_item_is_settled_as_if_alone(make_thumbs: Callable[..., BatchQueue]) -> None:
    verdicts = [None, False, ValueError("bad"), Unrecoverable("never"), Retry(60), Later(60), True]
    queue = make_thumbs(lambda contexts, data: verdicts, batch_limit=7, retry_limit=1, retry_interval=30, error="dead")
    ids = [item.id for item in queue.items()]

    result = Runner(queue).run_all(wait=0)

    standing = {item.id: item for item in queue.items()}
    assert [queue.outcome_of(item_id) for item_id in ids] == [
        "ok", "waiting", "waiting", "dead", "waiting", "waiting", "ok",
    ]  # fmt: skip
    assert [standing[ids[number]].failures for number in (1, 2, 4, 5)] == [1, 1, 1, 0]
    assert standing[ids[2]].last_error == "ValueError: bad"
    assert (result.completed, result.failed) == (2, 1)


def test_raising_fails_all(make_thumbs: Callable[..., BatchQueue], effects: list[Any]) -> None:
    def fail(contexts: list[TaskContext], data: list[Any]) -> None:
        raise OSError("no disk")

    queue = make_thumbs(fail, count=3, error="delete", retry_limit=1)

    result = Runner(queue).run_all()

    assert (result.failed, queue.number_of_items()) == (3, 0)
    assert effects == [[0, 1, 2], [0, 1, 2]]


@pytest.mark.parametrize("answer", [[None], [None] * 4, False, "done", 3], ids=repr)
def test_answers_that_do_not_fit_fail_all(make_thumbs: Callable[..., BatchQueue], answer: Any) -> None:
    queue = make_thumbs(lambda contexts, data: answer, count=3, error="delete")

    result = Runner(queue).run_all()

    assert result.failed == 3
    assert "for 3 items: return None, or one answer for each" in str(result.exception)


def test_what_cannot_be_read_is_left_out(make_thumbs: Callable[..., BatchQueue], effects: list[Any]) -> None:
    queue = make_thumbs(count=3, error="delete")
    overwrite(queue, list(queue.items())[1], "damaged")

    result = Runner(queue).run_all()

    assert effects == [[0, 2]]
    assert (result.completed, result.failed, queue.statistics()["dead"]) == (2, 1, 1)


def test_an_abort_stops_the_run_after_the_batch(make_thumbs: Callable[..., BatchQueue], effects: list[Any]) -> None:
    queue = make_thumbs(lambda contexts, data: [value != 1 for value in data])

    result = Runner(queue).run_all()

    assert (result.completed, result.failed, result.is_error) == (2, 1, True)
    assert effects == [[0, 1, 2]]
    assert (queue.status, queue.statistics()["ready"]) == ("aborted", 5)


@once_per_database
def test_each_item_completes_in_a_transaction_of_its_own(make_thumbs: Callable[..., BatchQueue]) -> None:
    def complete(contexts: list[TaskContext], data: list[Any]) -> None:
        for context in contexts[:2]:
            with context.transaction():
                pass
        raise OSError("too late for two of them")

    queue = make_thumbs(complete, count=3, error="delete")

    result = Runner(queue).run_all()

    assert (result.completed, result.failed, queue.number_of_items()) == (2, 1, 0)


@once_per_database
def test_the_record_of_a_run_counts_each(make_thumbs: Callable[..., BatchQueue]) -> None:
    queue = make_thumbs(lambda contexts, data: [value != 4 for value in data], error="delete")
    run = drive_to_the_end(queue, begin(queue))

    assert run.status == "completed"
    assert counters(run) == counted(7, done=6, failed=1)


@only_memory
def test_a_handler_may_be_async(make_thumbs: Callable[..., BatchQueue]) -> None:
    async def later(data: list[Any]) -> list[Any]:
        return [value != 1 for value in data]

    queue = make_thumbs(lambda contexts, data: later(data), count=3, error="delete")

    result = Runner(queue).run_all()

    assert (result.completed, result.failed) == (2, 1)
