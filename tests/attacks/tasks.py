"""A task that puts a text wherever a task can put one."""

from __future__ import annotations

import threading

from taskqueue import TaskContext
from tests.web_api.tasks import note

#: Opened by the test, which is in the same process.
gate = threading.Event()


def say(ctx: TaskContext, text: str, waits: bool = False) -> None:
    """Report the text, log it, wait at the gate, and fail with it."""
    note("say")
    ctx.report(1, 2, text)
    ctx.log.info("%s", text)
    ctx.log.warning("%s", text)
    if waits:
        gate.wait(30)
    raise ValueError(text)
