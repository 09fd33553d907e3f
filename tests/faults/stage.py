"""The stage of a fault test: a database, a history, a gate, and processes that are started, stopped and killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from sqlalchemy import text

from taskqueue import BatchQueue, Runner, RunResult, travel
from tests.faults import tasks
from tests.faults.child import LEASE, Script, closing, main, make_service
from tests.faults.history import DEADLINE, History, wait_until
from tests.servers import children

#: Moves the clocks past every lease that a dead process has left.
AFTER_THE_LEASE = LEASE + 0.1
# Children are forked from a clean process that has imported everything: a start costs milliseconds.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(
    ["tests.faults.child", "taskqueue.cli.work",
     "sqlalchemy.dialects.mysql.pymysql", "sqlalchemy.dialects.postgresql.psycopg"]
)  # fmt: skip


@dataclass
class Child:
    """A process of a test."""

    process: ForkServerProcess
    log: Path

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self.process.pid is not None
        return self.process.pid

    def kill(self) -> None:
        """End it at once, with no chance to do anything."""
        self.process.kill()
        self.wait_until_killed()

    def end(self) -> None:
        """Ask it to end, and wait until it has done so in good order."""
        self.terminate()
        self.wait_until_done()

    def terminate(self) -> None:
        """Ask it to end."""
        self._signal(signal.SIGTERM)

    def wait_until_killed(self) -> None:
        """Wait until a SIGKILL, whoever sent it, has ended it."""
        self._join()
        assert self.process.exitcode == -signal.SIGKILL, f"not killed but {self.process.exitcode}: {self.log_text()}"

    def wait_whether_killed(self) -> bool:
        """Wait until it has ended; whether it was killed, and did not come to its end."""
        self._join()
        if self.process.exitcode != -signal.SIGKILL:
            self.wait_until_done()
            return False
        return True

    def wait_until_done(self) -> None:
        """Wait until it has come to its end."""
        self._join()
        assert self.process.exitcode == 0, f"exit code {self.process.exitcode}: {self.log_text()}"

    def _join(self) -> None:
        self.process.join(DEADLINE)
        assert not self.process.is_alive(), f"did not end within {DEADLINE:g} s: {self.log_text()}"

    def freeze(self) -> None:
        """Stop it in the middle of whatever it does, and wait until it really stands."""
        self._signal(signal.SIGSTOP)
        self.wait_until_frozen()

    def wait_until_frozen(self) -> None:
        """Wait until it stands, also where it has stopped itself."""
        wait_until(lambda: self._state() == "T", "the process stands still", self._state)

    def thaw(self) -> None:
        """Let it go on as if nothing had happened."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def _state(self) -> str:
        listing = subprocess.run(["ps", "-o", "state=", "-p", str(self.pid)], capture_output=True, text=True)
        return listing.stdout.strip()[:1]

    def log_text(self) -> str:
        """What it has logged."""
        return self.log.read_text() if self.log.exists() else "(no log)"


class Stage:
    """Everything that one test needs; closed at its end."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder
        self.history = History(folder)
        tasks.folders.append(folder)
        self.gate = tasks.Gate(folder)
        self.service = make_service(url)
        self._children: list[Child] = []

    def close(self) -> None:
        """Leave no process and no connection behind."""
        for child in self._children:
            offspring = children(child.pid) if child.process.is_alive() else []
            child.process.kill()
            child.process.join()
            for pid in offspring:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            child.process.close()
        self.gate.close()
        self.service.close()

    def freeze(self, child: Child) -> None:
        """Stop a worker, but not while it holds SQLite's only write lock: that would keep everybody else out."""
        for _ in range(100):
            child.freeze()
            if not self.service.database.is_being_written():
                return
            child.thaw()
            time.sleep(0.01)
        raise AssertionError(f"it writes all the time: {child.log_text()}")

    # --- queues and tasks ---

    def create(self, type: str, **options: Any) -> BatchQueue:
        """The queue of the test, empty."""
        return self.service.create(type, "stage", **options)

    def fill(self, *callbacks: Any) -> None:
        """Add one item for each callback, with the numbers 1, 2, 3, ..."""
        for number, callback in enumerate(callbacks, start=1):
            self.queue.enqueue(callback, str(self.folder), number)

    @property
    def queue(self) -> BatchQueue:
        """The queue of the test, as this process sees it."""
        return self.service.load("stage")

    def run_rest(self, shift: float = 0.0) -> RunResult:
        """Run what is left in this process, whose clocks are ``shift`` seconds ahead."""
        runner = Runner(self.queue)
        watchdog = threading.Timer(DEADLINE, runner.stop)
        watchdog.start()
        try:
            with travel(shift):
                result = runner.run_all()
        finally:
            watchdog.cancel()
        assert not runner._stop.is_set(), f"the rest was not done within {DEADLINE:g} s:\n{self.history.tail()}"
        return result

    # --- the effects of tasks ---

    def create_effects(self) -> None:
        """The table into which tasks insert in their own transaction."""
        with self.service.engine.begin() as connection:
            connection.execute(text(tasks.EFFECTS))

    def effects(self) -> list[tuple[int, int]]:
        """(number, fence) of what tasks have inserted, by number."""
        with self.service.engine.connect() as connection:
            rows = connection.execute(text("SELECT number, fence FROM effects ORDER BY number"))
            return [(row.number, row.fence) for row in rows]

    # --- processes ---

    def start(self, role: str = "run", **script: Any) -> Child:
        """Start a process that plays a part (see ``child.py``) on the queue of the test."""
        log = self.folder / f"child-{len(self._children) + 1}.log"
        script = {"url": self.url, "queue": "stage", **script}
        part = Script(folder=self.folder, role=role, log=log, **script)
        process = _processes.Process(target=main, args=(part,), daemon=True)
        process.start()
        child = Child(process, log)
        self._children.append(child)
        return child

    def announce_the_end(self) -> None:
        """Let producers end, and servants once nothing is left."""
        closing(self.folder).touch()
