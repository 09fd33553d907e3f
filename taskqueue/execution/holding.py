"""What a process holds: its leases, renewed by a thread with one statement per beat."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType

from .. import clock
from ..errors import TaskQueueError
from ..item import QueueItem
from ..queues.batch import BatchQueue
from .timekeeper import timekeeper

_log = logging.getLogger(__name__)
#: A lease counts as certain for this part of its slice after the last renewal, by our own monotonic clock.
_CERTAIN = 0.8
#: What waits behind an item that takes longer than this (seconds) is given back at the next beat.
_PATIENT = 1.0
#: Seconds to wait for a beat that is under way.
_JOIN = 2.0


@dataclass
class _Hold:
    item: QueueItem
    #: When the latest claim or renewal was sent (monotonic seconds).
    renewed: float
    #: When its execution began and when it last reported; None while it waits for its turn.
    began: float | None = None
    reported: float | None = None
    is_lost: bool = False
    is_overdue: bool = False
    is_cancelled: bool = False
    #: When it was claimed; None when somebody else did that.
    claimed: float | None = None


@dataclass
class Holding:
    """The items of one queue that this runner or worker holds.

    They are leased in slices and renewed every few seconds, so that a dead holder is noticed soon although the
    queue's ``lease_time`` may be an hour. A context manager: at its end everything still held is given back.
    """

    queue: BatchQueue
    _holds: dict[int, _Hold] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _ended: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _wish: object = None

    @property
    def slice_ms(self) -> int:
        """The length of one lease, in milliseconds."""
        return clock.to_ms(self.queue.settings.lease_slice)

    def __enter__(self) -> Holding:
        self._announce()
        self._wish = timekeeper.after(self.queue.settings.heartbeat, self._start_beating)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        timekeeper.call_off(self._wish)
        with self._lock:
            self._ended.set()
        if self._thread is not None:
            self._thread.join(_JOIN)  # longer only when the database is away; the thread ends by itself then
        try:
            self.let_go()
        except TaskQueueError as failure:  # must not hide why the run ended; the leases end by themselves soon
            _log.warning("items of queue %s could not be given back: %s", self.queue.name, failure)
        self.queue.store_counts()

    def let_go(self) -> None:
        """Give back everything that is held, and renew nothing any more, even if that fails."""
        with self._lock:
            self._ended.set()
            held = [hold.item for hold in self._holds.values() if not hold.is_lost]
        self.give_back(held)

    def lease(self, limit: int) -> list[QueueItem]:
        """Lease up to ``limit`` items and hold them."""
        sent = time.monotonic()
        items = self.queue.lease(limit, self.slice_ms)
        self._add(items, sent)
        return items

    def lease_to_execute(self, limit: int) -> tuple[list[QueueItem], bool]:
        """The same, and whether they may be executed: whether the queue was active no earlier than that."""
        sent = time.monotonic()
        items, is_active = self.queue.lease_to_execute(limit, self.slice_ms)
        self._add(items, sent)
        return items, is_active

    def steal(self) -> QueueItem | None:
        """Take the head over, whoever holds it, and hold it."""
        sent = time.monotonic()
        item = self.queue.steal_item(self.queue.settings.lease_slice)
        self._add([item] if item else [], sent)
        return item

    def adopt(self, items: Sequence[QueueItem]) -> None:
        """Hold items that somebody has claimed; what is lost by now is noticed when it is begun."""
        with self._lock:
            holds = [_Hold(item, 0.0) for item in items]
            self._holds.update((hold.item.id, hold) for hold in holds)
        self._renew(holds)

    def _add(self, items: Sequence[QueueItem], sent: float) -> None:
        with self._lock:
            self._holds.update((item.id, _Hold(item, sent, claimed=sent)) for item in items)

    def drop(self, item: QueueItem) -> None:
        """The item has left our hands, whoever has it now."""
        with self._lock:
            self._holds.pop(item.id, None)

    def give_back(self, items: Sequence[QueueItem]) -> None:
        """Relinquish items that were not attempted."""
        if items:
            self.queue.relinquish_items(items)
            for item in items:
                self.drop(item)

    # --- the item in hand ---

    def begin(self, item: QueueItem) -> bool:
        """Whether ``item`` may be executed now; from here on its ``lease_time`` counts."""
        moment = time.monotonic()
        with self._lock:
            hold = self._holds.get(item.id)
            if hold is None or hold.is_lost:
                return False
            hold.began = hold.reported = moment
        return moment - hold.renewed <= self.queue.settings.lease_slice * _CERTAIN or self._renew([hold])

    def report(self, item: QueueItem) -> None:
        """The attempt is alive: its ``lease_time`` counts from now."""
        hold = self._holds.get(item.id)
        if hold is not None and not hold.is_overdue:
            hold.reported = time.monotonic()

    def is_lost(self, item: QueueItem) -> bool:
        """Whether the lease is known to be lost."""
        hold = self._holds.get(item.id)
        return hold is None or hold.is_lost

    def is_sure(self, item_id: int) -> bool:
        """Whether nobody else can have held the item until now: our latest lease of it has certainly not ended."""
        hold = self._holds.get(item_id)
        return hold is not None and time.monotonic() - hold.renewed < self.queue.settings.lease_slice

    def is_overdue(self, item: QueueItem) -> bool:
        """Whether the attempt has exceeded the queue's ``lease_time`` without reporting."""
        hold = self._holds.get(item.id)
        if hold is None:
            return False
        if hold.reported is not None and time.monotonic() - hold.reported > self.queue.spec.lease_time:
            hold.is_overdue = True
        return hold.is_overdue

    def is_cancelled(self, item: QueueItem) -> bool:
        """Whether somebody has asked to cancel it; noticed at a beat."""
        hold = self._holds.get(item.id)
        return hold is not None and hold.is_cancelled

    def waited(self, item: QueueItem, began: float) -> float | None:
        """Seconds from the item's submission until ``began``; None when this was not its first claim, or not ours."""
        hold = self._holds.get(item.id)
        if hold is None or hold.claimed is None or item.fence != 1 or item.release_time is None:
            return None
        lease = item.release_time - item.submit_time  # by the database's clock, like all that is stored
        return max(lease.total_seconds() - self.slice_ms / 1000 + began - hold.claimed, 0.0)

    # --- the heartbeat ---

    def _start_beating(self) -> None:
        """The first beat is due. Most holdings of a quick worker have ended by then, and need no thread."""
        with self._lock:
            if not self._ended.is_set():
                name = f"taskqueue-heartbeat-{self.queue.name}"
                self._thread = threading.Thread(target=self._keep_beating, name=name, daemon=True)
                self._thread.start()

    def _keep_beating(self) -> None:
        self._beat()
        while not self._ended.wait(self.queue.settings.heartbeat):
            self._beat()

    def _beat(self) -> None:
        self._announce()
        with self._lock:
            # A task that does not report in time is not kept alive any longer: others may have its item.
            holds = [hold for hold in self._holds.values() if not hold.is_lost and not self.is_overdue(hold.item)]
        try:
            if holds:
                self._renew(holds)
                self._notice_cancelled([hold for hold in holds if hold.began is not None])
            self.give_back(self._take_waiting())
        except TaskQueueError as error:
            _log.warning("heartbeat of queue %s failed and is tried again: %s", self.queue.name, error)
        except BaseException:  # whatever it was, the next beat must come
            _log.exception("heartbeat of queue %s failed and is tried again", self.queue.name)
        self.queue.store_counts()  # last: on SQLite it may have to wait for a task that writes

    def _announce(self) -> None:
        try:
            self.queue.announce()
        except Exception as error:
            _log.warning("the sign of life on queue %s failed and is tried again: %s", self.queue.name, error)

    def _take_waiting(self) -> list[QueueItem]:
        """What waits behind an item that takes long: others shall have it."""
        with self._lock:
            began = min((hold.began for hold in self._holds.values() if hold.began is not None), default=None)
            if began is None or time.monotonic() - began < _PATIENT:
                return []
            waiting = [hold.item for hold in self._holds.values() if hold.began is None and not hold.is_lost]
            for item in waiting:
                del self._holds[item.id]
        return waiting

    def _notice_cancelled(self, holds: Sequence[_Hold]) -> None:
        if not holds:
            return
        cancelled = self.queue.cancelled_among([hold.item for hold in holds])
        for hold in holds:
            hold.is_cancelled = hold.item.id in cancelled

    def _renew(self, holds: Sequence[_Hold]) -> bool:
        sent = time.monotonic()
        lost = {item.id for item in self.queue.renew([hold.item for hold in holds], self.slice_ms)}
        for hold in holds:
            if hold.item.id in lost:
                hold.is_lost = True
            else:
                hold.renewed = sent
        return not lost
