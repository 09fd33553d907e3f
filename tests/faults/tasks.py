"""The tasks of the fault tests. Each writes down when it starts and ends; some wait at the gate in between."""

from __future__ import annotations

import os
import random
import select
import signal
import time
from pathlib import Path
from typing import NoReturn

from sqlalchemy import text

from taskqueue import TaskContext
from tests.faults.history import DEADLINE, History

#: No unique key: what happens twice must show.
EFFECTS = "CREATE TABLE effects (number INTEGER NOT NULL, fence BIGINT NOT NULL)"
#: The same, with the order of the inserts; what counts them is called differently by each database.
ORDERED_EFFECTS = (
    "CREATE TABLE ordered_effects (place {place} PRIMARY KEY, number INTEGER NOT NULL, fence BIGINT NOT NULL)"
)
PLACE = {"sqlite": "INTEGER", "mariadb": "BIGINT AUTO_INCREMENT", "postgresql": "BIGSERIAL"}

#: The folder of the present test, for what has no arguments: the step after the last item.
folders: list[Path] = []


class Gate:
    """A fifo that holds tasks of any process back until the test lets so many through."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "gate"
        os.mkfifo(self._path)
        self._file = os.open(self._path, os.O_RDWR)  # as long as it is open, readers find a writer

    def let_through(self, count: int = 1) -> None:
        """Let that many waiting tasks, present or to come, go on."""
        os.write(self._file, b"." * count)

    def close(self) -> None:
        """Let nobody through any more."""
        os.close(self._file)

    @staticmethod
    def wait(folder: str) -> None:
        """Wait to be let through."""
        file = os.open(Path(folder) / "gate", os.O_RDONLY)
        try:
            ready, _, _ = select.select([file], [], [], DEADLINE)
            if not ready or not os.read(file, 1):
                raise TimeoutError("nobody opened the gate")
        finally:
            os.close(file)


def record(ctx: TaskContext, folder: str, number: int, seconds: float = 0) -> None:
    """Start and end, with so much time in between."""
    _write(ctx, "start", folder, number)
    time.sleep(seconds)
    _write(ctx, "end", folder, number)


def linger(ctx: TaskContext, folder: str, number: int) -> None:
    """Take a little time, in which an overlap would show."""
    _write(ctx, "start", folder, number)
    time.sleep(0.002)
    _write(ctx, "end", folder, number)


def stagger(ctx: TaskContext, folder: str, number: int) -> None:
    """Fail a third of the time."""
    _write(ctx, "start", folder, number)
    time.sleep(0.001)
    if random.random() < 1 / 3:
        _stumble(ctx, folder, number)
    _write(ctx, "end", folder, number)


def hold(ctx: TaskContext, folder: str, number: int) -> None:
    """Wait at the gate in between."""
    _write(ctx, "start", folder, number)
    Gate.wait(folder)
    _write(ctx, "end", folder, number)


def hold_and_say(ctx: TaskContext, folder: str, number: int) -> None:
    """The same, and log something after that."""
    _write(ctx, "start", folder, number)
    Gate.wait(folder)
    assert ctx.item is not None
    ctx.log.warning("goes on under %s", ctx.item.fence)
    _write(ctx, "end", folder, number)


def hold_then_fail(ctx: TaskContext, folder: str, number: int) -> None:
    """Wait at the gate; fail in the first attempt only."""
    hold(ctx, folder, number)
    assert ctx.item is not None
    if not ctx.item.interruptions:
        raise ValueError("too late to matter")


def stumble(ctx: TaskContext, folder: str, number: int) -> None:
    """Fail in the first attempt only."""
    _write(ctx, "start", folder, number)
    assert ctx.item is not None
    if not ctx.item.failures:
        raise ValueError("stumbled")
    _write(ctx, "end", folder, number)


def always_fail(ctx: TaskContext, folder: str, number: int) -> None:
    """Fail."""
    _write(ctx, "start", folder, number)
    raise ValueError("failed")


def effect(ctx: TaskContext, folder: str, number: int, seconds: float = 0) -> None:
    """Insert a row in the task's own transaction, after so much time."""
    _write(ctx, "start", folder, number)
    time.sleep(seconds)
    _insert(ctx, folder, number)
    _write(ctx, "end", folder, number)


def effect_slowly(ctx: TaskContext, folder: str, number: int) -> None:
    """The same, after a time in which the lease has to be renewed."""
    _write(ctx, "start", folder, number)
    time.sleep(0.5)
    _insert(ctx, folder, number)
    _write(ctx, "end", folder, number)


def effect_unless_first(ctx: TaskContext, folder: str, number: int) -> None:
    """The same, but the first attempt fails."""
    _write(ctx, "start", folder, number)
    if ctx.attempt == 1:
        _stumble(ctx, folder, number)
    _insert(ctx, folder, number)
    _write(ctx, "end", folder, number)


def effect_once_repaired(ctx: TaskContext, folder: str, number: int) -> None:
    """The same, but every attempt fails as long as there is no file of that name."""
    _write(ctx, "start", folder, number)
    if not (Path(folder) / "repaired").exists():
        _stumble(ctx, folder, number)
    _insert(ctx, folder, number)
    _write(ctx, "end", folder, number)


def die(ctx: TaskContext, folder: str, number: int) -> None:
    """The first attempt kills its process; later ones insert a row."""
    _write(ctx, "start", folder, number)
    assert ctx.item is not None
    if not ctx.item.interruptions:
        os.kill(os.getpid(), signal.SIGKILL)
    _insert(ctx, folder, number)
    _write(ctx, "end", folder, number)


def effect_in_order(ctx: TaskContext, folder: str, number: int, seconds: float = 0) -> None:
    """The same, into the table that keeps the order, after so much time."""
    _write(ctx, "start", folder, number)
    time.sleep(seconds)
    _insert(ctx, folder, number, table="ordered_effects")
    _write(ctx, "end", folder, number)


def hold_then_effect(ctx: TaskContext, folder: str, number: int) -> None:
    """Wait at the gate, then insert a row."""
    _write(ctx, "start", folder, number)
    Gate.wait(folder)
    _insert(ctx, folder, number)
    _write(ctx, "end", folder, number)


def effect_on_hold(ctx: TaskContext, folder: str, number: int) -> None:
    """Insert a row and wait at the gate inside the open transaction."""
    _write(ctx, "start", folder, number)
    _insert(ctx, folder, number, is_held=True)
    _write(ctx, "end", folder, number)


def interrupt(ctx: TaskContext, folder: str, number: int) -> None:
    """Ctrl-C in the middle of a task."""
    _write(ctx, "start", folder, number)
    raise KeyboardInterrupt


def interrupt_in_transaction(ctx: TaskContext, folder: str, number: int) -> None:
    """Ctrl-C in the middle of the task's own transaction."""
    _write(ctx, "start", folder, number)
    with ctx.transaction() as session:
        session.execute(text("INSERT INTO effects (number, fence) VALUES (0, 0)"))
        raise KeyboardInterrupt


def end_on_hold(ctx: TaskContext) -> None:
    """What a run calls at its end: wait at the gate."""
    History(folders[-1]).write("on_end")
    Gate.wait(str(folders[-1]))
    History(folders[-1]).write("on_end_done")


def _stumble(ctx: TaskContext, folder: str, number: int) -> NoReturn:
    _write(ctx, "stumbled", folder, number)
    raise ValueError("stumbled")


def _insert(ctx: TaskContext, folder: str, number: int, *, table: str = "effects", is_held: bool = False) -> None:
    assert ctx.item is not None
    with ctx.transaction() as session:
        values = {"number": number, "fence": ctx.item.fence}
        session.execute(text(f"INSERT INTO {table} (number, fence) VALUES (:number, :fence)"), values)
        _write(ctx, "inserted", folder, number)
        if is_held:
            Gate.wait(folder)


def _write(ctx: TaskContext, kind: str, folder: str, number: int) -> None:
    item = ctx.item
    assert item is not None
    History(Path(folder)).write(
        kind, number=number, fence=item.fence, run_count=item.run_count, interruptions=item.interruptions,
        queue=item.queue_name, weight=item.weight,
        until=item.release_time.timestamp() if item.release_time else None,
    )  # fmt: skip
