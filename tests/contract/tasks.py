"""What the queues of these tests run."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

from taskqueue import BatchQueue, Task, TaskContext

#: What the tasks of the present test have done, in order.
effects: list[Any] = []
_steps: list[Callable[[TaskContext], Any]] = []


def forget() -> None:
    """Begin anew."""
    effects.clear()
    _steps.clear()


def note(ctx: TaskContext, *values: Any) -> None:
    """Succeed, and leave a trace."""
    effects.extend(values)


def fail(ctx: TaskContext, message: str = "failed on purpose") -> None:
    """Fail by an exception, and leave a trace."""
    effects.append(f"attempt {ctx.attempt}")
    raise ValueError(message)


def refuse(ctx: TaskContext) -> bool:
    """Fail by its answer."""
    return False


def leave(ctx: TaskContext) -> None:
    """Call what must not end the runner."""
    sys.exit(3)


def answer(ctx: TaskContext, value: Any) -> Any:
    """Return what is no failure."""
    return value


def keywords(ctx: TaskContext, *args: Any, **kwargs: Any) -> None:
    """Leave a trace of how it was called."""
    effects.append((args, kwargs))


def finish(ctx: TaskContext) -> None:
    """What a run calls at its end."""
    effects.append(f"the end of {ctx.queue.name}")


def finish_in_transaction(ctx: TaskContext) -> None:
    """Try, at the end of a run, what only an item can do."""
    with ctx.transaction():
        pass


def add_three_first(ctx: TaskContext) -> None:
    """Add items that go before the rest."""
    for value in ("1", "2", "3"):
        ctx.queue.enqueue(note, value, weight=-1)


def take_step(ctx: TaskContext, number: int) -> Any:
    """Call what :func:`step` has kept."""
    return _steps[number](ctx)


def step(function: Callable[[TaskContext], Any], title: str = "") -> Task:
    """A task that calls a function of the test itself: it is kept in this process, only its number is stored."""
    _steps.append(function)
    return Task(take_step, (len(_steps) - 1,), title)


def enqueue_around(queue: BatchQueue, middle: Task) -> None:
    """Two good tasks, and one between them."""
    queue.enqueue(note, "a", title="A")
    queue.create_item(middle)
    queue.enqueue(note, "c", title="C")


def until(condition: Callable[[], bool], timeout: float = 20.0) -> bool:
    """Wait for what another thread brings about; whether it came."""
    end = time.monotonic() + timeout
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)
    return condition()


def last(seconds: float) -> None:
    """Be a task of so many seconds, where a promise in seconds is tested (never to let something happen first)."""
    time.sleep(seconds)


class Holder:
    """Callables that live in a class."""

    @staticmethod
    def static(ctx: TaskContext, value: Any) -> None:
        effects.append(value)

    @classmethod
    def of_class(cls, ctx: TaskContext, value: Any) -> None:
        effects.append((cls.__name__, value))
