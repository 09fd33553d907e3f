"""An item: a task or other data standing in a queue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Protocol

from . import clock
from .errors import PayloadError
from .spans import Trace
from .task import Task

#: Under which items of our own, which are no tasks, hold what they are called.
TITLE = "taskqueue.title"


class _Data:
    """Unpacked once, when it is first asked for: a ``cached_property`` without the lock of older Pythons."""

    def __get__(self, item: QueueItem | None, owner: type[QueueItem]) -> Any:
        if item is None:
            return self
        data = item.__dict__["data"] = item._unpack()
        return data


@dataclass(frozen=True)
class QueueItem:
    """An item as it was when it was read; nothing here changes when the queue does. Times are aware, UTC."""

    #: Unique among all items of the database, growing with each insert of one host.
    id: int
    #: The queue in which the item stands.
    queue_name: str
    #: Lower goes first; equal weights go in the order of their ids.
    weight: int
    #: When it was created.
    submit_time: datetime
    #: When its lease, delay or wait for a retry ends; None when it is ready.
    release_time: datetime | None
    #: How often it was claimed (less the claims that were relinquished).
    run_count: int
    #: Its fencing number: whoever holds an older one can change nothing any more.
    fence: int
    #: The text of the latest failure, or None.
    last_error: str | None = None
    #: How often its execution has failed, and how often a holder was lost in mid-task.
    failures: int = 0
    interruptions: int = 0
    #: A random name that outlives the row; part of the signature.
    uid: str = field(default="", repr=False)
    #: Whether its holder was asked to stop; it is never executed again.
    is_cancelled: bool = False
    #: The batch to which it belongs (see :meth:`Queue.create_batch`), or None.
    batch_id: int | None = None
    #: Items with the same key are executed one after the other, in the order of the queue.
    order_key: str | None = None
    _unpack: Callable[..., Any] = field(default=lambda: None, repr=False, compare=False)

    @classmethod
    def of(cls, *values: Any) -> QueueItem:
        """The same as the constructor, in half the time: that of a frozen dataclass calls a function for each field."""
        item = cls.__new__(cls)
        item.__dict__.update(zip(_FIELDS, values, strict=True))
        return item

    #: The task or data that was queued. Raises :class:`PayloadError` when what is stored cannot be read.
    data = _Data()

    @property
    def title(self) -> str:
        """The title of the task, else its callback, else a short form of the data; never raises."""
        return title_of(self)

    @property
    def trace_context(self) -> Trace | None:
        """The trace in which it was enqueued, as the W3C's JSON text; None outside of any. Never raises."""
        try:
            found: Trace | None = self._unpack(is_trace=True)
        except PayloadError:
            return None
        return found


_FIELDS = tuple(field.name for field in fields(QueueItem))


class Unpackable(Protocol):
    """Something with data that may be unreadable."""

    @property
    def data(self) -> Any: ...


def title_of(item: Unpackable) -> str:
    """A label for an item or a dead letter."""
    try:
        return title_of_data(item.data)
    except PayloadError:
        return "(unreadable item)"


def name_of(item: Unpackable) -> str:
    """Its title on one line, for logs; "" where that would be made of its data, which may hold a secret."""
    try:
        return _short(" ".join(name_of_data(item.data).split()))
    except PayloadError:
        return ""


def title_of_data(data: Any) -> str:
    """The title of a task, else its callback; what an outbox's message calls; a short form of other data."""
    return _short(name_of_data(data) or repr(data))


def name_of_data(data: Any) -> str:
    """The title of a task, else its callback; what an outbox's message calls; of other data nothing, but for ours."""
    if isinstance(data, Task):
        return str(data.title) or data.callback
    if isinstance(data, dict) and isinstance(data.get("service"), str) and isinstance(data.get("event"), str):
        return f"{data['service']}.{data['event']}" + (f"/#{data['outcome']}" if data.get("outcome") else "")
    if isinstance(data, dict) and isinstance(data.get(TITLE), str):
        return str(data[TITLE])
    return ""


def _short(text: str) -> str:
    return text if len(text) <= 200 else text[:199] + "…"


def optional_time(moment: int) -> datetime | None:
    """A stored time, of which 0 means none."""
    return clock.from_ms(moment) if moment else None
