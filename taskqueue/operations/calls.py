"""The calls on record: stored, found, ended by their owners."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from ..errors import ConfigurationError
from ..item import QueueItem
from ..queues.base import NewItem
from ..queues.sql_base import SqlBase
from ..service import QueueService
from ..spec import OPERATION_PAYLOAD
from ..storage import expiry
from ..storage import operations as stored
from ..storage.committed import after_commit
from ..storage.operations import OperationRow
from ..storage.transaction import Transaction
from .call import FINAL
from .definition import Operation
from .problems import KeyReused, NotPossible
from .request import Request

if TYPE_CHECKING:
    from ..queues.base import Joinable

_log = logging.getLogger(__name__)
#: After so long (seconds) it is looked whether the queue is still registered.
_TRUSTED = 5.0


@dataclass(frozen=True)
class NewCall:
    """A call on its way to the record. Times are milliseconds."""

    operation: Operation
    request: Request
    key: str | None = None
    #: Somebody waits for the answer to this very request.
    is_direct: bool = False
    delay: int = 0
    due: int | None = None
    lasts: int = 0
    deadline: int | None = None


class Calls:
    """The record of the calls of one service, and the queue on which they stand."""

    def __init__(self, service: QueueService, queue_name: str, timeout: float) -> None:
        self._service = service
        self._name = queue_name
        self._options: dict[str, Any] = {
            "agent": "server", "payload": OPERATION_PAYLOAD, "error": "dead", "lease_time": timeout,
        }  # fmt: skip
        self._lock = threading.Lock()
        self._known: tuple[SqlBase, float] | None = None

    # --- the queue ---

    def queue(self, session: Joinable | None = None) -> SqlBase:
        """The queue, made if it is new. Raises :class:`ConfigurationError` when it is one for something else."""
        with self._lock:
            queue, seen = self._known or (None, 0.0)
            if queue is not None and time.monotonic() - seen < _TRUSTED:
                return queue
            return self._open(session)

    def _open(self, session: Joinable | None) -> SqlBase:
        database = self._service.database
        session = session if session is not None else database.current_session
        if session is None or not database.dialect.single_writer:
            exists = self._service.exists(self._name)
            queue = self._checked(
                self._service.load(self._name)
                if exists
                else self._service.create("SqlParallel", self._name, **self._options)
            )
            self._known = queue, time.monotonic()
            return queue
        # The caller may be the one writer: nobody else could make the queue, or the tables, before its commit.
        queue = self._checked(self._service.create_within(session, "SqlParallel", self._name, **self._options))
        joined = database.orm_session(session)
        if joined is not None:
            after_commit(joined, ("operations", self._name), partial(self._know, queue))
        return queue

    def _know(self, queue: SqlBase) -> None:
        self._known = queue, time.monotonic()

    def _checked(self, queue: object) -> SqlBase:
        if not isinstance(queue, SqlBase) or queue.spec.payload != OPERATION_PAYLOAD:
            raise ConfigurationError(
                f"the queue {self._name!r} exists, and is not for operations: give Operations another queue="
            )
        return queue

    # --- coming in ---

    def store(self, new: NewCall, session: Joinable | None = None) -> tuple[OperationRow, QueueItem | None]:
        """Store a call, or find the one with its key; of a new direct one also its item, leased by us.

        Raises :class:`TooManyCalls`, :class:`KeyReused`.
        """
        queue, uid, database = self.queue(session), os.urandom(16).hex(), self._service.database
        text = new.request.packed(self._service.settings.codec, queue.name, uid)
        work = partial(self._store, queue, new, uid, text)
        joined = session if session is not None else database.current_session
        if joined is None:
            row, item = database.transaction(work)
        else:
            row, item = work(database.joined(joined))
        if row.id == uid and not new.is_direct:
            queue.changed_by(joined)
        return row, item

    def _store(
        self, queue: SqlBase, new: NewCall, uid: str, text: str, tx: Transaction
    ) -> tuple[OperationRow, QueueItem | None]:
        standing = stored.find(tx, uid) if tx.unsure else None
        if standing is None:
            standing = self._add(queue, new, uid, text, tx)
        if standing is not None and standing.id != uid:
            return standing, None
        row = standing or stored.find(tx, uid)
        assert row is not None  # noqa: S101  (it was stored in this transaction)
        return row, queue.take_within(tx, row.item_id) if new.is_direct else None

    def _add(self, queue: SqlBase, new: NewCall, uid: str, text: str, tx: Transaction) -> OperationRow | None:
        """Store it; the standing one if its key is taken."""
        name, owner, fingerprint = new.operation.name, new.request.user.owner, new.request.fingerprint
        if new.key is not None and (found := self._with_key(tx, owner, name, new.key, fingerprint)):
            return found
        new.operation.limits.check(tx, owner, name)
        while not stored.add(
            tx, id=uid, name=name, owner=owner, queue=queue.name, key=new.key, fingerprint=fingerprint,
            direct=int(new.is_direct), delay=new.delay, due=new.due, lasts=new.lasts, deadline=new.deadline,
            lasting=round(new.operation.result_ttl * 1000), request=text,
        ):  # fmt: skip
            found = self._with_key(tx, owner, name, new.key or "", fingerprint)
            if found is not None:
                return found
        data = {"operation": name, **({"direct": "yes"} if new.is_direct else {})}
        packed = self._service.settings.codec.pack(data, queue.name, uid)
        item = queue.insert_within(tx, NewItem(uid, 0, packed, delay=new.delay, due=new.due))
        stored.place(tx, uid, item.id)
        return None

    def _with_key(self, tx: Transaction, owner: str, name: str, key: str, fingerprint: str) -> OperationRow | None:
        found = stored.with_key(tx, owner, name, key)
        if found is None:
            return None
        if found.is_over:
            stored.free_key(tx, found.id)
            return None
        if found.fingerprint != fingerprint:
            raise KeyReused("this idempotency key was sent before with other data: use a new key for a new request")
        # In a transaction that sees old rows it may be invisible although its key is not.
        return stored.find(tx, found.id) or self._service.database.statement(
            lambda other: stored.find(other, found.id), write=False
        )

    def take(self, row: OperationRow) -> QueueItem | None:
        """Lease the item of a call for which somebody waits, if nobody holds it."""
        if row.state not in ("queued", "retrying"):
            return None
        queue = self.queue_of(row)
        return self._service.database.transaction(lambda tx: queue.take_within(tx, row.item_id, only_ready=True))

    # --- looking ---

    def find(self, call_id: str) -> OperationRow | None:
        """A call as it stands now."""
        row = self._service.database.statement(lambda tx: stored.find(tx, call_id), write=False)
        if row is not None and row.state == stored.GONE:
            self._service.database.transaction(partial(expiry.end_stray, call_id=call_id))
            return self._service.database.statement(lambda tx: stored.find(tx, call_id), write=False)
        return row

    def page(
        self, limit: int, owner: str | None, name: str | None, state: str | None, after: tuple[int, str] | None
    ) -> list[OperationRow]:
        """Calls, the newest first."""
        return self._service.database.statement(
            lambda tx: stored.page(tx, limit, owner=owner, name=name, state=state, after=after), write=False
        )

    def result(self, call_id: str, *, consume: bool = False) -> tuple[OperationRow | None, str | None]:
        """A call and what it returned, encoded; consumed, nobody gets that a second time."""

        def read(tx: Transaction) -> tuple[OperationRow | None, str | None]:
            if consume:
                stored.lock(tx, call_id)
            row = stored.find(tx, call_id)
            # If it is our own commit, whose answer never came, that has ended its time, the result is still for us.
            if row is None or row.state != "succeeded" or (row.is_over and not tx.unsure):
                return row, None
            text = stored.result(tx, call_id)
            if consume:
                stored.expire(tx, call_id)
            return row, text

        database = self._service.database
        return database.transaction(read) if consume else database.statement(read, write=False)

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

    # --- ending ---

    def queue_of(self, row: OperationRow) -> SqlBase:
        """The queue on which a call stands, which may be one of an earlier configuration."""
        queue = self.queue()
        return queue if row.queue_name == queue.name else self._checked(self._service.load(row.queue_name))

    def cancel(self, row: OperationRow) -> None:
        """Take a call back, or ask whoever executes it to stop."""
        queue = self.queue_of(row)

        def work(tx: Transaction) -> None:
            if queue.cancel_within(tx, row.item_id) == "cancelled":
                stored.end(tx, row.id, "cancelled")

        self._service.database.transaction(work)

    def forget(self, row: OperationRow) -> None:
        """Remove a call that has ended from the record, its dead letter included."""
        if row.state == "dead":
            self.queue_of(row).delete_dead_items([row.item_id])
        self._service.database.transaction(lambda tx: stored.remove(tx, row.id))

    def retry(self, row: OperationRow) -> None:
        """Let a call that is dead or has failed begin anew. Raises :class:`NotPossible` when others were quicker."""
        queue = self.queue_of(row)
        if row.state == "dead" and row.end_time == 0:
            queue.revive_item(row.item_id)
            return

        def work(tx: Transaction) -> None:
            stored.lock(tx, row.id)
            now = stored.find(tx, row.id)
            # What was to be executed may have gone together with the result.
            if now is None or now.end_time != row.end_time or now.is_over:
                if tx.unsure and now is not None and now.end_time == 0:
                    return
                raise NotPossible("the call has been retried or forgotten meanwhile, or its time is over")
            data = {"operation": row.name}
            text = self._service.settings.codec.pack(data, queue.name, row.id)
            stored.reopen(tx, row.id, queue.insert_within(tx, NewItem(row.id, 0, text)).id)

        self._service.database.transaction(work)
        queue.changed()

    # --- what nobody looks at ---

    def end_strays(self) -> int:
        """Write down the end of calls whose items were taken from their queue (reset, skipped, deleted); how many."""
        return expiry.end_strays(self._service.database)

    def standing(self) -> Iterator[SqlBase]:
        """The queues of operations that exist."""
        for queue in self._service.queues():
            if isinstance(queue, SqlBase) and queue.spec.payload == OPERATION_PAYLOAD:
                yield queue
