"""The calls on record: stored and found."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from .. import spans
from ..errors import SpecError
from ..item import QueueItem
from ..queues.base import NewItem
from ..queues.sql_base import SqlBase
from ..service import QueueService
from ..storage import expiry
from ..storage import operations as stored
from ..storage.operations import OperationRow
from ..storage.transaction import Transaction
from .call import FINAL
from .definition import Operation
from .ends import Ends
from .problems import KeyReused, TooManyCalls
from .request import Request
from .standing import CallQueues

if TYPE_CHECKING:
    from ..queues.base import Joinable


@dataclass(frozen=True)
class NewCall:
    """A call on its way to the record. Times are milliseconds."""

    operation: Operation
    request: Request
    key: str | None = None
    #: Other names of the operation, under which its key may have been recorded before it was renamed.
    aliases: Sequence[str] = ()
    #: Somebody waits for the answer to this very request.
    is_direct: bool = False
    delay: int = 0
    due: int | None = None
    lasts: int = 0
    deadline: int | None = None

    def __post_init__(self) -> None:
        """Raise :class:`SpecError` when it would expire before it is due."""
        if 0 < self.lasts <= self.delay or (self.due and self.deadline and self.deadline <= self.due):
            raise SpecError(
                "expires must be later than delay or release_time: both count from now, so that the call would expire "
                "before it is due"
            )

    @property
    def has_deadline(self) -> bool:
        """Whether it may be begun until some moment only."""
        return self.lasts > 0 or self.deadline is not None


class Calls:
    """The record of the calls of one service."""

    def __init__(self, service: QueueService, queues: CallQueues, ends: Ends) -> None:
        self._service = service
        self._queues = queues
        self._ends = ends

    # --- coming in ---

    def store(self, new: NewCall, session: Joinable | None = None) -> tuple[OperationRow, QueueItem | None]:
        """Store a call, or find the one with its key; of a new direct one also its item, leased by us.

        Raises :class:`TooManyCalls`, :class:`KeyReused`.
        """
        queue = self._queues.present(session)
        if new.is_direct:  # executed at once, as part of whatever its caller is doing
            return self._stored_in(queue, new, session)
        with spans.sending(queue, {"operation": new.operation.name}) as span:
            row, item = self._stored_in(queue, new, session)
            span.stored(item_id=row.item_id)
        return row, item

    def _stored_in(
        self, queue: SqlBase, new: NewCall, session: Joinable | None
    ) -> tuple[OperationRow, QueueItem | None]:
        uid, database = os.urandom(16).hex(), self._service.database
        text = new.request.packed(self._service.settings.codec, queue.name, uid)
        work = partial(self._store, queue, new, uid, text, queue.new_claim())
        joined = session if session is not None else database.current_session
        if joined is None:
            row, item = database.transaction(work)
        else:
            row, item = work(database.joined(joined))
        if row.id == uid and not new.is_direct:
            queue.changed_by(joined)
        return row, item

    def _store(
        self, queue: SqlBase, new: NewCall, uid: str, text: str, holder: str, tx: Transaction
    ) -> tuple[OperationRow, QueueItem | None]:
        standing = stored.find(tx, uid) if tx.unsure else None
        if standing is None:
            standing = self._add(queue, new, uid, text, tx)
        if standing is not None and standing.id != uid:
            return standing, None
        row = standing or stored.find(tx, uid)
        assert row is not None  # noqa: S101  (it was stored in this transaction)
        if not new.is_direct:
            return row, None
        # Of one that we have stored before, and were not told so, others may be at work by now.
        return row, queue.take_within(tx, row.item_id, holder, only_ready=standing is not None)

    def _add(self, queue: SqlBase, new: NewCall, uid: str, text: str, tx: Transaction) -> OperationRow | None:
        """Store it; the standing one if its key is taken."""
        name, owner, fingerprint = new.operation.name, new.request.user.owner, new.request.fingerprint
        if found := self._with_key(tx, new):
            return found
        try:
            new.operation.limits.check(tx, owner, name)
        except TooManyCalls:
            if found := self._with_key(tx, new):  # stored in this moment, and the one too many
                return found
            raise
        while not stored.add(
            tx, id=uid, name=name, owner=owner, queue=queue.name, key=new.key, fingerprint=fingerprint,
            direct=int(new.is_direct), delay=new.delay, due=new.due, lasts=new.lasts, deadline=new.deadline,
            lasting=round(new.operation.result_ttl * 1000), request=text,
        ):  # fmt: skip
            found = self._with_key(tx, new, latest=True)
            if found is not None:
                return found
        data = {"operation": name, **({"direct": "yes"} if new.is_direct else {})}
        packed = self._service.settings.codec.pack(data, queue.name, uid, trace=spans.carried())
        # One that cannot be begun in time is taken up all the same, to end it.
        deadline = stored.deadline_before_due(tx, uid) if new.has_deadline else None
        delay, due = (new.delay, new.due) if deadline is None else (0, deadline)
        item = queue.insert_within(tx, NewItem(uid, 0, packed, delay=delay, due=due))
        stored.place(tx, uid, item.id)
        return None

    def _with_key(self, tx: Transaction, new: NewCall, *, latest: bool = False) -> OperationRow | None:
        if new.key is None:
            return None
        names = (new.operation.name,) if latest else (new.operation.name, *new.aliases)
        owner, key = new.request.user.owner, new.key
        found = next((row for name in names if (row := stored.with_key(tx, owner, name, key, latest=latest))), None)
        if found is None:
            return None
        if found.is_over:
            stored.free_key(tx, found.id)
            return None
        if found.fingerprint != new.request.fingerprint:
            raise KeyReused("this idempotency key was sent before with other data: use a new key for a new request")
        # In a transaction that sees old rows it may be invisible although its key is not.
        return stored.find(tx, found.id) or self._service.database.statement(
            lambda other: stored.find(other, found.id), write=False
        )

    def take(self, row: OperationRow) -> tuple[SqlBase, QueueItem | None]:
        """The queue of a call for which somebody waits, and its item, leased by us; None when others have it."""
        queue = self._queues.of(row)
        if row.state not in ("queued", "retrying"):
            return queue, None
        holder = queue.new_claim()
        return queue, self._service.database.transaction(
            lambda tx: queue.take_within(tx, row.item_id, holder, only_ready=True)
        )

    # --- looking ---

    def find(self, call_id: str) -> OperationRow | None:
        """A call as it stands now."""
        row = self._find(call_id)
        while row is not None and row.is_unwritten and self._ends.write_down(row):
            row = self._find(call_id)
        return row

    def _find(self, call_id: str) -> OperationRow | None:
        return self._service.database.statement(lambda tx: stored.find(tx, call_id), write=False)

    def page(
        self, limit: int, owner: str | None, name: str | None, state: str | None, after: tuple[int, str] | None
    ) -> list[OperationRow]:
        """Calls, the newest first."""

        def read(tx: Transaction) -> list[OperationRow]:
            return stored.page(tx, limit, owner=owner, name=name, state=state, after=after)

        database = self._service.database
        rows = database.statement(read, write=False)
        while sum(self._ends.write_down(row) for row in rows if row.is_unwritten):
            rows = database.statement(read, write=False)
        return rows

    def counts(self, queue_name: str) -> tuple[int, int]:
        """How many calls of a queue wait or are being executed, and how many are dead."""
        return self._service.database.statement(partial(expiry.count_open, queue_name=queue_name), write=False)

    def outcome(self, call_id: str, *, consume: bool) -> tuple[OperationRow, str | None] | None:
        """A call that has ended, and what it returned, encoded; consumed, nobody is told a second time. None: there is
        nothing to tell (any more)."""

        def read(tx: Transaction) -> tuple[OperationRow, str | None] | None:
            if consume:
                stored.lock(tx, call_id)
            row = stored.find(tx, call_id)
            # If it is our own commit, whose answer never came, that has ended its time, it is still for us.
            if row is None or row.state not in FINAL or (row.is_over and not tx.unsure):
                return None
            text = stored.result(tx, call_id) if row.state == "succeeded" else None
            if consume and row.state == "dead":  # the dead letter stays, for those who look after the program
                stored.end(tx, call_id, "dead", attempts=row.attempts)
            if consume and (row.end_time or row.state == "dead"):  # else it is yet to be written that it has expired
                stored.expire(tx, call_id)
            return row, text

        database = self._service.database
        return database.transaction(read) if consume else database.statement(read, write=False)
