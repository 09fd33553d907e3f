"""The tasks of these tests; each writes down that it was executed.

``python -m tests.web_api.tasks DATABASE_URL QUEUE`` runs a queue whose task dies with its process.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from taskqueue import QueueService, Runner, TaskContext

#: Name of the environment variable with the file into which the tasks write.
JOURNAL = "TASKQUEUE_TEST_JOURNAL"


def ok(ctx: TaskContext, number: int = 0, **_more: object) -> None:
    """Succeed."""
    note(f"ok {number}")


def fail(ctx: TaskContext, message: str) -> None:
    """Fail."""
    note("fail")
    raise ValueError(message)


def die(ctx: TaskContext) -> None:
    """Take the whole process along, as a crash does."""
    os._exit(1)


def report_numbers(ctx: TaskContext) -> None:
    """Report the numbers, and let the test look at the run in mid-task."""
    note("report")
    ctx.report(*numbers)
    watchers.pop()(ctx)


#: Set by the test, which is in the same process.
numbers: tuple[float, float] = (0, 1)
watchers: list[Callable[[TaskContext], None]] = []


def end(ctx: TaskContext) -> None:
    """The step after the last item."""
    note("end")


def note(line: str) -> None:
    """Write down that something was executed."""
    with Path(os.environ[JOURNAL]).open("a") as journal:
        journal.write(f"{line}\n")


if __name__ == "__main__":
    service = QueueService(sys.argv[1], allow=["tests.web_api"], heartbeat=0.05, stale_after=0.2, lease_slice=3600)
    Runner(service.load(sys.argv[2])).run_all()
