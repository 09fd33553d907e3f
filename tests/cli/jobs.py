"""What the tests let the command line run, in processes of its own and in this one."""

from __future__ import annotations

import gc
import os
import signal
import sqlite3
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from taskqueue import QueueService
from taskqueue.worker.rota import Rota

HOSTILE = "[red]evil[/red] \x1b[31m\x1b]0;title\x07 \u202egnp.exe\x9b2J"
service = QueueService(allow=[__name__])
without_list = QueueService()
#: Notices in a test's time that a process has died.
quick = QueueService(allow=[__name__], lease_slice=1.0, heartbeat=0.3)
no_service = 17


def ok(ctx: Any, *args: Any) -> None:
    """Does nothing."""


def bad(ctx: Any, message: str = "boom") -> None:
    """Fails."""
    raise ValueError(message)


def hostile(ctx: Any) -> None:
    """Fails with a message that attacks the terminal."""
    ctx.report(1, 2, HOSTILE)
    raise ValueError(HOSTILE)


def chatty(ctx: Any) -> None:
    """Prints, and lets a program print."""
    print("printed by a task")
    os.system("echo printed by a program")  # noqa: S605


def write(ctx: Any, path: str) -> None:
    """Leaves a file behind."""
    Path(path).write_text("done")


def append(ctx: Any, word: str) -> None:
    """Adds a line to the journal in the current folder."""
    with Path("journal").open("a") as journal:
        journal.write(f"{word}\n")


def end(ctx: Any) -> None:
    """The step after the last item."""
    append(ctx, "end")


def until_stopped(ctx: Any, started: str) -> None:
    """Says that it has started, and ends in good order when asked to."""
    Path(started).write_text("started")
    while not ctx.should_stop:
        time.sleep(0.01)


def until_opened(ctx: Any, started: str, gate: str) -> None:
    """Says that it has started, and does not listen to anybody until the gate (a fifo) is opened."""
    ctx.report(3, 7, "reading names")
    Path(started).write_text("started")
    Path(gate).read_text()


def until_opened_in_transaction(ctx: Any, started: str, gate: str) -> None:
    """The same, in the task's own transaction."""
    with ctx.transaction():
        Path(started).write_text("started")
        Path(gate).read_text()


def until_opened_after_a_signal(ctx: Any, started: str, gate: str) -> None:
    """The same once more, and tells in between that it was asked to stop."""
    with ctx.transaction():
        until_stopped(ctx, started)
        Path(started).write_text("was asked to stop")
        Path(gate).read_text()


def write_pid(ctx: Any) -> None:
    """Tells which process has executed it, and leaves it time to be found too big."""
    time.sleep(0.2)
    append(ctx, str(os.getpid()))


def count_frozen(ctx: Any) -> None:
    """Tells how many objects the collector of this process leaves alone."""
    append(ctx, str(gc.get_freeze_count()))


def lose_thread(ctx: Any) -> None:
    """The thread that executes it dies afterwards."""
    Rota.take = sys.exit  # type: ignore[method-assign, assignment]


def interrupts_itself(ctx: Any) -> None:
    """Ctrl-C twice, in the middle of a task."""
    signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGINT)
    threading.Event().wait(10)


def lose_tables(ctx: Any, path: str) -> None:
    """The database breaks in the middle of a task."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE taskqueue_item")
