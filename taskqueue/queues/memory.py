"""``Memory``: a sequential queue in this process, for tests and scratch work. It ends with the process."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

from .. import clock
from ..errors import NotSupported
from ..forks import inherit
from ..item import QueueItem
from ..settings import Settings
from ..spec import QueueSpec
from . import settlement
from .arguments import check_id, check_ids
from .base import Batch, NewItem, Wait
from .batch import BatchQueue
from .ended import DeadItem
from .memory_archive import MemoryArchive
from .memory_records import BatchRecord, Record
from .settlement import Settlement, Sure, always

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from .base import Joinable


class MemoryQueue(BatchQueue):
    """Items in a heap by (weight, id); what is leased stands beside it."""

    is_sequential = True

    def __init__(self, spec: QueueSpec, settings: Settings) -> None:
        super().__init__(spec, settings)
        self._status = spec.status
        self._has_begun = False
        self._lock = threading.RLock()
        self._ids, self._batch_ids = count(1), count(1)
        self._highest = 0
        self._batches: dict[int, BatchRecord] = {}
        self.archive: MemoryArchive[Record] = MemoryArchive(
            self.name, settings, self._lock, self._put_back, self._batches
        )  # fmt: skip
        self._empty()
        inherit(self)

    def _empty(self) -> None:
        self._records: dict[int, Record] = {}
        #: Places of items that are not leased; a place whose item is gone or leased is dropped when it comes up.
        self._waiting: list[tuple[int, int]] = []
        self._leased: dict[int, Record] = {}
        self._keys: dict[str, int] = {}
        self._batches.clear()

    def forget_parent(self) -> None:
        """In a forked child: nobody holds the lock, but its holder may have changed a record and not yet its places."""
        self._lock = self.archive.lock = threading.RLock()
        records = self._records
        self._leased = {item_id: record for item_id, record in self._leased.items() if item_id in records}
        self._waiting = sorted(record.place for record in records.values() if record.id not in self._leased)
        self._keys = {record.dedup_key: record.id for record in records.values() if record.dedup_key is not None}

    # --- registration ---

    @property
    def status(self) -> str:
        return self._status

    def _store_status(self, status: str) -> bool:
        with self._lock:
            changed, self._status = self._status != status, status
        return changed

    def _store_spec(self, spec: QueueSpec) -> None:
        """Nothing is stored."""

    def reset(self) -> int:
        with self._lock:
            removed = len(self._records)
            self.changes += 1
            self.archive.reset(self._highest)
            self._empty()
            self._has_begun = False
            return removed

    def delete(self) -> None:
        self.reset()

    # --- coming in ---

    def _insert(self, new: NewItem, session: Joinable | None) -> QueueItem:
        self._refuse(session)
        with self._lock:
            standing = self._keys.get(new.dedup_key) if new.dedup_key is not None else None
            record = self._records[standing] if standing is not None else self._add(new)
            return self._item(record)

    def _insert_many(self, new: Iterable[NewItem], session: Joinable | None) -> int:
        self._refuse(session)
        ready = list(new)  # all or nothing: the source may still fail
        with self._lock:
            for one in ready:
                self._add(one)
        return len(ready)

    def _add(self, new: NewItem) -> Record:
        moment = clock.now_ms()
        due = new.due if new.due is not None else moment + new.delay
        record = Record(
            next(self._ids), new.uid, new.weight, new.text, moment, new.dedup_key, new.until_start, new.order_key
        )
        record.release_time = due if due > moment else 0
        self._highest = record.id
        self._records[record.id] = record
        heapq.heappush(self._waiting, record.place)
        if new.dedup_key is not None:
            self._keys[new.dedup_key] = record.id
        return record

    def _insert_batch(self, callback: NewItem, new: Iterable[NewItem], session: Joinable | None) -> Batch:
        self._refuse(session)
        ready = list(new)
        with self._lock:
            batch = BatchRecord(next(self._batch_ids), len(ready), callback)
            self._batches[batch.id] = batch
            for one in ready:
                self._add(one).batch = batch
            self._follow(batch)
            return Batch(batch.id, batch.total, batch.total)

    def _follow(self, batch: BatchRecord) -> None:
        if batch.ended == batch.total:
            batch.end_time = clock.now_ms()
            self._add(self._finished(batch.view(), batch.callback))

    def _refuse(self, session: object) -> None:
        if session is not None:
            raise NotSupported(
                f"queue {self.name!r} is of type Memory and cannot join a transaction: use type Sql or SqlParallel"
            )

    # --- going out ---

    def lease(self, limit: int, lease: int) -> list[QueueItem]:
        with self._lock:
            moment = clock.now_ms()
            self._end_leases(moment)
            if self._leased:
                return []
            taken: list[QueueItem] = []
            while len(taken) < limit and (head := self._head()) is not None and head.release_time <= moment:
                heapq.heappop(self._waiting)
                taken.append(self._take(head, moment + lease))
            return taken

    def _steal(self, lease: int) -> QueueItem | None:
        with self._lock:
            moment = clock.now_ms()
            self._end_leases(moment)
            freed = list(self._leased.values())  # one holder: all other leases end
            for record in freed:
                self._free(record)
            head = self._head()
            if head is None:
                return None
            for record in freed:
                record.fence += record is not head
            heapq.heappop(self._waiting)
            return self._take(head, moment + lease)

    def _take(self, record: Record, until: int) -> QueueItem:
        record.release_time = until
        record.run_count += 1
        record.fence += 1
        if record.until_start:
            self._free_key(record)
            record.dedup_key = None
        self._leased[record.id] = record
        return self._item(record)

    def _end_leases(self, moment: int) -> None:
        for record in [record for record in self._leased.values() if record.release_time <= moment]:
            record.interruptions += 1
            self._free(record)

    def _free(self, record: Record, release_time: int = 0) -> None:
        self._leased.pop(record.id, None)
        record.release_time = release_time
        heapq.heappush(self._waiting, record.place)

    def _head(self) -> Record | None:
        while self._waiting:
            record = self._records.get(self._waiting[0][1])
            if record is not None and record.id not in self._leased:
                return record
            heapq.heappop(self._waiting)
        return None

    def _renew(self, items: Sequence[QueueItem], lease: int) -> set[int]:
        with self._lock:
            moment = clock.now_ms()
            kept = set()
            for item in items:
                record = self._leased.get(item.id)
                if record is not None and record.fence == item.fence and record.release_time > moment:
                    record.release_time = moment + lease
                    kept.add(item.id)
            return kept

    def _settle(self, items: Sequence[QueueItem], how: Settlement, sure: Sure) -> set[int]:
        with self._lock:
            kept = set()
            for item in items:
                record = self._records.get(item.id)
                if record is not None and record.fence == item.fence:
                    self._carry_out(record, how)
                    kept.add(item.id)
            return kept

    def cancelled_among(self, items: Sequence[QueueItem]) -> set[int]:
        with self._lock:
            records = (self._records.get(item.id) for item in items)
            return {record.id for record in records if record is not None and record.is_cancelled}

    def _cancel(self, item_id: int) -> str | None:
        with self._lock:
            record = self._records.get(item_id)
            if record is None:
                return None
            if item_id in self._leased and record.release_time > clock.now_ms():
                record.is_cancelled = True
                return "stopping"
            self._carry_out(record, settlement.cancel("cancelled"))
            return "cancelled"

    def _carry_out(self, record: Record, how: Settlement) -> None:
        if record.is_cancelled and not how.is_success:  # it does not come back, whatever was meant to become of it
            how = settlement.cancel(how.error or "cancelled")
        if how.record is not None:
            self.archive.note(record.id, how.record, record.failures + 1, how.error, how.traceback)
        if not how.stays:
            self._remove(record)
            if how.dead:
                self.archive.bury(record, self._letter(record, how))
            elif how.result is not None:
                self.archive.keep_result(record.id, record.uid, how.result, clock.to_ms(self.spec.keep_result or 0))
            for follower in how.followers:
                self._add(follower)
            if record.batch is not None:
                self._count_ended(record.batch, failed=not how.is_success)
            return
        record.fence += 1
        record.run_count = max(record.run_count - how.unclaimed, 0)
        record.failures = 0 if how.fresh else record.failures + how.failed
        record.interruptions = 0 if how.fresh or how.failed else record.interruptions + how.interrupted
        record.last_error = how.error if how.error is not None else record.last_error
        self._free(record, clock.now_ms() + how.delay if how.delay > 0 else 0)

    def _remove(self, record: Record) -> None:
        del self._records[record.id]
        self._leased.pop(record.id, None)
        self._free_key(record)

    def _free_key(self, record: Record) -> None:
        if record.dedup_key is not None:
            del self._keys[record.dedup_key]

    def _count_ended(self, batch: BatchRecord, *, failed: bool) -> None:
        batch.ended += 1
        batch.failed += failed
        self._follow(batch)

    def completing(self, item: QueueItem, sure: Sure = always) -> AbstractContextManager[Session]:
        raise NotSupported(
            f"queue {self.name!r} is of type Memory and has no transactions: use type Sql or SqlParallel"
        )

    # --- looking ---

    def fetch_items(self, item_ids: Iterable[int]) -> list[QueueItem]:
        with self._lock:
            found = [self._records[item_id] for item_id in check_ids(item_ids) if item_id in self._records]
            return [self._item(record) for record in sorted(found, key=lambda record: record.place)]

    def batch(self, batch_id: int) -> Batch | None:
        with self._lock:
            found = self._batches.get(check_id(batch_id))
            return found.view() if found else None

    def items(self) -> Iterator[QueueItem]:
        with self._lock:
            found = sorted(self._records.values(), key=lambda record: record.place)
            return iter([self._item(record) for record in found])

    def number_of_items(self) -> int:
        return len(self._records)

    def _counts(self) -> tuple[int, int, int]:
        with self._lock:
            moment = clock.now_ms()
            blocked = sum(record.release_time > moment for record in self._records.values())
            leased = sum(record.release_time > moment for record in self._leased.values())
            return len(self._records) - blocked, leased, blocked - leased

    def is_next(self, item: QueueItem) -> bool:
        with self._lock:
            head, record = self._head(), self._records.get(item.id)
            is_first = head is None or (item.weight, item.id) < head.place
            return is_first and record is not None and record.fence == item.fence

    def begin(self) -> None:
        self._has_begun = True

    def complete_if_empty(self) -> bool:
        with self._lock:
            if not (
                self.spec.complete_when_empty and self._has_begun and not self._records and self._status == "active"
            ):
                return False
            self._has_begun = False
            self._status = "completed"
        self.status_changed("completed")
        return True

    def is_drained(self) -> bool:
        with self._lock:
            head = self._head()
            is_put_off = head is not None and head.release_time > clock.now_ms() and not head.run_count
            return not self._leased and (head is None or is_put_off)

    def wait(self) -> Wait | None:
        with self._lock:
            moment = clock.now_ms()
            ends = [record.release_time for record in self._leased.values()]
            if ends:
                return Wait(max(min(ends) - moment, 0) / 1000, is_leased=True)
            head = self._head()
            return Wait(max(head.release_time - moment, 0) / 1000, is_leased=False) if head else None

    def _outcome_of(self, item_id: int) -> str | None:
        with self._lock:
            if item_id in self._records:
                return "waiting"
            return self.archive.outcome(item_id) if item_id <= self._highest else None

    def _item(self, record: Record) -> QueueItem:
        return record.item(self.name, partial(self.settings.codec.unpack, record.text, self.name, record.uid))

    # --- dead letters ---

    def _letter(self, record: Record, how: Settlement) -> DeadItem:
        return DeadItem(
            record.id, self.name, record.weight, clock.from_ms(record.submit_time), clock.from_ms(clock.now_ms()),
            record.run_count, record.failures + 1, how.error or "", how.traceback,
            record.uid, partial(self.settings.codec.unpack, record.text, self.name, record.uid),
        )  # fmt: skip

    def _put_back(self, record: Record, error: str) -> None:
        """Make an item of a dead letter again, with fresh attempts."""
        record.fence += 1
        record.failures = record.interruptions = 0
        record.last_error, record.batch = error, None  # of its batch it has ended
        if record.dedup_key in self._keys:  # another item has taken the key meanwhile
            record.dedup_key = None
        elif record.dedup_key is not None:
            self._keys[record.dedup_key] = record.id
        self._records[record.id] = record
        self._free(record)
