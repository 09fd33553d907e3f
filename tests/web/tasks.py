"""The tasks of the browser tests. Each writes down when it starts and how it ends; some wait at gates in between.

All are called ``kind(ctx, number, **options)``; ``/make`` (see ``app.py``) takes number and options out of JSON.
Every kind takes ``gate="name"``: it waits there after its start, until the test opens the gate.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from taskqueue import Queue, Task, TaskContext
from tests.web.toolkit.journal import Journal

#: The folder with one folder for each queue.
ROOT = "TASKQUEUE_TEST_ROOT"
EVIL = "<script>console.error('executed')</script>\"><img src=x onerror=\"console.error('executed')\">\u202eevil"


def journal_of(queue: Queue) -> Journal:
    """Where the tasks of this queue write."""
    return Journal(Path(os.environ[ROOT]) / queue.name)


def ok(ctx: TaskContext, number: int, gate: str = "") -> None:
    """Start and end."""
    with _on_record(ctx, number, gate):
        pass


def hold(ctx: TaskContext, number: int, gate: str = "gate") -> None:
    """Run until the test opens the gate."""
    with _on_record(ctx, number, gate):
        pass


def sleep(ctx: TaskContext, number: int, seconds: float = 1.0, gate: str = "") -> None:
    """Take its time."""
    with _on_record(ctx, number, gate):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(0.02)


def fail(ctx: TaskContext, number: int, message: str = "boom", gate: str = "") -> None:
    """Fail, always."""
    with _on_record(ctx, number, gate):
        raise ValueError(message)


def fail_until(ctx: TaskContext, number: int, mark: str = "fixed", message: str = "not yet", gate: str = "") -> None:
    """Fail until the test sets the mark."""
    with _on_record(ctx, number, gate) as journal:
        if not journal.is_marked(mark):
            raise ValueError(message)


def refuse(ctx: TaskContext, number: int, gate: str = "") -> bool:
    """Fail by returning False."""
    try:
        with _on_record(ctx, number, gate):
            raise _Refusal
    except _Refusal:
        return False


def add(ctx: TaskContext, number: int, count: int = 30, first: int = 1001, weight: int = 0, gate: str = "") -> None:
    """Add tasks that have the numbers from ``first`` on; weight -1 lets them go before the rest."""
    with _on_record(ctx, number, gate):
        for added in range(first, first + count):
            ctx.queue.create_item(Task(ok, (added,), f"Added {added}"), weight=weight)


def report(
    ctx: TaskContext,
    number: int,
    steps: int = 5,
    seconds: float = 0.0,
    note: str = "row {done} of {total}",
    step_gates: bool = False,
    gate: str = "",
) -> None:
    """Report progress in steps, each after some time or, with ``step_gates``, after the gate "step-1", "step-2", …"""
    with _on_record(ctx, number, gate) as journal:
        for done in range(1, steps + 1):
            if step_gates:
                journal.pass_gate(f"step-{done}")
            time.sleep(seconds / steps)
            ctx.report(done, steps, note.format(done=done, total=steps))


def log(ctx: TaskContext, number: int, lines: int = 1, message: str = "line {line}", gate: str = "") -> None:
    """Write lines into the log."""
    with _on_record(ctx, number, gate):
        for line in range(1, lines + 1):
            ctx.log.info(message.format(line=line))


def xss(ctx: TaskContext, number: int, text: str = EVIL, mark: str = "fixed", gate: str = "") -> None:
    """Put markup wherever a task can put text; fail with it until the test sets the mark."""
    with _on_record(ctx, number, gate) as journal:
        ctx.report(1, 2, text)
        ctx.log.warning(text)
        if not journal.is_marked(mark):
            raise ValueError(text)


def end(ctx: TaskContext) -> None:
    """An ``on_end`` that succeeds."""
    with _on_record(ctx, 0):
        pass


def end_hold(ctx: TaskContext) -> None:
    """An ``on_end`` that waits at the gate "end"."""
    with _on_record(ctx, 0, "end"):
        pass


def end_fail_until(ctx: TaskContext) -> None:
    """An ``on_end`` that fails until the test sets the mark "end"."""
    with _on_record(ctx, 0) as journal:
        if not journal.is_marked("end"):
            raise ValueError("the end failed")


class _Refusal(Exception):
    """For the record only."""


@contextmanager
def _on_record(ctx: TaskContext, number: int, gate: str = "") -> Iterator[Journal]:
    journal = journal_of(ctx.queue)
    facts: dict[str, Any] = {"number": number, "attempt": ctx.attempt}
    if ctx.item is not None:
        facts |= {"item": ctx.item.id, "fence": ctx.item.fence}
    journal.write("start", **facts)
    try:
        if gate:
            journal.pass_gate(gate)
        yield journal
    except BaseException as error:
        journal.write("fail", **facts, error=str(error))
        raise
    journal.write("end", **facts)
