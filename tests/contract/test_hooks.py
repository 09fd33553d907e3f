"""Hooks around the attempts."""

from __future__ import annotations

from typing import Any

import pytest

from taskqueue import BatchQueue, Outcome, QueueItem, QueueNotActive, Runner, TaskContext, signals
from tests.contract import tasks
from tests.contract.conftest import MakeQueue


class Answering:
    """A receiver of ``task_error`` that remembers what it was told."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.told: list[tuple[str, Outcome, str]] = []

    def __call__(self, sender: BatchQueue, item: QueueItem, outcome: Outcome, exception: BaseException) -> Any:
        self.told.append((sender.name, outcome, str(exception)))
        return self.answer


@pytest.mark.parametrize(
    "answer, left, dead, status",
    [
        (None, 1, 0, "aborted"),
        ("ok", 0, 0, "active"),
        ("delete", 0, 0, "active"),
        (Outcome.DELETE, 0, 0, "active"),
        ("dead", 0, 1, "active"),
        ("abort", 1, 0, "aborted"),
        ("nonsense", 1, 0, "aborted"),
        ("lease_lost", 1, 0, "aborted"),
    ],
)
def test_task_error_may_change_the_outcome(
    make_queue: MakeQueue, answer: Any, left: int, dead: int, status: str
) -> None:
    queue = make_queue(error="abort")
    queue.enqueue(tasks.fail, "broken")
    hook = Answering(answer)

    with signals.task_error.connected_to(hook, queue):
        Runner(queue).run_all()

    assert hook.told == [("jobs", Outcome.ABORT, "broken")]
    counts = queue.statistics()
    assert (counts["total"], counts["dead"], queue.status) == (left, dead, status)


def test_task_error_may_ask_for_another_attempt(make_queue: MakeQueue, effects: list[str]) -> None:
    queue = make_queue(error="delete")
    queue.enqueue(tasks.fail)

    def once_more(sender: BatchQueue, item: QueueItem, outcome: Outcome, exception: BaseException) -> str | None:
        return "retry" if item.failures < 2 else None

    with signals.task_error.connected_to(once_more, queue):
        Runner(queue).run_all()

    assert effects[0] == "attempt 1"
    assert queue.number_of_items() == 0  # in the end the option decides


def test_task_error_hears_of_each_failure(make_queue: MakeQueue) -> None:
    queue = make_queue(error="delete", retry_limit=1)
    queue.enqueue(tasks.fail, "broken")
    queue.enqueue(tasks.note)
    hook = Answering(None)

    with signals.task_error.connected_to(hook, queue):
        Runner(queue).run_all()

    assert [outcome for _name, outcome, _text in hook.told] == [Outcome.RETRY, Outcome.DELETE]


def test_a_hook_that_fails_decides_nothing(queue: BatchQueue) -> None:
    queue.update(error="delete")
    queue.enqueue(tasks.fail)

    def fail(sender: BatchQueue, **facts: Any) -> None:
        raise OSError("no mail server")

    with signals.task_error.connected_to(fail, queue), signals.item_finished.connected_to(fail, queue):
        result = Runner(queue).run_all()

    assert (result.failed, result.number_of_items) == (1, 0)


def test_item_finished_hears_of_each_attempt_once_it_is_stored(queue: BatchQueue) -> None:
    heard: list[Any] = []

    def listen(
        sender: BatchQueue, item: QueueItem, outcome: Outcome, exception: BaseException | None, **facts: Any
    ) -> None:
        heard.append((item.id, outcome, exception, sender.outcome_of(item.id)))

    item = queue.enqueue(tasks.note)

    with signals.item_finished.connected_to(listen, queue):
        Runner(queue).run_all()

    assert heard == [(item.id, Outcome.OK, None, "ok")]


def test_an_abort_is_announced_once(queue: BatchQueue) -> None:
    heard: list[str] = []
    queue.enqueue(tasks.fail)

    def listen(sender: BatchQueue, status: str) -> None:
        heard.append(status)

    with signals.queue_status.connected_to(listen, queue):
        Runner(queue).run_all()
        Runner(queue).run_all()

    assert heard == ["aborted", "active", "aborted"]


def test_queue_active_holds_a_run_back(queue: BatchQueue, effects: list[str]) -> None:
    queue.enqueue(tasks.note, "a")

    with signals.queue_active.connected_to(lambda sender: False, queue), pytest.raises(QueueNotActive, match="held"):
        Runner(queue).run_all()

    assert effects == []
    assert queue.statistics()["ready"] == 1
    assert Runner(queue).run_all()


def test_queue_active_stops_a_run_in_its_middle(queue: BatchQueue, effects: list[int]) -> None:
    open_ = [True]
    queue.create_item(tasks.step(lambda ctx: tasks.effects.append(0)))
    queue.create_item(tasks.step(lambda ctx: (tasks.effects.append(1), open_.clear(), tasks.last(0.12))))
    queue.enqueue(tasks.note, 2)

    with signals.queue_active.connected_to(lambda sender: bool(open_), queue):
        result = Runner(queue).run_all()

    assert result.is_error
    assert effects == [0, 1]
    assert queue.statistics()["ready"] == 1


def test_a_task_may_stop_its_queue_by_its_status(queue: BatchQueue, effects: list[str]) -> None:
    def complete(ctx: TaskContext) -> None:
        ctx.queue.set_status("completed")

    queue.create_item(tasks.step(complete))
    queue.enqueue(tasks.note, "behind")

    result = Runner(queue).run_all()

    assert not result
    assert (effects, queue.status, queue.number_of_items()) == ([], "completed", 1)
