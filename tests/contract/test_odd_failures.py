"""A failure that is hard to judge is a failure nevertheless, and no item is executed for ever because of it."""

from __future__ import annotations

import math
from typing import Any

import pytest

from taskqueue import BatchQueue, ErrorMode, Later, QueueService, Runner, TaskContext
from taskqueue.settings import Handler
from tests.contract.backends import once_per_database, only_memory
from tests.contract.conftest import MakeQueue
from tests.contract.tasks import note, step

#: More attempts than any item of these tests has.
MANY = 5


class Speechless(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class Undecided(Exception):
    @property
    def unrecoverable(self) -> bool:
        raise RuntimeError("no idea")


class Unmade(Later):
    def __init__(self) -> None:
        """Forgets that the base class has something to do."""


def broken(*args: Any) -> Any:
    raise RuntimeError("a mistake in a rule")


class Counted:
    """Fails, and stops the test when it is called for ever."""

    def __init__(self, error: BaseException) -> None:
        self.attempts: list[int] = []
        self._error = error

    def __call__(self, ctx: TaskContext, data: Any = None) -> None:
        self.attempts.append(ctx.attempt)
        if len(self.attempts) == MANY:
            ctx.queue.set_status("paused")
        raise self._error


def run(queue: BatchQueue) -> None:
    for _turn in range(MANY):  # an error of ours ends a run, and a worker begins the next turn
        Runner(queue, error_mode=ErrorMode.CONTINUE).run_all()


@once_per_database
@pytest.mark.parametrize(
    "error, text",
    [
        (Speechless(), "Speechless"),
        (Undecided("oh"), "Undecided: oh"),
        (Unmade(), "Unmade, which could not be judged: "),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_an_exception_cannot_say_does_not_matter(
    error: Exception, text: str, make_queue: MakeQueue, effects: list[Any]
) -> None:
    queue, failing = make_queue(error="dead", retry_limit=1), Counted(error)
    queue.create_item(step(failing))
    queue.enqueue(note, "next")

    run(queue)

    assert (failing.attempts, effects) == ([1, 2], ["next"])
    [letter] = queue.dead_items()
    assert letter.error.startswith(text)


@once_per_database
@pytest.mark.parametrize("rule", ["pause", "tell", "follow"])
def test_a_rule_of_a_handler_that_fails_is_logged_and_the_item_is_dead(
    rule: str, service: QueueService, make_queue: MakeQueue, caplog: pytest.LogCaptureFixture
) -> None:
    failing = Counted(ValueError("no good"))
    service.settings.handlers["ruled"] = Handler(failing, **{rule: broken})
    queue = make_queue(payload="ruled", error="dead")
    queue.create_item("data")

    run(queue)

    assert failing.attempts == [1]
    [letter] = queue.dead_items()
    assert letter.error == ("ValueError" if rule == "tell" else "ValueError: no good")
    assert f"the rule {rule!r} of its handler has failed: RuntimeError: a mistake in a rule" in caplog.text


@only_memory
@pytest.mark.parametrize("pause", ["10m", math.nan, [1]], ids=repr)
def test_a_pause_that_is_none_uses_the_attempts_up(pause: Any, service: QueueService, make_queue: MakeQueue) -> None:
    failing = Counted(ValueError("no good"))
    service.settings.handlers["ruled"] = Handler(failing, pause=lambda item, error: pause)
    queue = make_queue(payload="ruled", error="dead")
    queue.create_item("data")

    run(queue)

    assert (failing.attempts, len(list(queue.dead_items()))) == ([1], 1)


@only_memory
@pytest.mark.parametrize("pause", [-5, math.inf, 1e18], ids=repr)
def test_a_pause_beyond_all_bounds_is_the_nearest_one(pause: Any, service: QueueService, make_queue: MakeQueue) -> None:
    failing = Counted(ValueError("no good"))
    service.settings.handlers["ruled"] = Handler(failing, pause=lambda item, error: pause)
    queue = make_queue(payload="ruled", error="dead")
    queue.create_item("data")

    Runner(queue).run_next()

    assert (failing.attempts, queue.get_statistic("ready" if pause < 0 else "delayed")) == ([1], 1)
