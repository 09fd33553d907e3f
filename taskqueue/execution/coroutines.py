"""Running ``async def`` tasks: one event loop for each thread, used again for its next task."""

from __future__ import annotations

import asyncio
import inspect
import threading
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

from ..errors import NotSupported, TaskFailed

#: Says why it makes no sense to go on with an attempt, or None.
Void = Callable[[], "Exception | None"]
#: So often (seconds) that is asked while a coroutine runs.
LOOK_EVERY = 0.1


def finished(value: Any, void: Void) -> Any:
    """``value``, or what it comes to if it is a coroutine, run to its end in this thread.

    When the attempt becomes void meanwhile, the coroutine is cancelled and the reason raised. Raises
    :class:`TaskFailed` when it was cancelled otherwise, and for a generator, of which nothing was executed;
    :class:`NotSupported` inside a running event loop.
    """
    if inspect.isgenerator(value) or inspect.isasyncgen(value):
        raise TaskFailed("the task is a generator, so that nothing of it was executed: a task must not yield")
    if not inspect.isawaitable(value):
        return value
    if _is_in_loop():
        if inspect.iscoroutine(value):
            value.close()
        raise NotSupported(
            "an async task cannot be executed in a thread whose event loop is running: run the queue in another "
            "thread, as by asyncio.to_thread()"
        )
    loop = _loop_of_thread()
    try:
        return loop.run_until_complete(_attended(value, void))
    finally:
        _cancel_rest(loop)


async def _attended(awaitable: Awaitable[Any], void: Void) -> Any:
    task = asyncio.ensure_future(awaitable)
    while not task.done():
        await asyncio.wait([task], timeout=LOOK_EVERY)
        if not task.done() and (reason := void()) is not None:
            task.cancel()
            await asyncio.wait([task])
            raise reason
    if task.cancelled():
        raise TaskFailed("the async task was cancelled from inside")
    return task.result()


def _cancel_rest(loop: asyncio.AbstractEventLoop) -> None:
    """What a task has begun and not waited for, or what an interrupt has left, must not go on under the next task."""
    rest = asyncio.all_tasks(loop)
    for task in rest:
        task.cancel()
    if rest:
        loop.run_until_complete(asyncio.gather(*rest, return_exceptions=True))


# --- the loop of a thread ---


class _Owner:
    """Has the loop of one thread; it is closed when the thread, or the process, ends."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        weakref.finalize(self, _close, self.loop)


_threads = threading.local()


def _loop_of_thread() -> asyncio.AbstractEventLoop:
    if not hasattr(_threads, "owner"):
        _threads.owner = _Owner()
    owner: _Owner = _threads.owner
    return owner.loop


def _is_in_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _close(loop: asyncio.AbstractEventLoop) -> None:
    if not loop.is_running():  # a daemon thread may be in the middle of a task when the process ends
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
