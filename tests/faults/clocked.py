"""Processes of a fault test whose clocks are wrong.

Those of the stage come from a fork server, and libfaketime works only in what is started with it: so these are
programs of their own, with the same scripts (see ``child.py``).
"""

from __future__ import annotations

import os
import pickle
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from taskqueue.storage.dialects import Dialect
from taskqueue.storage.transaction import Transaction
from tests.faketime import Clock
from tests.faults import child
from tests.faults.history import DEADLINE, wait_until
from tests.faults.stage import Stage
from tests.faults.tasks import record

#: What a process may do without, to see that it is missed: the database's time.
HOST_CLOCK = "host clock"
MINUTE, HOUR, DAY = 60, 3600, 86_400
#: By how many seconds the clocks of a crowd of workers are wrong.
WRONG = (MINUTE, -MINUTE, DAY, -DAY)
#: How many tasks it has.
TASKS = 24


class Clocked:
    """A process that plays a part on the queue of a stage, by the given clock, without some protections."""

    def __init__(self, stage: Stage, clock: Clock, role: str, *, without: tuple[str, ...] = (), **script: Any) -> None:
        name = f"clocked-{time.monotonic_ns()}"
        self._log = stage.folder / f"{name}.log"
        script = {"url": stage.url, "queue": "stage", **script}
        part = child.Script(folder=stage.folder, role=role, log=self._log, **script)
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **clock.environment}
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__], env=environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
        )
        assert self._process.stdin is not None
        self._process.stdin.write(pickle.dumps((part, without)))
        self._process.stdin.flush()  # and left open: it ends with us

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def wait_until_done(self) -> None:
        """Wait until it has come to its end."""
        try:
            code = self._process.wait(2 * DEADLINE)
        except subprocess.TimeoutExpired:
            code = None
        assert code == 0, f"exit code {code}: {self.log_text()}"

    def kill(self) -> None:
        """End it at once, if it still runs."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdin is not None
        self._process.stdin.close()

    def log_text(self) -> str:
        """What it has logged."""
        return Path(self._log).read_text() if self._log.exists() else "(no log)"


#: What the fixture ``start`` gives: it takes a clock, or by how much one is wrong, and the part to play.
Start = Callable[..., Clocked]


def crowd(stage: Stage, start: Start, seconds: float, **script: object) -> list[Clocked]:
    """Workers with wrong clocks, who begin together."""
    for number in range(1, TASKS + 1):
        stage.queue.enqueue(record, str(stage.folder), number, seconds)
    workers = [start(ahead, "empty", is_gated=True, **script) for ahead in WRONG]
    for count in range(1, len(WRONG) + 1):  # on a busy machine each start takes its time
        stage.history.wait_for("ready", count=count)
    stage.gate.let_through(len(WRONG))
    return workers


def set_and_wait(stage: Stage, clock: Clock, ahead: float) -> None:
    """Set the clock, and wait until all processes of the server go by it."""
    clock.set(ahead)
    clock.wait_until_known()
    # Our own clock is right, and whatever the server's one was before does not matter.
    wait_until(lambda: abs(_now(stage) - time.time() - ahead) < MINUTE, "the server goes by the new time")


def _now(stage: Stage) -> float:
    """The time of the server."""
    return stage.service.database.statement(lambda tx: int(tx.row("SELECT {now}")[0]), write=False) / 1000


def _main() -> None:
    script, without = pickle.load(sys.stdin.buffer)  # noqa: S301  (from the test that has started us)
    time.sleep = _sleep
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _take_away(*without)
    child.play(script)


def _take_away(*protections: str) -> None:
    if HOST_CLOCK in protections:
        Transaction.__init__ = _by_host_clock  # type: ignore[method-assign]


_begin = Transaction.__init__


def _by_host_clock(tx: Transaction, cursor: Any, dialect: Dialect, *more: Any) -> None:
    _begin(tx, cursor, dialect, *more)
    tx._rendered = lambda template, shift: dialect._render(_host_time(template), shift)


def _host_time(template: str) -> str:
    return template.replace("{now}", str(time.time_ns() // 1_000_000))


def _sleep(seconds: float) -> None:
    """In the place of the one that libfaketime breaks, even where it leaves the monotonic clock alone."""
    select.select([], [], [], seconds)


def _end_with_parent() -> None:
    """Tests that were killed must not leave their processes behind."""
    os.read(0, 1)  # not from the buffer, whose lock would be missed at the end
    os._exit(1)


if __name__ == "__main__":
    _main()
