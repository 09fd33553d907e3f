"""The contract: what every queue can do, whatever stands behind it.

``Queue`` is what users call; ``batch.BatchQueue`` keeps that promise with a dozen primitives that a driver writes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from ..item import QueueItem
from ..settings import Settings
from ..spec import QueueSpec
from ..task import Task
from .arguments import Seconds
from .dead_filter import DeadFilters
from .ended import DeadItem, Ending, Result

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.orm import Session
    from typing_extensions import Unpack

    #: The caller's own transaction, on the same database.
    Joinable = Session | Connection

STATISTICS = ("total", "ready", "blocked", "leased", "delayed", "dead")


class Wait(NamedTuple):
    """Why nothing can be claimed although items stand in the queue."""

    #: Seconds until that may change by itself.
    seconds: float
    #: True when somebody else holds an item; False when a delay or the pause before a retry has to pass.
    is_leased: bool


@dataclass(frozen=True)
class Batch:
    """Items that belong together, as of the moment of reading."""

    id: int
    #: How many items it was made of.
    total: int
    #: How many of them have not ended yet.
    pending: int
    #: How many ended otherwise than ok: deleted, dead, skipped or cancelled.
    failed: int = 0


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
    #: The key is free again as soon as the item is claimed.
    until_start: bool = False
    order_key: str | None = None


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
        unique_until: str = "finished",
        order_key: str | None = None,
        session: Joinable | None = None,
    ) -> QueueItem:
        """Put a task, or any data that survives the serializer, into the queue.

        Arguments:
            weight: lower goes first (32 bits).
            delay, release_time: hidden for so many seconds, or until an aware datetime; not both, the past means now.
            dedup_key: up to 191 characters; while an item with the same key stands in the queue, that one is returned.
            unique_until: "finished", or "started": then the key is free again as soon as the item is claimed (or
                stolen), and stays so when that claim is given back.
            order_key: up to 191 characters; items with the same key are executed one after the other, in the order of
                the queue, by whatever number of workers. Others are not held up by them.
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

    @abstractmethod
    def create_batch(
        self, items: Iterable[Any], on_finished: Task, *, weight: int = 0, session: Joinable | None = None
    ) -> Batch:
        """Put items into the queue of which the last one to end is followed by a callback.

        However an item ends (see :class:`Batch`), its end is counted in the same transaction, and the last one puts
        the callback on the queue, exactly once; of a batch without items that is at once. A dead letter has ended,
        even if it is revived later. A reset of the queue forgets its batches.

        Arguments:
            items: stored as by :meth:`create_items`.
            on_finished: called as ``callback(ctx, *args, **kwargs, batch={"id": .., "total": .., "failed": ..})``.
            weight: of the items, and of the callback.
            session: as for :meth:`create_item`.

        Raises :class:`SpecError` when ``on_finished`` is no task, or has an argument ``batch`` already, and
        :class:`NotSupported` on a queue whose items go to a payload handler.
        """

    @abstractmethod
    def batch(self, batch_id: int) -> Batch | None:
        """How far a batch of this queue is, or None when there is none with that id."""

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

    @abstractmethod
    def cancel_item(self, item_id: int) -> str:
        """Take an item back that was put into the queue.

        ``cancelled``: it waited, and is gone, on record. ``stopping``: somebody holds it, and is told; if its task
        completes all the same, that counts, and whatever else becomes of the attempt removes the item as cancelled.
        Raises :class:`ItemNotFound`.
        """

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
        """How an earlier item ended: ``ok``, ``skipped``, ``cancelled``, ``delete`` or ``dead``.

        ``waiting`` while it stands.

        None when nobody can tell: the id was never given out, the queue was reset meanwhile, or the history of the
        item may have been pruned. On MariaDB and PostgreSQL the id of an insert that was rolled back is given out, too,
        and answers ``ok``: ask only for ids of items whose creation was committed.
        """

    # --- dead letters ---

    @abstractmethod
    def dead_items(self, item_ids: Iterable[int] | None = None, **filters: Unpack[DeadFilters]) -> list[DeadItem]:
        """The dead letters of the queue, oldest id first: all, or those that are meant.

        Arguments:
            item_ids: only those of these ids.
            error: only those with this text in their error, in capitals or not.
            callback: only those that call "package.module:function", or anything in a module or package of that name.
            since, until: only those that died at that moment or later, or before that moment; aware datetimes.

        All that is given must be met. Raises :class:`SpecError`.
        """

    @abstractmethod
    def dead_letters(self, item_ids: Iterable[int] | None = None, **filters: Unpack[DeadFilters]) -> Iterator[DeadItem]:
        """:meth:`dead_items` read in pages, where there may be a hundred thousand."""

    @abstractmethod
    def count_dead_items(self, item_ids: Iterable[int] | None = None, **filters: Unpack[DeadFilters]) -> int:
        """How many :meth:`dead_items` there are."""

    @abstractmethod
    def revive_item(self, item_id: int) -> QueueItem:
        """Put a dead letter back, ready, with fresh attempts. Raises :class:`ItemNotFound`."""

    @abstractmethod
    def revive_items(self, item_ids: Iterable[int] | None = None, **filters: Unpack[DeadFilters]) -> int:
        """Put dead letters (as :meth:`dead_items` chooses them) back; return how many there were.

        Five hundred at a time, each time in a transaction: what interrupts it leaves the others dead.
        """

    @abstractmethod
    def delete_dead_items(self, item_ids: Iterable[int] | None = None, **filters: Unpack[DeadFilters]) -> int:
        """Throw dead letters away, on record, in the same way; return how many there were."""

    # --- history and results ---

    @abstractmethod
    def history_of(self, item_id: int) -> list[Ending]:
        """How the attempts at an item ended that were not ok, the oldest first, also of one that is gone.

        Kept until it is pruned (:meth:`QueueService.prune`); ``Memory`` queues keep it as long as the process lives.
        """

    @abstractmethod
    def result_of(self, item_id: int) -> Result | None:
        """What the task of a finished item returned; None when nothing was kept, or not any more.

        It is kept for as many seconds as the option ``keep_result`` of the queue says.
        """
