"""What a run is asked to do, what it shows on its way, and what it came to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from .queues.base import Wait


class ErrorMode(Enum):
    """What a run does about an item that has used up its attempts."""

    #: Record the failure, remove the item (keep it as a dead letter if the queue's ``error`` is "dead"), go on.
    CONTINUE = 1
    #: Keep the item in its place and stop.
    ABORT = 2


@dataclass
class RunResult:
    """What a run came to; true when the queue was drained and ``on_end`` did not fail."""

    #: Whether the run was stopped by an error.
    is_error: bool = False
    #: Whether it can go on: items are left and no error stands in the way.
    is_continue: bool = False
    #: Items that still stand in the queue.
    number_of_items: int = 0
    #: The title of the item that was executed last.
    last_task_title: str = ""
    #: The latest failure, also of a run that went on.
    exception: BaseException | None = None
    #: Items that ended ok, that failed for good, that were skipped or cancelled.
    completed: int = 0
    failed: int = 0
    skipped: int = 0
    #: Seconds.
    elapsed: float = 0.0
    #: ``on_end_url``, once the queue is drained.
    redirect_url: str | None = None
    is_drained: bool = False

    def __bool__(self) -> bool:
        return self.is_drained and not self.is_error


@dataclass(frozen=True)
class Progress:
    """A moment of a run, for whoever watches."""

    #: The title of the item in hand; empty between items.
    title: str = ""
    completed: int = 0
    failed: int = 0
    #: About how many items are left, the one in hand included.
    remaining: int = 0
    #: What the task itself has reported.
    done: float = 0
    total: float | None = None
    message: str = ""
    #: Why nothing can be claimed at the moment, or None.
    waiting: Wait | None = None


Watcher = Callable[[Progress], None]
