"""What is kept of items that have ended: dead letters, the record of their failures, and results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from ..errors import PayloadError
from ..item import title_of
from ..task import Task


@dataclass(frozen=True)
class DeadItem:
    """A dead letter: an item that used up its attempts (or may not run) and was kept for a human. Times are UTC."""

    #: The id that it had in the queue, and will have again when it is revived.
    id: int
    queue_name: str
    weight: int
    #: When it was created, and when it died.
    submit_time: datetime
    dead_time: datetime
    #: How often it was claimed.
    run_count: int
    #: How often it failed.
    failures: int
    #: Why it died.
    error: str
    #: Where in the code it failed; None where that says nothing.
    traceback: str | None = None
    #: As of the item, whatever happens to it.
    uid: str = field(default="", repr=False)
    _unpack: Callable[[], Any] = field(default=lambda: None, repr=False, compare=False)

    @cached_property
    def data(self) -> Any:
        """The task or data. Raises :class:`PayloadError` when what is stored cannot be read."""
        return self._unpack()

    @property
    def title(self) -> str:
        """As of an item."""
        return title_of(self)

    @property
    def attempts(self) -> int:
        """How many attempts failed; workers that were lost in mid-task are only in ``run_count``."""
        return self.failures

    @property
    def callback(self) -> str | None:
        """What the task calls; None for plain data, and for what cannot be read."""
        return self._task.callback if self._task is not None else None

    @property
    def args(self) -> tuple[Any, ...]:
        """What the task is called with, after the context."""
        return self._task.args if self._task is not None else ()

    @property
    def kwargs(self) -> dict[str, Any]:
        """The keyword arguments."""
        return self._task.kwargs if self._task is not None else {}

    @cached_property
    def _task(self) -> Task | None:
        try:
            return self.data if isinstance(self.data, Task) else None
        except PayloadError:
            return None


@dataclass(frozen=True)
class Ending:
    """One line of an item's history: an attempt, or the item itself, ended otherwise than ok."""

    item_id: int
    #: "retry", "abort", "delete", "dead", "skipped", "cancelled", or "revived": a dead letter that was put back.
    outcome: str
    #: The number of the attempt, beginning with 1; it begins anew when the item gets fresh attempts.
    attempt: int
    #: Why, and where in the code; None where there is nothing to say.
    error: str | None
    traceback: str | None
    end_time: datetime


@dataclass(frozen=True)
class Result:
    """What a task returned."""

    item_id: int
    end_time: datetime
    _unpack: Callable[[], Any] = field(repr=False, compare=False)

    @cached_property
    def value(self) -> Any:
        """The value. Raises :class:`PayloadError` when what is stored cannot be read."""
        return self._unpack()
