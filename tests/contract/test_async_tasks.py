"""``async def`` tasks."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from taskqueue import BatchQueue, NotSupported, Retry, Runner, TaskContext, TaskFailed, TaskTimeout
from taskqueue.execution import coroutines
from tests.contract import tasks
from tests.contract.backends import once_per_database, only_memory
from tests.contract.conftest import MakeQueue

level: contextvars.ContextVar[int] = contextvars.ContextVar("level", default=0)


async def note_later(ctx: TaskContext, value: Any) -> None:
    await asyncio.sleep(0)
    tasks.effects.append(value)


async def fail_later(ctx: TaskContext) -> None:
    await asyncio.sleep(0)
    raise ValueError("failed on purpose")


async def refuse_later(ctx: TaskContext) -> bool:
    return False


async def ask_for_another(ctx: TaskContext) -> None:
    if ctx.attempt == 1:
        raise Retry(after=0)
    tasks.effects.append(ctx.attempt)


def test_async_tasks_are_run_to_their_end(queue: BatchQueue, effects: list[Any]) -> None:
    for value in range(3):
        queue.enqueue(note_later, value)

    assert Runner(queue).run_all()
    assert effects == [0, 1, 2]


@pytest.mark.parametrize("callback, kind", [(fail_later, ValueError), (refuse_later, TaskFailed)])
def test_async_tasks_fail_as_others_do(make_queue: MakeQueue, callback: Any, kind: type[Exception]) -> None:
    queue = make_queue(error="delete")
    queue.enqueue(callback)

    result = Runner(queue).run_all()

    assert isinstance(result.exception, kind)
    assert result.failed == 1


def test_verdicts_count_in_async_tasks(make_queue: MakeQueue, effects: list[Any]) -> None:
    queue = make_queue(retry_limit=1)
    queue.enqueue(ask_for_another)

    assert Runner(queue).run_all()
    assert effects == [2]


def test_a_thread_uses_one_loop_again_and_closes_it(queue: BatchQueue) -> None:
    loops: list[asyncio.AbstractEventLoop] = []

    async def see() -> None:
        loops.append(asyncio.get_running_loop())

    for _ in range(2):
        queue.create_item(tasks.step(lambda ctx: see()))
    thread = threading.Thread(target=lambda: Runner(queue).run_all())
    thread.start()
    thread.join()

    assert len(loops) == 2
    assert loops[0] is loops[1]
    assert loops[0].is_closed()


@only_memory
def test_no_task_leaves_anything_to_the_next(queue: BatchQueue, effects: list[Any]) -> None:
    async def leave() -> None:
        level.set(7)

        async def go_on() -> None:
            try:
                await asyncio.sleep(60)
            finally:
                tasks.effects.append("ended")

        tasks.effects.append(asyncio.ensure_future(go_on()))
        await asyncio.sleep(0)

    async def look() -> None:
        tasks.effects.append((level.get(), len(asyncio.all_tasks())))

    queue.create_item(tasks.step(lambda ctx: leave()))
    queue.create_item(tasks.step(lambda ctx: level.set(8) and None))
    queue.create_item(tasks.step(lambda ctx: look()))

    assert Runner(queue).run_all()
    assert effects[0].cancelled()
    assert effects[1:] == ["ended", (0, 2)]  # the task, and what attends to it
    assert level.get() == 0


@only_memory
def test_a_task_that_exceeds_its_time_is_cancelled(
    make_queue: MakeQueue, effects: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coroutines, "LOOK_EVERY", 0.005)
    queue = make_queue(lease_time=0.05, error="delete")

    async def sleep() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            tasks.effects.append("cleaned up")

    queue.create_item(tasks.step(lambda ctx: sleep()))

    result = Runner(queue).run_all()

    assert isinstance(result.exception, TaskTimeout)
    assert effects == ["cleaned up"]


def test_a_task_that_cancels_itself_has_failed(make_queue: MakeQueue) -> None:
    queue = make_queue(error="delete")

    async def cancel() -> None:
        raise asyncio.CancelledError

    queue.create_item(tasks.step(lambda ctx: cancel()))

    result = Runner(queue).run_all()

    assert isinstance(result.exception, TaskFailed)
    assert "cancelled from inside" in str(result.exception)


@only_memory
def test_an_interrupt_ends_the_coroutine_and_gives_the_item_back(queue: BatchQueue, effects: list[Any]) -> None:
    async def interrupted() -> None:
        asyncio.get_running_loop().call_soon(_interrupt)
        try:
            await asyncio.sleep(60)
        finally:
            tasks.effects.append("cleaned up")

    queue.create_item(tasks.step(lambda ctx: interrupted()))

    with pytest.raises(KeyboardInterrupt):
        Runner(queue).run_all()

    assert effects == ["cleaned up"]
    assert queue.statistics()["ready"] == 1


def _interrupt() -> None:
    raise KeyboardInterrupt


def yields(ctx: TaskContext) -> Iterator[int]:
    tasks.effects.append("begun")
    yield 1


async def yields_later(ctx: TaskContext) -> AsyncIterator[int]:
    tasks.effects.append("begun")
    yield 1


@pytest.mark.parametrize("callback", [yields, yields_later])
def test_a_generator_is_refused_instead_of_doing_nothing(
    make_queue: MakeQueue, callback: Any, effects: list[Any]
) -> None:
    queue = make_queue(error="delete")
    queue.enqueue(callback)

    result = Runner(queue).run_all()

    assert "must not yield" in str(result.exception)
    assert effects == []


@only_memory
def test_inside_a_running_loop_an_async_task_is_refused(make_queue: MakeQueue) -> None:
    queue = make_queue(error="delete")
    queue.enqueue(note_later, 1)

    async def run() -> Any:
        return Runner(queue).run_all()

    result = asyncio.run(run())

    assert isinstance(result.exception, NotSupported)


@once_per_database
def test_a_transaction_works_in_an_async_task(queue: BatchQueue, effects: list[Any]) -> None:
    async def work(ctx: TaskContext) -> None:
        with ctx.transaction():
            await asyncio.sleep(0)
            ctx.queue.enqueue(tasks.note, "added")

    queue.create_item(tasks.step(lambda ctx: work(ctx)))

    assert Runner(queue).run_all()
    assert effects == ["added"]
