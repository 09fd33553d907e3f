"""``SqlParallel``: any number of holders, each with items of its own; what is leased or delayed is passed by."""

from __future__ import annotations

from ..storage import registry
from ..storage.rows import ItemRow
from ..storage.schema import DELAYED, LEASED, READY
from ..storage.transaction import Transaction
from .base import Wait
from .sql_base import SqlBase


class SqlParallelQueue(SqlBase):
    """A concurrent queue in a database."""

    is_sequential = False

    def _lease(self, limit: int, lease: int, holder: str) -> list[ItemRow]:
        def claim(tx: Transaction) -> list[ItemRow]:
            if most is not None:  # who counts what is held must be alone
                registry.lock(tx, self.name)
            if tx.unsure:
                mine = self.rows.held_by(tx, holder)
                if mine:
                    return mine
            self._promote(tx, at_once=False)
            size = limit if most is None else min(limit, most - self.rows.leased(tx, most))
            rows = self.rows.claim(tx, size, lease, holder) if size else []
            if size and not rows and self._promote(tx, at_once=True):
                rows = self.rows.claim(tx, size, lease, holder)
            return rows

        def claim_single(tx: Transaction) -> list[ItemRow] | None:
            mine = self.rows.held_by(tx, holder) if tx.unsure else []
            if mine:
                return mine
            self._promote(tx, at_once=False)
            rows = self.rows.claim_single(tx, limit, lease, holder)
            return None if rows == [] and self._promote(tx, at_once=True) else rows

        most = self.spec.concurrency_limit
        if most is not None:
            return self.database.transaction(claim)
        if self.rows.claims_in_one_statement:
            return self.database.statement(claim)
        rows = self.database.statement(claim_single)
        return self.database.transaction(claim) if rows is None else rows

    def _is_full(self, tx: Transaction) -> bool:
        most = self.spec.concurrency_limit
        return most is not None and self.rows.leased(tx, most) >= most

    def wait_within(self, tx: Transaction) -> Wait | None:
        if self.rows.first_ready(tx) is not None and not self._is_full(tx):
            return Wait(0.0, is_leased=False)
        waits = {state: self.rows.wait(tx, state) for state in (LEASED, DELAYED)}
        found = [wait for wait in waits.values() if wait is not None]
        if not found:
            return None if self.rows.wait(tx, READY) is None else Wait(0.0, is_leased=False)
        return Wait(min(found) / 1000, is_leased=waits[LEASED] is not None)
