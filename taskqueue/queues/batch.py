"""``BatchQueue``: the contract kept with a dozen primitives, which a driver writes."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, NoReturn

from .. import callbacks, clock, spans
from ..errors import ItemNotFound, LeaseLost, NotSupported, PayloadError, SerializationError, SpecError
from ..item import QueueItem
from ..outcome import Outcome
from ..settings import Settings
from ..signals import queue_active, queue_status
from ..spec import STATUSES, QueueSpec, check_weight, nearest, shown
from ..task import Task
from . import settlement
from .archived import ArchivedQueue
from .arguments import Seconds, check_callback, check_id, check_key, check_unique_until, delay_ms, due
from .base import STATISTICS, Batch, NewItem, Wait
from .settlement import Settlement, Sure, always

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from .base import Joinable


class BatchQueue(ArchivedQueue):
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
            self.status_changed(status)

    def status_changed(self, status: str) -> None:
        """Tell whoever listens; for those that have stored the status themselves."""
        self.changed()
        queue_status.answers(self, status=status)

    def changed(self) -> None:
        """Something was added or made ready here: those of this process who lease ahead, or wait, look."""
        self.changes += 1
        self.settings.bell.ring(self.name)

    def changed_by(self, session: Joinable | None) -> None:
        """The same, of what stands in a transaction of the caller's: it counts once that is committed."""
        self.changed()

    def is_active(self) -> bool:
        return self._may_be_served(self.status)

    def _may_be_served(self, status: str) -> bool:
        return status == "active" and False not in queue_active.answers(self)

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
        unique_until: str = "finished",
        order_key: str | None = None,
        session: Joinable | None = None,
    ) -> QueueItem:
        if spans.tracer is None:
            return self._create(data, weight, delay, release_time, dedup_key, unique_until, order_key, session)
        with spans.sending(self, data) as span:
            item = self._create(data, weight, delay, release_time, dedup_key, unique_until, order_key, session)
            span.stored(item_id=item.id)
        return item

    def _create(
        self, data: Any, weight: int, delay: Seconds | None, release_time: datetime | None, dedup_key: str | None,
        unique_until: str, order_key: str | None, session: Joinable | None,
    ) -> QueueItem:  # fmt: skip
        new = self._placed(data, weight, delay, release_time, order_key)
        if dedup_key is not None:
            new.dedup_key = check_key(dedup_key)
        if unique_until != "finished":
            new.until_start = check_unique_until(unique_until, dedup_key)
        item = self._insert(new, session)
        self.changed_by(session)
        return item

    def _placed(
        self, data: Any, weight: int, delay: Seconds | None, release_time: datetime | None, order_key: str | None
    ) -> NewItem:
        new = self._new_item(data, check_weight(weight))
        if delay is not None or release_time is not None:
            new.delay, new.due = due(delay, release_time)
        if order_key is not None:
            new.order_key = check_key(order_key, "order_key")
        return new

    def create_items(self, items: Iterable[Any], *, weight: int = 0, session: Joinable | None = None) -> int:
        check_weight(weight)
        with spans.sending(self) as span:
            count = self._insert_many(self._new_items(items, weight), session)
            span.stored(number=count)
        self.changed_by(session)
        return count

    def create_batch(
        self, items: Iterable[Any], on_finished: Task, *, weight: int = 0, session: Joinable | None = None
    ) -> Batch:
        check_callback(on_finished, self.spec.payload)
        check_weight(weight)
        with spans.sending(self) as span:
            callback = self._new_item(on_finished, weight)
            batch = self._insert_batch(callback, self._new_items(items, weight), session)
            span.stored(number=batch.total)
        self.changed_by(session)
        return batch

    def _finished(self, batch: Batch, stored: NewItem) -> NewItem:
        """The callback of a batch that has ended, as an item.

        It comes from the database, so that this process has not queued it, and must not remember it as permitted.
        """
        self.changed()
        codec = self.settings.codec
        uid = os.urandom(16).hex()
        try:
            task = codec.unpack(stored.text, self.name, stored.uid)
            if isinstance(task, Task):
                task.kwargs["batch"] = {"id": batch.id, "total": batch.total, "failed": batch.failed}
                trace = codec.unpack(stored.text, self.name, stored.uid, is_trace=True)
                return NewItem(uid, stored.weight, codec.pack(task, self.name, uid, trace=trace))
        except (PayloadError, SerializationError):
            pass
        return stored  # whoever executes it says what is wrong with it

    def enqueue(
        self, callback: Any, *args: Any, title: Any = "", weight: int = 0, delay: Seconds | None = None
    ) -> QueueItem:
        return self.create_item(Task(callback, args, title), weight=weight, delay=delay)

    def _new_item(self, data: Any, weight: int) -> NewItem:
        if self.spec.is_template:
            self._refuse_template()
        return self._new(os.urandom(16).hex(), data, weight, spans.carried())

    def _new_items(self, items: Iterable[Any], weight: int) -> Iterator[NewItem]:
        if self.spec.is_template:
            self._refuse_template()
        trace = spans.carried()
        # No map(): what takes a StopIteration of the user's own code for the end of the items.
        return (self._new(uid, data, weight, trace) for uid, data in zip(_uids(), items, strict=False))

    def _refuse_template(self) -> NoReturn:
        raise NotSupported(f"queue {self.name!r} is a template: create a queue with template={self.name!r}")

    def _new(self, uid: str, data: Any, weight: int, trace: spans.Trace | None) -> NewItem:
        text = self.settings.codec.pack(data, self.name, uid, trace=trace)
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
        return self.settle(items, settlement.release(delay_ms(seconds)))

    def relinquish_items(self, items: Sequence[QueueItem]) -> list[QueueItem]:
        return self.settle(items, settlement.RELINQUISH)

    def delete_item(self, item: QueueItem) -> None:
        self._raise_if_lost(item, self.settle([item], settlement.DONE))

    def delete_items(self, items: Sequence[QueueItem]) -> list[QueueItem]:
        return self.settle(items, settlement.DONE)

    def cancel_item(self, item_id: int) -> str:
        answer = self._as_cancelled(item_id, self._cancel(check_id(item_id)))
        self.changed()
        return answer

    def _as_cancelled(self, item_id: int, answer: str | None) -> str:
        if answer is None:
            raise ItemNotFound(f"queue {self.name!r} has no item {item_id} to cancel: it has ended, or was never there")
        return answer

    def cancelled_among(self, items: Sequence[QueueItem]) -> set[int]:
        """The ids of those whose holder was asked to stop."""
        return set()

    def settle(self, items: Sequence[QueueItem], how: Settlement, sure: Sure = always) -> list[QueueItem]:
        """Carry a settlement out for all whose fence has not moved on; return the others.

        Arguments:
            sure: whether nobody else can have held an item until this moment. Asked when the answer to a commit was
                lost and the item is gone: then we have ended it, or else an heir may have.
        """
        if len(items) == 1 and items[0].queue_name == self.name:
            return [] if self._settle(items, how, sure) else list(items)
        mine = self._newest(items)
        return self._lost(items, mine, self._settle(mine, how, sure) if mine else set())

    def _lost(self, items: Sequence[QueueItem], mine: Sequence[QueueItem], kept: set[int]) -> list[QueueItem]:
        held = {(item.id, item.fence) for item in mine if item.id in kept}
        return [item for item in items if item.queue_name != self.name or (item.id, item.fence) not in held]

    def _newest(self, items: Sequence[QueueItem]) -> list[QueueItem]:
        """Of several handles of one item only the newest can still be valid."""
        by_fence = sorted((item for item in items if item.queue_name == self.name), key=lambda item: item.fence)
        return list({item.id: item for item in by_fence}.values())

    def renew(self, items: Sequence[QueueItem], lease: int) -> list[QueueItem]:
        """Prolong the leases that are still valid to ``lease`` ms from now; return the lost ones."""
        mine = self._newest(items)
        return self._lost(items, mine, self._renew(mine, lease) if mine else set())

    def _lease_ms(self, lease_time: Seconds | None) -> int:
        if lease_time is None:
            return max(clock.to_ms(self.spec.lease_time), 1)
        lease = delay_ms(lease_time, "lease_time")
        if lease <= 0:
            raise SpecError(f"lease_time must be more than 0 seconds, not {shown(lease_time)}")
        return lease

    def _raise_if_lost(self, item: QueueItem, lost: Sequence[QueueItem]) -> None:
        if lost:
            error = LeaseLost(
                f"item {item.id} of queue {self.name!r} is no longer held under fence {item.fence}: its lease ended, "
                "it was taken over, or it is finished; nothing was changed"
            )
            error.item = item
            raise error

    # --- looking ---

    def fetch_item(self, item_id: int) -> QueueItem | None:
        return next(iter(self.fetch_items([item_id])), None)

    def statistics(self) -> dict[str, int]:
        ready, leased, delayed = self._counts()
        blocked = leased + delayed
        counts = (ready + blocked, ready, blocked, leased, delayed, self.archive.count())
        return dict(zip(STATISTICS, counts, strict=True))

    def get_statistic(self, name: str) -> int:
        if name not in STATISTICS:
            hint = nearest(str(name), STATISTICS)
            raise SpecError(f"unknown statistic {shown(name)}{hint}; known are {', '.join(STATISTICS)}")
        return self.statistics()[name]

    def outcome_of(self, item_id: int) -> str | None:
        return self._outcome_of(check_id(item_id))

    # --- for runners and workers ---

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Let this thread work on the queue without fetching a connection for each call."""
        yield

    def announce(self) -> None:
        """A sign of life of this process, as a holder of items."""

    def count_attempt(self, outcome: Outcome, seconds: float) -> None:
        """An attempt at an item has ended, and its outcome is stored. On the path of every task."""

    def store_counts(self, *, at_once: bool = False) -> None:
        """Store what :meth:`count_attempt` has counted, if it is time for that or has to be ``at_once``. Raises
        nothing."""

    def begin(self) -> None:
        """Something was claimed: from now on the queue may complete by being empty, if it has that option."""

    def complete_if_empty(self) -> bool:
        """Set the status to completed if the queue has that option and all its items have ended; whether it was set."""
        return False

    @abstractmethod
    def is_drained(self) -> bool:
        """Whether nothing is leased, may be claimed, or waits for its retry; what a user delayed does not count."""

    @abstractmethod
    def lease(self, limit: int, lease: int) -> list[QueueItem]:
        """Lease up to ``limit`` items for ``lease`` ms, in order; on a sequential queue consecutive ones."""

    def lease_to_execute(self, limit: int, lease: int) -> tuple[list[QueueItem], bool]:
        """:meth:`lease`, and whether the queue was active no earlier than that; False when there is nothing."""
        items = self.lease(limit, lease)
        return items, bool(items) and self.is_active()

    @abstractmethod
    def is_next(self, item: QueueItem) -> bool:
        """Whether ``item``, leased ahead, is still held and still goes next.

        Not when another item stands before it that is ready, or that blocks a sequential queue.
        """

    @abstractmethod
    def wait(self) -> Wait | None:
        """What has to pass until something can be claimed, or None when the queue is empty."""

    @abstractmethod
    def completing(self, item: QueueItem, sure: Sure = always) -> AbstractContextManager[Session]:
        """A session whose commit includes the completion of ``item``. Raises :class:`LeaseLost`, rolled back.

        ``sure`` as in :meth:`settle`.
        """

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
    def _insert_batch(self, callback: NewItem, new: Iterable[NewItem], session: Joinable | None) -> Batch: ...

    @abstractmethod
    def _cancel(self, item_id: int) -> str | None: ...

    @abstractmethod
    def _steal(self, lease: int) -> QueueItem | None: ...

    @abstractmethod
    def _settle(self, items: Sequence[QueueItem], how: Settlement, sure: Sure) -> set[int]: ...

    @abstractmethod
    def _renew(self, items: Sequence[QueueItem], lease: int) -> set[int]: ...

    @abstractmethod
    def _counts(self) -> tuple[int, int, int]: ...

    @abstractmethod
    def _outcome_of(self, item_id: int) -> str | None: ...


def _uids() -> Iterator[str]:
    """Uids without end; asking the system for each alone would take as long as packing its item."""
    while True:
        digits = os.urandom(16 * 64).hex()
        yield from (digits[start : start + 32] for start in range(0, len(digits), 32))
