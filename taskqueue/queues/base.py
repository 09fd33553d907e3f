"""The contract: what every queue can do, whatever stands behind it.

``Queue`` is what users call; ``BatchQueue`` keeps that promise with a dozen primitives that a driver writes.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import callbacks, clock
from ..errors import ItemNotFound, LeaseLost, SpecError
from ..item import QueueItem
from ..settings import Settings
from ..signals import queue_active, queue_status
from ..spec import STATUSES, QueueSpec, check_weight, nearest, shown
from ..task import Task
from . import settlement
from .settlement import Settlement

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.orm import Session

    #: The caller's own transaction, on the same database.
    Joinable = Session | Connection

Seconds = float | timedelta
STATISTICS = ("total", "ready", "blocked", "leased", "delayed", "dead")
_CENTURY_MS = 100 * 366 * 86_400_000


class Wait(NamedTuple):
    """Why nothing can be claimed although items stand in the queue."""

    #: Seconds until that may change by itself.
    seconds: float
    #: True when somebody else holds an item; False when a delay or the pause before a retry has to pass.
    is_leased: bool


@dataclass(frozen=True)
class DeadItem:
    """A dead letter: an item that used up its attempts (or may not run) and was kept for a human."""

    #: The id that it had in the queue, and will have again when it is revived.
    id: int
    queue_name: str
    weight: int
    submit_time: datetime
    dead_time: datetime
    run_count: int
    failures: int
    #: Why it died.
    error: str
    _unpack: Callable[[], Any] = field(default=lambda: None, repr=False, compare=False)

    @cached_property
    def data(self) -> Any:
        """The task or data. Raises :class:`PayloadError` when what is stored cannot be read."""
        return self._unpack()


@dataclass
class NewItem:
    """An item on its way into a queue."""

    uid: str
    weight: int
    text: str
    #: Milliseconds to wait, or the moment (ms since 1970) to wait for.
    delay: int = 0
    due: int | None = None
    dedup_key: str | None = None


class Queue(ABC):
    """A named, ordered collection of items.

    All methods are safe to call from several threads. Methods that end or renew a lease compare the item's fence with
    the stored one: when it has moved on, they change nothing and raise :class:`LeaseLost`, or, in the batch forms,
    return the items that were lost.
    """

    name: str
    spec: QueueSpec
    settings: Settings

    # --- registration ---

    @property
    @abstractmethod
    def status(self) -> str:
        """The status as stored now: ``active``, ``draft``, ``paused``, ``completed`` or ``aborted``."""

    @abstractmethod
    def set_status(self, status: str) -> None:
        """Store a status; ``queue_status`` is sent once if it really changed. Raises :class:`SpecError`."""

    @abstractmethod
    def is_active(self) -> bool:
        """Whether the status is ``active`` and no receiver of ``queue_active`` holds the queue back."""

    @abstractmethod
    def update(self, **options: Any) -> None:
        """Change options on purpose (see :class:`QueueSpec`). Raises :class:`SpecError`."""

    @abstractmethod
    def reset(self) -> int:
        """Throw all items and dead letters away; return how many items there were. Holders lose their leases."""

    @abstractmethod
    def delete(self) -> None:
        """Remove the queue with its items, its dead letters and its registration."""

    # --- coming in ---

    @abstractmethod
    def create_item(
        self,
        data: Any,
        *,
        weight: int = 0,
        delay: Seconds | None = None,
        release_time: datetime | None = None,
        dedup_key: str | None = None,
        session: Joinable | None = None,
    ) -> QueueItem:
        """Put a task, or any data that survives the serializer, into the queue.

        Arguments:
            weight: lower goes first (32 bits).
            delay, release_time: hidden for so many seconds, or until an aware datetime; not both, the past means now.
            dedup_key: up to 191 characters; while an item with the same key stands in the queue, that one is returned.
            session: an SQLAlchemy Session or Connection on the same database, whose commit or rollback then decides.

        Raises :class:`SerializationError` (with the path to the value), :class:`SpecError`, :class:`SessionMismatch`.
        """

    @abstractmethod
    def create_items(self, items: Iterable[Any], *, weight: int = 0, session: Joinable | None = None) -> int:
        """Put many items into the queue in one transaction, all or nothing; return how many.

        ``items`` is read as it is stored, so that a generator of a million never stands in memory at once.
        """

    @abstractmethod
    def enqueue(
        self, callback: Any, *args: Any, title: Any = "", weight: int = 0, delay: Seconds | None = None
    ) -> QueueItem:
        """``create_item(Task(callback, args, title), ...)``."""

    # --- going out ---

    @abstractmethod
    def claim_item(self, lease_time: Seconds | None = None) -> QueueItem | None:
        """Lease the next ready item, or None when nothing may be claimed. Does not look at the queue's status.

        ``lease_time`` defaults to the option of that name.
        """

    @abstractmethod
    def claim_items(self, limit: int, lease_time: Seconds | None = None) -> list[QueueItem]:
        """Lease up to ``limit`` items, at most the queue's ``batch_limit``, in order."""

    @abstractmethod
    def steal_item(self, lease_time: Seconds | None = None) -> QueueItem | None:
        """Lease the head although somebody may hold it; on a sequential queue all other leases end."""

    @abstractmethod
    def extend_lease(self, item: QueueItem, lease_time: Seconds | None = None) -> None:
        """Prolong a lease, counted from now. Raises :class:`LeaseLost`, also when it has expired."""

    @abstractmethod
    def release_item(self, item: QueueItem, delay: Seconds | None = None) -> None:
        """Give an item back, to be tried again after ``delay`` (default: the queue's ``retry_interval``)."""

    @abstractmethod
    def release_items(self, items: Sequence[QueueItem], delay: Seconds | None = None) -> list[QueueItem]:
        """The same for many; return the lost ones."""

    @abstractmethod
    def relinquish_items(self, items: Sequence[QueueItem]) -> list[QueueItem]:
        """Give items back that were never attempted: ready at once, the claim uncounted; return the lost ones."""

    @abstractmethod
    def delete_item(self, item: QueueItem) -> None:
        """Remove an item: it is finished. Raises :class:`LeaseLost`."""

    @abstractmethod
    def delete_items(self, items: Sequence[QueueItem]) -> list[QueueItem]:
        """The same for many; return the lost ones."""

    # --- looking ---

    @abstractmethod
    def fetch_item(self, item_id: int) -> QueueItem | None:
        """The item with that id as it stands now, or None; changes nothing."""

    @abstractmethod
    def fetch_items(self, item_ids: Iterable[int]) -> list[QueueItem]:
        """Those of the ids that stand in the queue, in its order."""

    @abstractmethod
    def items(self) -> Iterator[QueueItem]:
        """All items in the order of the queue, read in pages."""

    @abstractmethod
    def number_of_items(self) -> int:
        """How many items stand in the queue, dead letters not counted."""

    @abstractmethod
    def statistics(self) -> dict[str, int]:
        """``total`` (live items), ``ready``, ``leased``, ``delayed``, ``blocked`` (the last two), ``dead``."""

    @abstractmethod
    def get_statistic(self, name: str) -> int:
        """One of :meth:`statistics`. Raises :class:`SpecError` on an unknown name."""

    @abstractmethod
    def outcome_of(self, item_id: int) -> str | None:
        """How an earlier item ended: ``ok``, ``skipped``, ``delete`` or ``dead``; ``waiting`` while it stands.

        None when nobody can tell: the id was never used, or the queue was reset meanwhile.
        """

    # --- dead letters ---

    @abstractmethod
    def dead_items(self) -> list[DeadItem]:
        """The dead letters of the queue, oldest id first."""

    @abstractmethod
    def revive_item(self, item_id: int) -> QueueItem:
        """Put a dead letter back, ready, with fresh attempts. Raises :class:`ItemNotFound`."""

    @abstractmethod
    def revive_items(self, item_ids: Iterable[int] | None = None) -> int:
        """Put those dead letters (default: all) back; return how many there were."""

    @abstractmethod
    def delete_dead_items(self, item_ids: Iterable[int] | None = None) -> int:
        """Throw those dead letters (default: all) away; return how many there were."""


class BatchQueue(Queue):
    """A queue on top of a few primitives, which are the abstract methods at the end."""

    #: Whether at most one holder may work on the queue at any moment.
    is_sequential = True

    def __init__(self, spec: QueueSpec, settings: Settings) -> None:
        self.name = spec.name
        self.spec = spec
        self.settings = settings
        #: Goes up with each change that this process makes to what others may have leased ahead: then they look.
        self.changes = 0

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    # --- registration ---

    def set_status(self, status: str) -> None:
        if status not in STATUSES:
            hint = nearest(str(status), STATUSES)
            raise SpecError(f"a status is one of {', '.join(STATUSES)}, not {shown(status)}{hint}")
        if self._store_status(status):
            self.changes += 1
            queue_status.answers(self, status=status)

    def is_active(self) -> bool:
        return self.status == "active" and False not in queue_active.answers(self)

    def update(self, **options: Any) -> None:
        if "is_persistent" in options and options["is_persistent"] != self.spec.is_persistent:
            raise SpecError("is_persistent cannot change: create the queue anew with reset=True")
        status = options.get("status")
        changed = self.spec.changed(options)
        self._store_spec(changed)
        self.spec = changed
        if status is not None:
            self.set_status(status)

    # --- coming in ---

    def create_item(
        self,
        data: Any,
        *,
        weight: int = 0,
        delay: Seconds | None = None,
        release_time: datetime | None = None,
        dedup_key: str | None = None,
        session: Joinable | None = None,
    ) -> QueueItem:
        new = self._new_item(data, check_weight(weight))
        if delay is not None or release_time is not None:
            new.delay, new.due = _due(delay, release_time)
        if dedup_key is not None:
            new.dedup_key = _check_key(dedup_key)
        item = self._insert(new, session)
        self.changes += 1
        return item

    def create_items(self, items: Iterable[Any], *, weight: int = 0, session: Joinable | None = None) -> int:
        check_weight(weight)
        count = self._insert_many((self._new_item(data, weight) for data in items), session)
        self.changes += 1
        return count

    def enqueue(
        self, callback: Any, *args: Any, title: Any = "", weight: int = 0, delay: Seconds | None = None
    ) -> QueueItem:
        return self.create_item(Task(callback, args, title), weight=weight, delay=delay)

    def _new_item(self, data: Any, weight: int) -> NewItem:
        uid = os.urandom(16).hex()
        text = self.settings.codec.pack(data, self.name, uid)
        if isinstance(data, Task):
            callbacks.remember(data.callback)
        return NewItem(uid, weight, text)

    # --- going out ---

    def claim_item(self, lease_time: Seconds | None = None) -> QueueItem | None:
        return next(iter(self.lease(1, self._lease_ms(lease_time))), None)

    def claim_items(self, limit: int, lease_time: Seconds | None = None) -> list[QueueItem]:
        if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
            raise SpecError(f"limit must be a whole number of at least 1, not {shown(limit)}")
        return self.lease(min(limit, self.spec.batch_limit), self._lease_ms(lease_time))

    def steal_item(self, lease_time: Seconds | None = None) -> QueueItem | None:
        return self._steal(self._lease_ms(lease_time))

    def extend_lease(self, item: QueueItem, lease_time: Seconds | None = None) -> None:
        self._raise_if_lost(item, self.renew([item], self._lease_ms(lease_time)))

    def release_item(self, item: QueueItem, delay: Seconds | None = None) -> None:
        self._raise_if_lost(item, self.release_items([item], delay))

    def release_items(self, items: Sequence[QueueItem], delay: Seconds | None = None) -> list[QueueItem]:
        seconds = (self.spec.retry_interval or 0) if delay is None else delay
        return self.settle(items, settlement.release(_delay_ms(seconds)))

    def relinquish_items(self, items: Sequence[QueueItem]) -> list[QueueItem]:
        return self.settle(items, settlement.RELINQUISH)

    def delete_item(self, item: QueueItem) -> None:
        self._raise_if_lost(item, self.settle([item], settlement.DONE))

    def delete_items(self, items: Sequence[QueueItem]) -> list[QueueItem]:
        return self.settle(items, settlement.DONE)

    def settle(self, items: Sequence[QueueItem], how: Settlement) -> list[QueueItem]:
        """Carry a settlement out for all whose fence has not moved on; return the others."""
        mine = [item for item in items if item.queue_name == self.name]
        kept = self._settle(mine, how) if mine else set()
        return [item for item in items if item.queue_name != self.name or item.id not in kept]

    def renew(self, items: Sequence[QueueItem], lease: int) -> list[QueueItem]:
        """Prolong the leases that are still valid to ``lease`` ms from now; return the lost ones."""
        mine = [item for item in items if item.queue_name == self.name]
        kept = self._renew(mine, lease) if mine else set()
        return [item for item in items if item.queue_name != self.name or item.id not in kept]

    def _lease_ms(self, lease_time: Seconds | None) -> int:
        if lease_time is None:
            return clock.to_ms(self.spec.lease_time)
        lease = _delay_ms(lease_time, "lease_time")
        if lease <= 0:
            raise SpecError(f"lease_time must be more than 0 seconds, not {shown(lease_time)}")
        return lease

    def _raise_if_lost(self, item: QueueItem, lost: Sequence[QueueItem]) -> None:
        if lost:
            raise LeaseLost(
                f"item {item.id} of queue {self.name!r} is no longer held under fence {item.fence}: its lease ended, "
                "it was taken over, or it is finished; nothing was changed"
            )

    # --- looking ---

    def fetch_item(self, item_id: int) -> QueueItem | None:
        return next(iter(self.fetch_items([item_id])), None)

    def statistics(self) -> dict[str, int]:
        ready, leased, delayed = self._counts()
        blocked = leased + delayed
        counts = (ready + blocked, ready, blocked, leased, delayed, self._count_dead())
        return dict(zip(STATISTICS, counts, strict=True))

    def get_statistic(self, name: str) -> int:
        if name not in STATISTICS:
            hint = nearest(str(name), STATISTICS)
            raise SpecError(f"unknown statistic {shown(name)}{hint}; known are {', '.join(STATISTICS)}")
        return self.statistics()[name]

    # --- dead letters ---

    def revive_item(self, item_id: int) -> QueueItem:
        item = self.fetch_item(item_id) if self.revive_items([item_id]) else None
        if item is None:
            raise ItemNotFound(f"queue {self.name!r} has no dead letter with the id {item_id}")
        return item

    def revive_items(self, item_ids: Iterable[int] | None = None) -> int:
        ids = [dead.id for dead in self.dead_items()] if item_ids is None else _check_ids(item_ids)
        revived = self._revive(ids)
        self.changes += 1
        return revived

    def delete_dead_items(self, item_ids: Iterable[int] | None = None) -> int:
        ids = [dead.id for dead in self.dead_items()] if item_ids is None else _check_ids(item_ids)
        return self._delete_dead(ids)

    # --- for runners and workers ---

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Let this thread work on the queue without fetching a connection for each call."""
        yield

    @abstractmethod
    def lease(self, limit: int, lease: int) -> list[QueueItem]:
        """Lease up to ``limit`` items for ``lease`` ms, in order; on a sequential queue consecutive ones."""

    @abstractmethod
    def is_next(self, item: QueueItem) -> bool:
        """Whether ``item``, leased ahead, is still held and still goes next.

        Not when another item stands before it that is ready, or that blocks a sequential queue.
        """

    @abstractmethod
    def wait(self) -> Wait | None:
        """What has to pass until something can be claimed, or None when the queue is empty."""

    @abstractmethod
    def completing(self, item: QueueItem) -> AbstractContextManager[Session]:
        """A session whose commit includes the completion of ``item``. Raises :class:`LeaseLost`, rolled back."""

    # --- primitives of a driver ---

    @abstractmethod
    def _store_status(self, status: str) -> bool: ...

    @abstractmethod
    def _store_spec(self, spec: QueueSpec) -> None: ...

    @abstractmethod
    def _insert(self, new: NewItem, session: Joinable | None) -> QueueItem: ...

    @abstractmethod
    def _insert_many(self, new: Iterable[NewItem], session: Joinable | None) -> int: ...

    @abstractmethod
    def _steal(self, lease: int) -> QueueItem | None: ...

    @abstractmethod
    def _settle(self, items: Sequence[QueueItem], how: Settlement) -> set[int]: ...

    @abstractmethod
    def _renew(self, items: Sequence[QueueItem], lease: int) -> set[int]: ...

    @abstractmethod
    def _counts(self) -> tuple[int, int, int]: ...

    @abstractmethod
    def _count_dead(self) -> int: ...

    @abstractmethod
    def _revive(self, ids: Sequence[int]) -> int: ...

    @abstractmethod
    def _delete_dead(self, ids: Sequence[int]) -> int: ...


def _delay_ms(delay: Seconds, what: str = "delay") -> int:
    if isinstance(delay, (int, float, timedelta)) and not isinstance(delay, bool):
        try:
            milliseconds = clock.to_ms(delay)
        except (OverflowError, ValueError):  # infinite, or not a number
            milliseconds = _CENTURY_MS + 1
        if milliseconds <= _CENTURY_MS:
            return max(milliseconds, 0)
    raise SpecError(f"{what} must be seconds or a timedelta of at most a hundred years, not {shown(delay)}")


def _due(delay: Seconds | None, release_time: datetime | None) -> tuple[int, int | None]:
    if delay is not None and release_time is not None:
        raise SpecError("give delay or release_time, not both")
    if delay is not None:
        return _delay_ms(delay), None
    if not isinstance(release_time, datetime) or release_time.utcoffset() is None:
        raise SpecError(f"release_time must be a datetime with a time zone, not {shown(release_time)}")
    return 0, max(clock.moment_ms(release_time), 0)


def _check_key(key: object) -> str:
    # MariaDB takes "k" for "k ", the others do not: so nobody may end with a blank.
    if isinstance(key, str) and 0 < len(key) <= 191 and key.isprintable() and key == key.strip():
        return key
    raise SpecError(f"dedup_key must be 1 to 191 printable characters without outer blanks, not {shown(key)}")


def _check_ids(ids: Iterable[int]) -> list[int]:
    if isinstance(ids, (str, bytes, int)):
        raise SpecError(f"give a list of item ids, not {shown(ids)}")
    return [_check_id(item_id) for item_id in ids]


def _check_id(item_id: object) -> int:
    if isinstance(item_id, int) and not isinstance(item_id, bool) and 0 <= item_id < 2**63:
        return item_id
    raise SpecError(f"an item id is a whole number, not {shown(item_id)}")
