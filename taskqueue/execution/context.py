"""What a task gets as its first argument."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..errors import LeaseLost, NotSupported, SpecError
from ..item import QueueItem
from ..queues.batch import BatchQueue
from ..queues.settlement import always
from ..spec import shown
from .holding import Holding

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    _Adapter = logging.LoggerAdapter[logging.Logger]
else:
    _Adapter = logging.LoggerAdapter  # generic only since Python 3.11

_log = logging.getLogger("taskqueue.task")
#: ``report(done, total, message)`` of the task, passed on to whoever shows it.
Reporter = Callable[[float, "float | None", str], None]


class TaskLog(_Adapter):
    """Puts queue, item and attempt before each line, and as fields on each record."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """See :class:`logging.LoggerAdapter`."""
        extra = dict(self.extra or {})
        kwargs["extra"] = {**extra, **kwargs.get("extra", {})}
        return f"[{extra['queue']} #{extra['item']} attempt {extra['attempt']}] {msg}", kwargs


def task_log(queue: str, item: int | None, attempt: int) -> TaskLog:
    """A logger whose lines name queue, item and attempt."""
    return TaskLog(_log, {"queue": queue, "item": item, "attempt": attempt})


class TaskContext:
    """The first argument of every callback.

    A task may add items to ``ctx.queue``; with a lower weight they go before the rest.
    """

    #: The queue from which the item came.
    queue: BatchQueue
    #: The item being executed; None in an ``on_end`` callback.
    item: QueueItem | None

    def __init__(
        self,
        queue: BatchQueue,
        item: QueueItem | None = None,
        holding: Holding | None = None,
        stop: threading.Event | None = None,
        reporter: Reporter | None = None,
    ) -> None:
        self.queue = queue
        self.item = item
        self._holding = holding
        self._stop = stop
        self._reporter = reporter
        #: Set once the completion of the item was committed by :meth:`transaction`.
        self.is_completed = False
        #: Whether the task has been told to stop because whoever executes it is about to end.
        self.is_told_to_stop = False
        #: Whether :meth:`transaction` was opened, and whether it found the lease lost.
        self.is_open = self.is_lost = False
        #: Whether what the task returned was stored in :meth:`transaction`.
        self.is_result_kept = False

    @property
    def attempt(self) -> int:
        """1 for the first attempt; failures count, lost workers do not."""
        return self.item.failures + 1 if self.item else 1

    @cached_property
    def log(self) -> TaskLog:
        """A logger whose lines name queue, item and attempt."""
        return task_log(self.queue.name, self.item.id if self.item else None, self.attempt)

    @property
    def should_stop(self) -> bool:
        """Whether a stop or the cancellation was asked for, or the lease is lost: save what you can, return soon."""
        if self._stop is not None and self._stop.is_set():
            self.is_told_to_stop = True
            return True
        return self.is_void

    @property
    def is_void(self) -> bool:
        """Whether what the task still does cannot count: it was cancelled, took too long, or its lease is lost."""
        if self._holding is None or self.item is None or self.is_completed:
            return False
        return self.is_late or self._holding.is_cancelled(self.item)

    @property
    def is_late(self) -> bool:
        """Whether it took too long, or its lease is lost."""
        if self._holding is None or self.item is None or self.is_completed:
            return False
        return self._holding.is_lost(self.item) or self._holding.is_overdue(self.item)

    def report(self, done: float, total: float | None = None, message: str = "") -> None:
        """Show progress inside the task, and start its ``lease_time`` anew.

        Arguments:
            done, total: numbers of the same unit; ``total`` may be unknown.
            message: a short text for whoever watches.
        """
        for value, name in ((done, "done"), (total, "total")):
            if not isinstance(value, (int, float)) and not (value is None and name == "total"):
                raise SpecError(f"report() takes numbers: {name} is {shown(value)}")
        self.heartbeat()
        if self._reporter is not None:
            self._reporter(done, total, str(message))

    def heartbeat(self) -> None:
        """Say that the task is alive: its ``lease_time`` counts from now."""
        if self._holding is not None and self.item is not None:
            self._holding.report(self.item)

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """A database session whose commit includes the completion of the item; once per task.

        When the lease was lost it is rolled back and :class:`LeaseLost` raised: what the task wrote happens exactly
        once or not at all. Items that the task adds inside the block join it. On SQLite, with its one writer, the
        write lock is the lease meanwhile.

        Raises :class:`NotSupported` on ``Memory`` queues and on a second call.
        """
        if self.item is None:
            raise NotSupported("on_end has no item to complete: open a session of your own")
        if self.is_open:
            raise NotSupported("ctx.transaction() may be opened once per task: its commit completes the item")
        with self.completing() as session:
            yield session

    @contextmanager
    def completing(self) -> Iterator[Session]:
        """:meth:`transaction` for handlers of a payload, which may open another one when the first was rolled back."""
        assert self.item is not None  # noqa: S101  (only on_end has none)
        self.is_open = True
        try:
            with self.queue.completing(self.item, self._holding.is_sure if self._holding else always) as session:
                yield session
        except LeaseLost as lost:
            self.is_lost = lost.item is self.item  # not one that the task itself has lost elsewhere
            raise
        self.is_completed = True

    def outcome_of(self, item_id: int) -> str | None:
        """How an earlier item of the queue ended (see :meth:`Queue.outcome_of`)."""
        return self.queue.outcome_of(item_id)
