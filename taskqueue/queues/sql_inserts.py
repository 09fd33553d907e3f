"""How items come into an SQL queue: one, many, or a batch and what follows it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING, TypeVar

from ..errors import DatabaseUnavailable, OutcomeUnknown
from ..storage.batches import Batches, BatchRow
from ..storage.database import Database
from ..storage.items import Items
from ..storage.rows import ItemRow
from ..storage.transaction import Transaction
from .base import Batch, NewItem

if TYPE_CHECKING:
    from .base import Joinable

_CHUNK = 1000
Result = TypeVar("Result")
#: Items on their way, some at a time.
Chunks = Iterable[list[NewItem]]


class Inserts:
    """Stores items in one queue, in a transaction of its own, of the caller or of the task in hand.

    Arguments:
        callback_of: makes the item that follows a batch of what was stored with it.
    """

    def __init__(
        self, database: Database, rows: Items, batches: Batches, callback_of: Callable[[Batch, NewItem], NewItem]
    ) -> None:
        self._database = database
        self._rows = rows
        self._batches = batches
        self._callback_of = callback_of

    # --- one ---

    def one(self, new: NewItem, session: Joinable | None) -> ItemRow:
        """Store an item, or find the one that stands with its key."""
        joined = self._joined(session)
        if joined is not None:
            return self._add(joined, new, call=True)
        # A key needs two statements when it is taken already.
        run = self._database.statement if new.dedup_key is None else self._database.transaction
        return run(partial(self.within, new=new, is_alone=True))

    def only_id(self, new: NewItem, session: Joinable) -> int:
        """Store an item without a key in the caller's transaction; its id."""
        return self._rows.insert_only(self._database.joined(session), new)

    def within(self, tx: Transaction, new: NewItem, *, is_alone: bool = False) -> ItemRow:
        """The same inside a transaction of ours, which may be run again; its uid must be new."""
        if tx.unsure and (found := self._stored(tx, new)):
            return found
        return self._add(tx, new, call=self._database.may_call(), is_alone=is_alone)

    def anew(self, tx: Transaction, new: NewItem) -> ItemRow:
        """The same by who knows that it is not there yet, also when the transaction is run again."""
        return self._add(tx, new, call=self._database.may_call())

    def _stored(self, tx: Transaction, new: NewItem) -> ItemRow | None:
        found = self._rows.stored(tx, new.uid)
        if found is None:
            return None
        # It is claimed, or gone, if it is not there.
        return next(iter(self._rows.fetch(tx, [found.id])), None) or _row(new, found.id, found.submit_time, 0)

    def _add(self, tx: Transaction, new: NewItem, *, call: bool, is_alone: bool = False) -> ItemRow:
        while True:
            created = self._rows.insert(tx, new, call=call, is_alone=is_alone)
            if created is not None:
                return _row(new, *created)
            standing = self._rows.with_key(tx, new.dedup_key or "")
            if standing is not None:
                return standing

    # --- many ---

    def many(self, new: Iterable[NewItem], session: Joinable | None) -> int:
        """Store items as they come, all or nothing; return how many."""
        return self._store(new, session, self._add_chunks)

    def _store(
        self, new: Iterable[NewItem], session: Joinable | None, work: Callable[[Transaction, Chunks], Result]
    ) -> Result:
        chunks, joined = _chunks(new), self._joined(session)
        if joined is not None:
            return work(joined, chunks)
        first = list(islice(chunks, 1))  # before the transaction: a slow source must not hold a lock
        return _once(self._database, lambda tx: work(tx, chain(first, chunks)))

    def _add_chunks(self, tx: Transaction, chunks: Chunks, batch_id: int | None = None) -> int:
        number = sum(self._add_chunk(tx, chunk, batch_id) for chunk in chunks)
        self._rows.tell(tx)
        return number

    def _add_chunk(self, tx: Transaction, chunk: list[NewItem], batch_id: int | None) -> int:
        self._rows.insert_many(tx, chunk, batch_id)
        return len(chunk)

    def _joined(self, session: Joinable | None) -> Transaction | None:
        session = session if session is not None else self._database.current_session
        return self._database.joined(session) if session is not None else None

    # --- batches ---

    def batch(self, callback: NewItem, new: Iterable[NewItem], session: Joinable | None) -> Batch:
        """Store items that belong together."""
        return self._store(new, session, partial(self._add_batch, callback))

    def _add_batch(self, callback: NewItem, tx: Transaction, chunks: Chunks) -> Batch:
        batch_id = self._batches.insert(tx, uid=callback.uid, weight=callback.weight, data=callback.text)
        total = self._add_chunks(tx, chunks, batch_id)
        self._batches.fill(tx, batch_id, total)
        if not total:
            self._count(tx, batch_id, 0, 0)
        return Batch(batch_id, total, total)

    def ended(self, tx: Transaction, batch_ids: Iterable[int | None], *, failed: bool) -> None:
        """Count the ends of items of these batches (None: of no batch), in the transaction that removes them."""
        for batch_id, number in sorted(Counter(filter(None, batch_ids)).items()):  # all lock in the same order
            self._count(tx, batch_id, number, number if failed else 0)

    def _count(self, tx: Transaction, batch_id: int, ended: int, failed: int) -> None:
        row = self._batches.count(tx, batch_id, ended, failed)
        if row is not None:
            callback = self._callback_of(batch_of(row), NewItem(row.uid, row.weight, row.data))
            self._add(tx, callback, call=True)


def _row(new: NewItem, item_id: int, submitted: int, release: int) -> ItemRow:
    return ItemRow(
        item_id, new.uid, new.weight, submitted, release, 0, 0, 0, 0, None, new.text, order_key=new.order_key
    )


def batch_of(row: BatchRow) -> Batch:
    """A stored batch, as it is shown."""
    return Batch(row.id, row.total, row.pending, row.failed)


def _chunks(new: Iterable[NewItem]) -> Iterator[list[NewItem]]:
    source = iter(new)
    while chunk := list(islice(source, _CHUNK)):
        yield chunk


def _once(database: Database, work: Callable[[Transaction], Result]) -> Result:
    """Run ``work`` in a transaction that cannot be repeated, because what it consumes is gone by then."""
    begun = False

    def only_once(tx: Transaction) -> Result:
        nonlocal begun
        if begun:
            answer = "and whether the commit took place is unknown" if tx.unsure else "so nothing was stored"
            kind = OutcomeUnknown if tx.unsure else DatabaseUnavailable
            raise kind(f"the connection was lost while items were being stored, {answer}: look, and try again")
        begun = True
        return work(tx)

    return database.transaction(only_once)
