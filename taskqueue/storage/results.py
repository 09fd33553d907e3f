"""The statements on what tasks returned."""

from __future__ import annotations

from typing import NamedTuple

from .transaction import Transaction


class ResultRow(NamedTuple):
    """A result as stored."""

    uid: str
    data: str
    end_time: int


class Results:
    """The statements on ``result``, for one queue."""

    def __init__(self, queue_name: str) -> None:
        self._queue = queue_name

    def keep(self, tx: Transaction, held: tuple[int, int], data: str, lasting: int) -> None:
        """Store the result of an item that still stands under its fence, for ``lasting`` ms."""
        tx.change(
            "INSERT INTO {result} (item_id, queue_name, uid, data, end_time, expire_time) "
            "SELECT id, queue_name, uid, :data, {now}, {now} + :lasting FROM {item} WHERE id = :id AND fence = :fence",
            id=held[0],
            fence=held[1],
            data=data,
            lasting=lasting,
        )

    def add(self, tx: Transaction, item_id: int, uid: str, data: str, lasting: int) -> None:
        """Store the result of an item that is gone; one that stands stays."""
        tx.change(
            "{insert} {result} (item_id, queue_name, uid, data, end_time, expire_time) "
            "VALUES (:id, :queue, :uid, :data, {now}, {now} + :lasting) {on_duplicate}",
            queue=self._queue,
            id=item_id,
            uid=uid,
            data=data,
            lasting=lasting,
        )

    def find(self, tx: Transaction, item_id: int) -> ResultRow | None:
        """The result of an item, unless its time is over."""
        row = tx.row(
            "SELECT uid, data, end_time FROM {result} "
            "WHERE item_id = :id AND queue_name = :queue AND expire_time > {now}",
            queue=self._queue,
            id=item_id,
        )
        return ResultRow(*row) if row else None
