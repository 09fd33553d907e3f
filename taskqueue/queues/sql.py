"""``Sql``: strictly sequential. At most one holder at any moment; the head blocks whatever stands behind it."""

from __future__ import annotations

from ..storage import registry
from ..storage.rows import ItemRow
from ..storage.schema import DELAYED, LEASED, READY
from ..storage.transaction import Transaction
from .base import Wait
from .sql_base import SqlBase


class SqlQueue(SqlBase):
    """A sequential queue in a database."""

    is_sequential = True

    def _lease(self, limit: int, lease: int, holder: str) -> list[ItemRow]:
        def claim(tx: Transaction) -> list[ItemRow]:
            registry.lock(tx, self.name)
            if tx.unsure:
                mine = self.rows.held_by(tx, holder)
                if mine:
                    return mine
            self.rows.promote(tx)  # always: an item that is due may go before all that are ready
            return self.rows.claim_head(tx, limit, lease, holder)

        return self.database.transaction(claim)

    def wait_within(self, tx: Transaction) -> Wait | None:
        leased = self.rows.wait(tx, LEASED)
        if leased is not None:
            return Wait(leased / 1000, is_leased=True)
        first = self.rows.first(tx, READY, DELAYED)
        if first is None:
            return None
        head = self.rows.fetch(tx, [first])
        delayed = self.rows.wait(tx, DELAYED)
        if delayed is None or not head or head[0].release_time == 0:
            return Wait(0.0, is_leased=False)
        return Wait(max(self.rows.until(tx, head[0].release_time), 0) / 1000, is_leased=False)
