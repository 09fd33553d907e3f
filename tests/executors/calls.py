"""What the executors of these tests call, in other processes."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

from taskqueue import Later, Retry


def answer(ctx: Any, value: Any) -> Any:
    """Return what was given."""
    return value


def where(ctx: Any, path: str) -> None:
    """Say which process this is, and what the context knows."""
    Path(path).write_text(f"{os.getpid()} {ctx.queue_name} {ctx.item_id} {ctx.title} {ctx.attempt} {ctx.should_stop}")
    ctx.report(1, 2, "half")
    ctx.heartbeat()
    ctx.log.info("here")


async def answer_later(ctx: Any, path: str) -> None:
    """Leave a trace, from a coroutine."""
    await asyncio.sleep(0)
    Path(path).write_text("awaited")


class Unportable(Exception):
    """An exception that cannot be made again from its arguments."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def fail(ctx: Any, how: str) -> Any:
    """Fail in one of many ways."""
    if how == "unportable":
        raise Unportable(1, 2)
    if how == "retry":
        raise Retry(60, "busy")
    if how == "later":
        raise Later(60, "not yet")
    if how == "exit":
        raise SystemExit(3)
    if how == "cancelled":
        raise asyncio.CancelledError("from inside")
    if how == "interrupt":
        raise KeyboardInterrupt
    raise KeyError("column 7")


def use_transaction(ctx: Any) -> None:
    """Use what only a thread of the worker has."""
    with ctx.transaction():
        pass


def use_queue(ctx: Any) -> None:
    """The same."""
    ctx.queue.enqueue(answer, 1)


def die_once(ctx: Any, path: str) -> None:
    """Kill the process that executes this, the first time."""
    _die_below(1, path)


def die(ctx: Any, path: str) -> None:
    """Kill the process that executes this, each time."""
    _die_below(1_000, path)


def _die_below(times: int, path: str) -> None:
    with Path(path).open("a") as file:
        file.write("x")
    if len(Path(path).read_text()) <= times:
        os.kill(os.getpid(), signal.SIGKILL)


def wait_for(ctx: Any, path: str) -> None:
    """Take as long as it takes for the file to come."""
    Path(path + ".begun").touch()
    while not Path(path).exists():
        time.sleep(0.01)


def append(ctx: Any, path: str, number: int) -> None:
    """Write one line, by one call, so that lines of many processes do not mix."""
    line = f"{number}\n".encode()
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(file, line)
    finally:
        os.close(file)


def thumbs(contexts: list[Any], data: list[Any]) -> list[Any]:
    """A batch handler: odd ones fail."""
    assert [context.item_id > 0 for context in contexts] == [True] * len(data)
    return [ValueError("odd") if value % 2 else None for value in data]
