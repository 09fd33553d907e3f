"""Commands that serve queues, and what tests of them wait for."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from taskqueue import BatchQueue, QueueService, Task
from taskqueue.worker import roster
from tests.cli.conftest import JOBS, Shell

ALLOW = ("--allow", JOBS)
NOTHING_HELD = {"blocked": 0, "leased": 0, "delayed": 0, "dead": 0}
#: Seconds after which a wait gives up: many times what it takes on a busy machine.
DEADLINE = 60.0


def wait_until(condition: Callable[[], Any], what: str) -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, f"did not happen: {what}"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    """Whether a process still does something."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def journal(shell: Shell) -> list[str]:
    """What tasks have written, in order."""
    path = shell.folder / "journal"
    return path.read_text().split() if path.exists() else []


def wait_for_start(started: Path) -> None:
    """Wait until a task has said that it has started; the next one will say so anew."""
    wait_until(started.exists, "the task has started")
    started.unlink()


def fill(queue: BatchQueue, number: int = 20) -> None:
    queue.create_items(Task(f"{JOBS}:append", (str(n),)) for n in range(number))


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=DEADLINE)
    return process.returncode, out, err


def at_work(shell: Shell, queue: BatchQueue, callback: str, *options: str) -> subprocess.Popen[str]:
    """A command whose one process has a task in hand, and others leased ahead behind it."""
    started = shell.folder / "started"
    fill(queue, 30)
    args = (str(started), str(shell.fifo("gate"))) if callback == "until_opened" else (str(started),)
    queue.create_item(Task(f"{JOBS}:{callback}", args, "the blocker"))
    fill(queue, 10)
    process = shell.start("work", "q", *ALLOW, *options)
    wait_for_start(started)
    return process


def states(queue: BatchQueue) -> set[str]:
    service = QueueService(queue.database.url)  # type: ignore[attr-defined]
    try:
        return {info.state for info in roster.workers(service)}
    finally:
        service.close()
