"""The tasks of ``python -m benchmarks.scale``: one waits, one uses the CPU; both say when they are done."""

from __future__ import annotations

import time
from typing import Any

from taskqueue import TaskContext

from .peers.witness import mark


def wait(ctx: TaskContext, given: dict[str, Any]) -> None:
    """10 ms in which it does nothing, as a request to somebody else would."""
    time.sleep(0.010)
    mark(given)


def burn(ctx: TaskContext, given: dict[str, Any]) -> None:
    """5 ms of CPU, however long that takes."""
    end = time.thread_time() + 0.005
    while time.thread_time() < end:
        pass
    mark(given)
