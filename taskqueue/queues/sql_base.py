"""What the two SQL queues share: all but the way they claim."""

from __future__ import annotations

import heapq
import os
import secrets
import socket
import sys
import time
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import clock, spans
from ..errors import DatabaseUnavailable, PayloadError
from ..item import QueueItem, title_of_data
from ..outcome import Outcome
from ..settings import Settings
from ..spec import QueueSpec
from ..storage import claimed, presence, received, registry, runs
from ..storage.batches import Batches, BatchRow
from ..storage.committed import after_commit
from ..storage.database import Database
from ..storage.dead import DeadLetters
from ..storage.items import Items
from ..storage.registry import Registration
from ..storage.results import Results
from ..storage.rows import ItemRow
from ..storage.schema import DELAYED, LEASED, READY, WAITS_ITS_TURN
from ..storage.transaction import Transaction
from . import settlement
from .arguments import check_id, check_ids
from .base import Batch, NewItem, Wait
from .batch import BatchQueue
from .settlement import Settlement, Sure, always
from .sql_archive import SqlArchive
from .sql_inserts import Inserts, batch_of

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import Session

    from .arguments import Seconds
    from .base import Joinable

_PAGE = 1000
#: A claim of a parallel queue may overlook what became due for so many milliseconds; "empty" never does.
_PROMOTE_EVERY_MS = 200
#: So often (seconds) a process removes notes of claims that nobody asks for any more.
_FORGET_EVERY = 60.0
_claims = count()


class _Identity:
    """Names this process among all: unique per start, because host names and pids come back."""

    def __init__(self) -> None:
        self.renew()
        os.register_at_fork(after_in_child=self.renew)

    def renew(self) -> None:
        self.token = secrets.token_hex(presence.TOKEN_LENGTH // 2)
        self.program = Path(sys.argv[0]).name[:40]

    @property
    def label(self) -> str:
        """What humans are told of it."""
        return f"{self.program or 'python'} ({socket.gethostname()[:100]}, pid {os.getpid()})"

    def next_holder(self) -> str:
        """A name for one claim, by which it is found again if its answer is lost."""
        return f"{self.token}.{next(_claims)}"


#: This process, as others see it.
process = _Identity()


class SqlBase(BatchQueue):
    """A queue whose items are rows."""

    def __init__(self, spec: QueueSpec, settings: Settings, database: Database) -> None:
        super().__init__(spec, settings)
        self.database = database
        self.rows = Items(database.dialect, spec.name)
        self.dead = DeadLetters(spec.name)
        self.results = Results(spec.name)
        self.archive = SqlArchive(spec.name, settings, database, self.rows)
        self.batches = Batches(database.dialect, spec.name)
        self._inserts = Inserts(database, self.rows, self.batches, self._finished)
        self._local_status = spec.status
        self._promoted = (0, 0)
        #: The latest registration that came with a claim, and what was made of it: it seldom changes.
        self._registered = "", spec, spec.status

    @contextmanager
    def hold(self) -> Iterator[None]:
        with self.database.hold():
            yield

    def announce(self) -> None:
        last_key, last = self.database.last_beat
        if process.token == last_key and time.monotonic() - last < self.settings.heartbeat / 2:
            return  # another thread of this process has just said so
        self.database.last_beat = process.token, time.monotonic()
        self.database.statement(
            lambda tx: presence.beat(tx, process.token, process.label, clock.to_ms(self.settings.heartbeat))
        )
        self.database.statement(lambda tx: self.database.stranded.free(tx, clock.to_ms(self.settings.lease_slice)))

    def count_attempt(self, outcome: Outcome, seconds: float) -> None:
        self.database.trends.count(self.name, outcome, seconds)

    def store_counts(self, *, at_once: bool = False) -> None:
        if at_once:
            self.database.trends.flush()
        else:
            self.database.trends.flush_if_due()

    def begin(self) -> None:
        if self.spec.complete_when_empty:
            self.database.statement(lambda tx: registry.begin(tx, self.name))

    def complete_if_empty(self) -> bool:
        if not self.spec.complete_when_empty or not self.spec.is_persistent:
            return False
        if not self.database.statement(lambda tx: registry.complete(tx, self.name)):
            return False
        self.status_changed("completed")
        return True

    def is_drained(self) -> bool:
        return not self._read(partial(self.rows.has_unfinished, head_only=self.is_sequential))

    # --- registration ---

    @property
    def status(self) -> str:
        if not self.spec.is_persistent:
            return self._local_status
        found: Registration | None = self._read(lambda tx: registry.find(tx, self.name))
        if found is None:
            return "deleted"
        return self._note(found)

    def _note(self, found: Registration) -> str:
        spec = QueueSpec(name=self.name, type=found.type, status=found.status, **found.options)
        if spec != self.spec:
            self.spec = spec  # another process has updated the options
        return found.status

    def _store_status(self, status: str) -> bool:
        if self.spec.is_persistent:
            return self.database.statement(lambda tx: registry.set_status(tx, self.name, status))
        changed, self._local_status = self._local_status != status, status
        return changed

    def _store_spec(self, spec: QueueSpec) -> None:
        if spec.is_persistent:
            entry = Registration(spec.name, spec.type, self.status, spec.options())
            self.database.transaction(lambda tx: registry.replace(tx, entry))

    def reset(self) -> int:
        self.changes += 1
        return self.database.transaction(self._clear)

    def _clear(self, tx: Transaction) -> int:
        if self.is_sequential:
            registry.lock(tx, self.name)
        removed, highest = self.rows.clear(tx)
        self.dead.clear(tx)
        self.batches.clear(tx)
        presence.clear(tx, self.name)
        received.clear(tx, self.name)
        registry.forget_begin(tx, self.name)
        runs.close_all_of(tx, self.name)
        if removed:
            self.dead.record_reset(tx, highest)
        return removed

    def delete(self) -> None:
        def remove(tx: Transaction) -> None:
            self._clear(tx)
            registry.remove(tx, self.name)

        self.database.transaction(remove)

    # --- coming in ---

    def changed_by(self, session: Joinable | None) -> None:
        joined = self.database.orm_session(session)
        if joined is None:  # committed already; or a Connection, whose commit nobody hears of: then others look
            self.changed()
        else:
            after_commit(joined, self.name, self.changed)

    def note_item(
        self, data: Any, session: Joinable, *, weight: int = 0, delay: Seconds | None = None,
        release_time: datetime | None = None, order_key: str | None = None,
    ) -> tuple[str, int]:  # fmt: skip
        """Like :meth:`create_item`, in the caller's transaction, for who needs no more than the uid and the id."""
        with spans.sending(self, data) as span:
            new = self._placed(data, weight, delay, release_time, order_key)
            item_id = self._inserts.only_id(new, session)
            span.stored(item_id=item_id)
        self.changed_by(session)
        return new.uid, item_id

    def _insert(self, new: NewItem, session: Joinable | None) -> QueueItem:
        return self._item(self._inserts.one(new, session))

    def insert_within(self, tx: Transaction, new: NewItem) -> QueueItem:
        """Put an item into the queue inside a transaction of ours; once, although that may be run again. Its uid must
        be new."""
        return self._item(self._inserts.within(tx, new))

    def insert_anew_within(self, tx: Transaction, new: NewItem) -> QueueItem:
        """The same for an uid that was there before, by who knows that it is not there now."""
        return self._item(self._inserts.anew(tx, new))

    def receive(self, data: Any, key: str, session: Joinable | None = None) -> bool:
        """Put data into the queue, unless something was received under the same key, however long ago; whether it was
        put there. Both are stored together."""
        with spans.sending(self, data):
            is_new = self._received(self._new_item(data, 0), key, session)
        self.changed_by(session)
        return is_new

    def _received(self, new: NewItem, key: str, session: Joinable | None) -> bool:
        joined = session if session is not None else self.database.current_session
        if joined is None:
            return self.database.transaction(partial(self._receive, new, key))
        is_new = received.add(self.database.joined(joined), self.name, key)
        if is_new:
            self._insert(new, session)
        return is_new

    def _receive(self, new: NewItem, key: str, tx: Transaction) -> bool:
        if not received.add(tx, self.name, key):
            # It may be our own commit, whose answer never came, or that of somebody who was quicker.
            return tx.unsure and self.rows.stored(tx, new.uid) is not None
        self.insert_within(tx, new)
        return True

    def _insert_many(self, new: Iterable[NewItem], session: Joinable | None) -> int:
        return self._inserts.many(new, session)

    def _insert_batch(self, callback: NewItem, new: Iterable[NewItem], session: Joinable | None) -> Batch:
        return self._inserts.batch(callback, new, session)

    # --- going out ---

    def new_claim(self) -> str:
        """A name for one claim, by which it is found again if its answer is lost."""
        self.forget_claimed()
        return process.next_holder()

    def forget_claimed(self) -> None:
        """Remove notes of claims that nobody asks for any more, once in a while."""
        is_due = time.monotonic() - self.database.last_forgot >= _FORGET_EVERY
        if is_due and not self.database.dialect.single_writer:
            self.database.last_forgot = time.monotonic()
            self.database.statement(claimed.forget)

    def lease(self, limit: int, lease: int) -> list[QueueItem]:
        return [self._item(row) for row in self._lease(limit, lease, self.new_claim())]

    def lease_to_execute(self, limit: int, lease: int) -> tuple[list[QueueItem], bool]:
        rows = self._lease(limit, lease, self.new_claim())
        return [self._item(row) for row in rows], bool(rows) and self._was_active(rows[0].registered)

    def _was_active(self, registered: str | None) -> bool:
        """By what the claim has read; None: it has read nothing."""
        if registered is None or not self.spec.is_persistent:
            return self.is_active()
        text, spec, status = self._registered
        if text != registered or spec is not self.spec:
            status = self._note(registry.parsed(self.name, registered))
            self._registered = registered, self.spec, status
        return self._may_be_served(status)

    @abstractmethod
    def _lease(self, limit: int, lease: int, holder: str) -> list[ItemRow]: ...

    def _steal(self, lease: int) -> QueueItem | None:
        holder = self.new_claim()

        def take(tx: Transaction) -> ItemRow | None:
            if self.is_sequential:
                registry.lock(tx, self.name)
            mine = self.rows.held_by(tx, holder) if tx.unsure else []
            if mine:
                return mine[0]
            self.rows.promote(tx)
            item_id = self.rows.first(tx, READY, LEASED, DELAYED)
            if item_id is None:
                return None
            if self.is_sequential:
                self.rows.free_others(tx, item_id)
            return self.rows.steal(tx, item_id, lease, holder)

        row = self.database.transaction(take)
        return self._item(row) if row else None

    def take_within(self, tx: Transaction, item_id: int, holder: str, *, only_ready: bool = False) -> QueueItem | None:
        """Lease one item by its id, for a slice, whatever stands before it; None when it is gone.

        Arguments:
            holder: the name for this one lease, by which it is found again if the answer is lost.
            only_ready: not one that is held by others, or waits for its time.
        """
        mine = [row for row in self.rows.held_by(tx, holder) if row.id == item_id] if tx.unsure else []
        if mine:
            return self._item(mine[0])
        if only_ready:
            self.rows.promote(tx)
            if self.rows.lock(tx, item_id) is None or self.rows.fences(tx, [item_id])[item_id][1] != READY:
                return None
        row = self.rows.steal(tx, item_id, clock.to_ms(self.settings.lease_slice), holder)
        return self._item(row) if row is not None else None

    def _promote(self, tx: Transaction, *, at_once: bool) -> int:
        shift, moment = clock.shift_ms, clock.now_ms()
        last_shift, last = self._promoted
        if not at_once and shift == last_shift and moment - last < _PROMOTE_EVERY_MS:
            return 0
        promoted = self.rows.promote(tx)
        self._promoted = shift, moment
        return promoted

    def _renew(self, items: Sequence[QueueItem], lease: int) -> set[int]:
        if len(items) > _PAGE:
            return _in_parts(items, partial(self._renew, lease=lease))
        held = [(item.id, item.fence) for item in items]
        if self.database.statement(lambda tx: self.rows.renew(tx, held, lease)) == len(held):
            return {item_id for item_id, _fence in held}
        return set(self.database.transaction(lambda tx: self.rows.valid(tx, held, leased=True)))

    def cancelled_among(self, items: Sequence[QueueItem]) -> set[int]:
        return self._read(lambda tx: self.rows.cancelled(tx, (item.id for item in items)))  # type: ignore[no-any-return]

    def _cancel(self, item_id: int) -> str | None:
        return self.database.transaction(lambda tx: self.cancel_within(tx, item_id))

    def cancel_joined(self, item_id: int, session: Joinable) -> str:
        """:meth:`cancel_item` in the caller's transaction. Raises :class:`ItemNotFound`."""
        answer = self._as_cancelled(item_id, self.cancel_within(self.database.joined(session), item_id))
        self.changed_by(session)
        return answer

    def cancel_within(self, tx: Transaction, item_id: int) -> str | None:
        """:meth:`cancel_item` inside a transaction, ours or the caller's; None when there is no such item."""
        found = self.rows.lock(tx, item_id)
        if found is None:
            is_mine = tx.unsure and self.dead.ending_of(tx, item_id) == "cancelled"
            return "cancelled" if is_mine else None
        fence, is_held = found
        if is_held:
            self.rows.ask_to_stop(tx, item_id)
            return "stopping"
        self.settle_within(tx, [(item_id, fence)], settlement.cancel("cancelled"))
        return "cancelled"

    def withdraw_within(self, tx: Transaction, item_id: int, why: str) -> bool:
        """Remove an item for good that nobody holds, inside a transaction; whether it was there, and free."""
        found = self.rows.lock(tx, item_id)
        if found is None or found[1]:
            return False
        self.settle_within(tx, [(item_id, found[0])], settlement.cancel(why))
        return True

    def _settle(self, items: Sequence[QueueItem], how: Settlement, sure: Sure) -> set[int]:
        if len(items) > _PAGE:
            return _in_parts(items, partial(self._settle, how=how, sure=sure))
        is_plain = how.record is None and how.result is None
        if is_plain and len(items) == 1 and self._concerns_nobody(items[0]):
            settled = self.database.statement(partial(self._settle_one, items[0], how, sure))
            if settled or how.is_success:
                return settled  # else it is lost, or was cancelled meanwhile
        held, returns = [(item.id, item.fence) for item in items], self.database.dialect.returning
        if is_plain and how.is_success and len(items) > 1 and returns and all(map(self._concerns_nobody, items)):
            return self.database.statement(partial(self._finish_each, held, sure))
        settled, makes_ready = self.database.transaction(
            lambda tx: (self.settle_within(tx, held, how, sure), tx.makes_ready)
        )
        if makes_ready:
            self.settings.bell.ring(self.name)
        return settled

    def _concerns_nobody(self, item: QueueItem) -> bool:
        """Whether no batch counts it, nothing waits behind it for its turn, and its claim was noted."""
        return item.batch_id is None and (item.order_key is None or self.is_sequential) and item.run_count > 0

    def _hand_on(self, tx: Transaction, order_keys: Iterable[str | None]) -> None:
        """Items with these keys have left the hands of their holder, or the queue: it may be the turn of others."""

    def _settle_one(self, item: QueueItem, how: Settlement, sure: Sure, tx: Transaction) -> set[int]:
        """The hot path: one statement that is its own transaction."""
        held = [(item.id, item.fence)]
        if self._carry_out(tx, held, how):
            return {item.id}
        return self._already_settled(tx, held, how, sure) if tx.unsure else set()

    def _finish_each(self, held: list[tuple[int, int]], sure: Sure, tx: Transaction) -> set[int]:
        """The same of a group."""
        deleted = self.rows.delete_each(tx, held)  # first: what was sent before may be done only now
        return deleted | (self._already_settled(tx, held, settlement.DONE, sure) if tx.unsure else set())

    def settle_within(
        self, tx: Transaction, held: list[tuple[int, int]], how: Settlement, sure: Sure = always
    ) -> set[int]:
        """:meth:`settle` inside a transaction of ours, by (id, fence); the ids that were still under their fence."""
        settled = self._already_settled(tx, held, how, sure) if tx.unsure else set()
        rest = [pair for pair in held if pair[0] not in settled]
        valid = self.rows.valid(tx, rest) if rest else {}
        cancelled = {item_id for item_id, found in valid.items() if found.is_cancelled and not how.is_success}
        gone = cancelled if how.stays else valid.keys()
        if unclaimed := [pair for pair in rest if pair[0] in gone and valid[pair[0]].state != LEASED]:
            self.rows.note_unclaimed(tx, unclaimed)
        self._settle_valid(tx, [pair for pair in rest if pair[0] in valid.keys() - cancelled], how)
        if cancelled:  # it does not come back, whatever was meant to become of it
            end = settlement.cancel(how.error or "cancelled", how.traceback)
            self._settle_valid(tx, [pair for pair in rest if pair[0] in cancelled], end)
        self._inserts.ended(tx, (valid[item_id].batch_id for item_id in gone), failed=not how.is_success)
        for follower in how.followers if valid.keys() - cancelled else ():
            self._inserts.within(tx, follower)
        if not how.awaits_turn:
            self._hand_on(tx, (found.order_key for found in valid.values()))
        return settled | valid.keys()

    def _settle_valid(self, tx: Transaction, held: list[tuple[int, int]], how: Settlement) -> None:
        if not held:
            return
        if how.dead:
            self.rows.bury(tx, held, how.error or "", how.traceback)
        if how.record is not None:
            self.rows.record(tx, held, how.record, how.error, how.traceback)
        if how.result is not None:
            self.results.keep(tx, held[0], how.result, clock.to_ms(self.spec.keep_result or 0))
        self._carry_out(tx, held, how)

    def _carry_out(self, tx: Transaction, held: list[tuple[int, int]], how: Settlement) -> int:
        if not how.stays:
            return self.rows.delete(tx, held)
        changes, more = "", {}
        if how.unclaimed:
            changes += ", run_count = CASE WHEN run_count > 0 THEN run_count - 1 ELSE 0 END"
        if how.failed:
            changes += ", failures = failures + 1, interruptions = 0"
        if how.interrupted:
            changes += ", interruptions = interruptions + 1"
        if how.fresh:
            changes += ", failures = 0, interruptions = 0"
        if how.error is not None:
            changes += ", last_error = :error"
            more["error"] = how.error
        holder = WAITS_ITS_TURN if how.awaits_turn else ""
        return self.rows.put_back(tx, held, delay=how.delay, changes=changes, holder=holder, **more)

    def _already_settled(self, tx: Transaction, held: list[tuple[int, int]], how: Settlement, sure: Sure) -> set[int]:
        """Which of them my own commit, whose answer never came, has settled: gone, or one fence further and free.

        What was cancelled is gone although it should have stayed. What is gone after my lease may be an heir's work.
        """
        found = self.rows.fences(tx, (item_id for item_id, _fence in held))
        gone = {item_id for item_id, _fence in held if item_id not in found and sure(item_id)}
        if not how.stays:
            return gone
        cancelled = {item_id for item_id in gone if self.dead.ending_of(tx, item_id) == "cancelled"}
        free = {item_id: fence for item_id, (fence, state) in found.items() if state != LEASED}
        return cancelled | {item_id for item_id, fence in held if free.get(item_id) == fence + 1}

    @contextmanager
    def completing(self, item: QueueItem, sure: Sure = always) -> Iterator[Session]:
        held = [(item.id, item.fence)]
        finishing = makes_ready = False
        try:
            with self.database.session_scope() as session:
                yield session
                session.flush()
                tx = self.database.joined(session)
                if not self.rows.delete(tx, held):
                    self._raise_if_lost(item, [item])
                self._inserts.ended(tx, [item.batch_id], failed=False)
                self._hand_on(tx, [item.order_key])
                finishing, makes_ready = True, tx.makes_ready
        except DatabaseUnavailable:
            # The answer to the commit never came: the row tells whether it took place.
            if not finishing or self._read(lambda tx: self.rows.fences(tx, [item.id])) or not sure(item.id):
                raise
        if makes_ready:
            self.settings.bell.ring(self.name)

    # --- looking ---

    def _read(self, work: Callable[[Transaction], Any]) -> Any:
        return self.database.statement(work, write=False)

    def fetch_items(self, item_ids: Iterable[int]) -> list[QueueItem]:
        ids = check_ids(item_ids)
        rows = self._read(lambda tx: self.rows.fetch(tx, ids)) if ids else []
        return [self._item(row) for row in sorted(rows, key=lambda row: (row.weight, row.id))]

    def batch(self, batch_id: int) -> Batch | None:
        found: BatchRow | None = self._read(partial(self.batches.find, batch_id=check_id(batch_id)))
        return batch_of(found) if found else None

    def items(self) -> Iterator[QueueItem]:
        by_state = (self._pages(state) for state in (READY, LEASED, DELAYED))
        for row in heapq.merge(*by_state, key=lambda row: (row.weight, row.id)):
            yield self._item(row)

    def _pages(self, state: int) -> Iterator[ItemRow]:
        after: tuple[int, int] | None = None
        while True:
            rows: list[ItemRow] = self._read(partial(self.rows.page, state=state, limit=_PAGE, after=after))
            yield from rows
            if len(rows) < _PAGE:
                return
            after = rows[-1].weight, rows[-1].id

    def number_of_items(self) -> int:
        return int(self._read(self.rows.total))

    def _counts(self) -> tuple[int, int, int]:
        return self._read(self.rows.counts)  # type: ignore[no-any-return]

    def is_next(self, item: QueueItem) -> bool:
        def probe(tx: Transaction) -> bool:
            first = self.rows.first_ready(tx)
            if first is not None and first < (item.weight, item.id):
                return False
            # On a sequential queue a delayed item blocks what stands behind it.
            if self.is_sequential and self.rows.first_delayed_before(tx, item.weight, item.id) is not None:
                return False
            return self.rows.fences(tx, [item.id]).get(item.id, (0, 0))[0] == item.fence

        return bool(self._read(probe))

    def wait(self) -> Wait | None:
        return self._read(self.wait_within)  # type: ignore[no-any-return]

    @abstractmethod
    def wait_within(self, tx: Transaction) -> Wait | None:
        """:meth:`wait` beside other reads."""

    def count_states(self) -> tuple[int, int, int]:
        """How many items are ready, leased and delayed, in one pass."""
        return self._counts()

    def _outcome_of(self, item_id: int) -> str | None:
        def look(tx: Transaction) -> str | None:
            if self.rows.fetch(tx, [item_id]):
                return "waiting"
            if self.dead.is_dead(tx, item_id):
                return "dead"
            if self.rows.fences(tx, [item_id]):  # it stands in another queue
                return None
            ending = self.dead.ending_of(tx, item_id)
            if ending is not None or self.dead.is_forgotten(tx, item_id):
                return ending
            return "ok" if 0 < item_id <= self.rows.last_id(tx) else None

        return self._read(look)  # type: ignore[no-any-return]

    def _item(self, row: ItemRow) -> QueueItem:
        return QueueItem.of(
            row.id, self.name, row.weight, clock.from_ms(row.submit_time),
            clock.from_ms(row.release_time) if row.release_time else None,
            row.run_count, row.fence, row.last_error, row.failures, row.interruptions, row.uid,
            bool(row.is_cancelled), row.batch_id, row.order_key,
            partial(self.settings.codec.unpack, row.data, self.name, row.uid),
        )  # fmt: skip

    def title_in(self, data: str, uid: str, item_id: int) -> str:
        """The title of a stored item; for one that cannot be read, its id."""
        try:
            return title_of_data(self.settings.codec.unpack(data, self.name, uid))
        except PayloadError:
            return f"item {item_id}"


def _in_parts(items: Sequence[QueueItem], work: Callable[[Sequence[QueueItem]], set[int]]) -> set[int]:
    """What ``work`` returns for all parts: statements that name too many items take ever longer, and hold locks."""
    parts = (items[begin : begin + _PAGE] for begin in range(0, len(items), _PAGE))
    return set[int]().union(*map(work, parts))
