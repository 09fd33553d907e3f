"""All statements on the hot table, for one queue."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Protocol

from ..errors import OutcomeUnknown
from . import claimed
from .claims import Claims
from .dialects import Dialect
from .faults import is_without_value
from .rows import CHUNK, ItemRow, Sent
from .schema import DELAYED, READY
from .server_clock import ServerClock
from .settling import Settling
from .transaction import Transaction


class New(Protocol):
    """An item on its way in."""

    uid: str
    weight: int
    text: str
    #: Milliseconds to wait, or the moment (ms since 1970) to wait for.
    delay: int
    due: int | None
    dedup_key: str | None
    #: The key is free again as soon as the item is claimed.
    until_start: bool
    order_key: str | None


@lru_cache(64)
def _insertion(due: str, keyed: bool, ordered: bool, after: str, now: str = "{now}") -> str:
    """An item is ready, and has no keys, unless its columns say otherwise.

    Arguments:
        due: an SQL expression for the moment before which the item stays hidden, or "".
        now: one for the moment at which it is submitted.
    """
    values = {"queue_name": ":queue", "uid": ":uid", "weight": ":weight", "submit_time": now, "data": ":data"}
    if due:
        values["state"] = f"CASE WHEN {due} > {{now}} THEN {DELAYED} ELSE {READY} END"
        values["release_time"] = f"CASE WHEN {due} > {{now}} THEN {due} ELSE 0 END"
    if keyed:
        values.update(dedup_key=":dedup_key", until_start=":until_start")
    if ordered:
        values["order_key"] = ":order_key"
    insert, once = ("{insert}", " {on_duplicate}") if keyed else ("INSERT INTO", "")
    return f"{insert} {{item}} ({', '.join(values)}) VALUES ({', '.join(values.values())}){once}{after}"


#: What is told of an item that was just stored.
_STORED = "id, submit_time, release_time"
#: A moment that has just been, if the server's own clock says so, too (ms); else no value, which is refused.
_TOLERANCE = 100
_JUST_NOW = f"CASE WHEN {{now}} - :moment BETWEEN 0 AND {_TOLERANCE} THEN :moment END"


class Items(Claims, Settling):
    """The statements on ``item``: those that claim and settle, and here those that bring items in."""

    def __init__(self, dialect: Dialect, queue_name: str) -> None:
        super().__init__(dialect, queue_name)
        self._clock = ServerClock()

    # --- coming in -----------------------------------------------------------------------------

    def insert(
        self, tx: Transaction, new: New, *, call: bool = False, is_alone: bool = False
    ) -> tuple[int, int, int] | None:
        """Insert one item; return its id, submit and release time, or None if its ``dedup_key`` is taken.

        With ``call``, workers that listen are told, where the database can do that. ``is_alone`` says that nothing
        else happens in the transaction, so that a statement may fail in it and another one follow.
        """
        due, values = self._values(new)
        keyed, ordered = new.dedup_key is not None, new.order_key is not None
        if keyed:
            values.update(dedup_key=new.dedup_key, until_start=int(new.until_start))
        dialect = self._dialect
        asked = 0.0
        if dialect.reads_slowly:
            if is_alone and not due and not keyed and (created := self._insert_just_now(tx, ordered, values)):
                return created
            asked = time.monotonic()
        row: Sequence[int] | None
        if not dialect.returning:
            found = tx.insert(_insertion(due, keyed, ordered, ""), **values)
            row = self._submitted(tx, found) if found else None
        else:
            told = f", {dialect.call}" if call and dialect.call and tx.can_tell else ""
            stored = f"CONCAT_WS(' ', {_STORED})" if dialect.reads_slowly else _STORED
            row = tx.row(_insertion(due, keyed, ordered, f" RETURNING {stored}{told}"), **values)
            if row and dialect.reads_slowly:
                row = [int(number) for number in str(row[0]).split(" ")]
        if row and asked:
            self._clock.told(row[1], asked)
        return (row[0], row[1], row[2]) if row else None

    def _insert_just_now(
        self, tx: Transaction, ordered: bool, values: Mapping[str, Any]
    ) -> tuple[int, int, int] | None:
        """The same at the moment that the server's clock should show: only an answer with rows could tell which it is,
        and takes as long to read as the INSERT. None, and nothing is stored, when that is not known, or wrong."""
        moment = self._clock.read()
        if moment is None:
            return None
        try:
            return tx.insert(_insertion("", False, ordered, "", _JUST_NOW), moment=moment, **values), moment, 0
        except Exception as error:
            if not is_without_value(error):
                raise
            self._clock.refused()
            return None

    def insert_only(self, tx: Transaction, new: New) -> int:
        """Insert one item without a ``dedup_key``, and tell workers that listen; return its id alone.

        In the caller's transaction a result with rows costs more than the INSERT itself.
        """
        (due, values), ordered = self._values(new), new.order_key is not None
        if self._dialect.knows_new_id:
            return tx.insert(_insertion(due, False, ordered, ""), **values)
        told = f", {self._dialect.call}" if self._dialect.call and tx.can_tell else ""
        return tx.row(_insertion(due, False, ordered, f" RETURNING id{told}"), **values)[0]  # type: ignore[no-any-return]

    def _values(self, new: New) -> tuple[str, dict[str, Any]]:
        """The moment that it waits for, as SQL, and the values without those of a ``dedup_key``."""
        values: dict[str, Any] = {"queue": self._queue, "uid": new.uid, "weight": new.weight, "data": new.text}
        if new.order_key is not None:
            values["order_key"] = new.order_key
        if new.due is not None:
            values["due_value"] = new.due
            return ":due_value", values
        if new.delay:
            values["due_value"] = new.delay
            return "{now} + :due_value", values
        return "", values

    def _submitted(self, tx: Transaction, item_id: int) -> tuple[int, int, int]:
        row = tx.row("SELECT id, submit_time, release_time FROM {item} WHERE id = :id", id=item_id)
        return row[0], row[1], row[2]

    def insert_many(self, tx: Transaction, items: Iterable[New], batch_id: int | None = None) -> None:
        """Insert items, ready at once, in as few round trips as the driver can."""
        queue, now = self._queue, int(tx.row("SELECT {now}")[0])
        columns = ("queue_name", "submit_time", "batch_id", "uid", "weight", "data")
        tx.fill("{item}", columns, [(queue, now, batch_id, new.uid, new.weight, new.text) for new in items])

    def tell(self, tx: Transaction) -> None:
        """Tell workers that listen, where the database can do that, once this is committed."""
        if self._dialect.call and tx.can_tell:
            tx.row(f"SELECT {self._dialect.call}", queue=self._queue)

    def with_key(self, tx: Transaction, dedup_key: str) -> ItemRow | None:
        """The item that stands with this key; waits for a transaction that is just writing one."""
        return self._one(
            tx, "SELECT {columns} FROM {{item}} WHERE queue_name = :queue AND dedup_key = :key {{share}}", key=dedup_key
        )

    def id_with_key(self, tx: Transaction, dedup_key: str, *, lock: bool = False) -> int | None:
        """The id of that item; waits for nobody, unless it is to be locked."""
        row = tx.row(
            f"SELECT id FROM {{item}} WHERE queue_name = :queue AND dedup_key = :key {'{for_update}' if lock else ''}",
            queue=self._queue,
            key=dedup_key,
        )
        return int(row[0]) if row else None

    def stored(self, tx: Transaction, uid: str) -> Sent | None:
        """What a transaction of mine has stored under this uid whose answer was lost, though it may be gone by now.

        Raises :class:`OutcomeUnknown` when nothing is found, and it is too late to tell.
        """
        found = self._with_uid(tx, uid)
        if found is None:  # asked afterwards: what goes meanwhile is noted before
            noted = claimed.find(tx, uid)
            found = Sent(noted[0], uid, noted[1]) if noted is not None else None
        if found is None and tx.age >= claimed.ASKED_WITHIN:
            raise OutcomeUnknown(
                "the connection was lost while an item was being stored, and came back too late to tell whether it was "
                "stored, and done meanwhile: look for its effects, or store it again if that does no harm"
            )
        return found

    def _with_uid(self, tx: Transaction, uid: str) -> Sent | None:
        """The item with this uid, among those that stand there and were submitted since this work was sent first."""
        since = int(tx.row("SELECT {now}")[0]) - tx.age - claimed.SLACK
        edge: int | None = None
        while True:
            below = "AND id < :edge" if edge is not None else ""
            rows = tx.rows(
                f"SELECT id, uid, submit_time FROM {{item}} WHERE id > 0 {below} ORDER BY id DESC LIMIT {CHUNK}",
                **({"edge": edge} if edge is not None else {}),
            )
            found = next((Sent(*row) for row in rows if row[1] == uid), None)
            if found is not None or len(rows) < CHUNK or rows[-1][2] < since:
                return found
            edge = rows[-1][0]
