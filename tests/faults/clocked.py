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
from pathlib import Path
from typing import Any

from tests.faketime import Clock
from tests.faults import child
from tests.faults.history import DEADLINE
from tests.faults.stage import Stage

#: What a process may do without, to see that it is missed.
HOST_CLOCK, NO_FENCE = "host clock", "no fence"


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


def _main() -> None:
    script, without = pickle.load(sys.stdin.buffer)
    time.sleep = _sleep
    threading.Thread(target=_end_with_parent, daemon=True).start()
    take_away(*without)
    child.play(script)


def take_away(*protections: str) -> None:
    """Let this process do without."""
    from taskqueue.storage import dialects, rows, settling

    if HOST_CLOCK in protections:
        for dialect in dialects.DIALECTS.values():
            dialect.render = _by_host_clock  # type: ignore[method-assign]
    if NO_FENCE in protections:
        vars(settling)["guarded"] = _unguarded


def _by_host_clock(dialect: Any, template: str) -> str:
    return str(dialect._render(template.replace("{now}", str(time.time_ns() // 1_000_000)), 0))


def _unguarded(held: Any) -> tuple[str, dict[str, str] | None, dict[str, Any]]:
    from taskqueue.storage.rows import listed

    return "id IN ($ids)", listed(item_id for item_id, _fence in held), {}


def _sleep(seconds: float) -> None:
    """In the place of the one that libfaketime breaks, even where it leaves the monotonic clock alone."""
    select.select([], [], [], seconds)


def _end_with_parent() -> None:
    """Tests that were killed must not leave their processes behind."""
    os.read(0, 1)  # not from the buffer, whose lock would be missed at the end
    os._exit(1)


if __name__ == "__main__":
    _main()
