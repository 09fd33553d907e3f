"""``SqlParallel``: any number of holders, each with items of its own; what is leased or delayed is passed by."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

from ..settings import Settings
from ..spec import QueueSpec
from ..storage import registry
from ..storage.database import Database
from ..storage.rows import Held, ItemRow
from ..storage.schema import DELAYED, LEASED, READY
from ..storage.transaction import Transaction
from ..storage.turns import Turns
from . import settlement
from .base import Wait
from .sql_base import SqlBase

#: What waits for its turn is handed on to; so many milliseconds after whatever it waits for should have ended it looks
#: by itself, in case that was done in a transaction of an application that could not see it.
_LOOKS_AGAIN = 60_000
#: Nor can writers on different nodes of a cluster always see it; there it looks so often, whatever it waits for.
_LOOKS_AGAIN_ON_CLUSTER = 5_000


class SqlParallelQueue(SqlBase):
    """A concurrent queue in a database."""

    is_sequential = False

    def __init__(self, spec: QueueSpec, settings: Settings, database: Database) -> None:
        super().__init__(spec, settings, database)
        self._turns = Turns(database.dialect, spec.name)
        #: Whether the latest claim was of several and got all it asked for, so that there may be more.
        self._was_full = False

    def _lease(self, limit: int, lease: int, holder: str) -> list[ItemRow]:
        while True:
            rows = self._claim(limit, lease, holder)
            mine = self._in_turn(rows) if any(row.order_key is not None for row in rows) else rows
            if mine or not rows:
                return mine
            holder = self.new_claim()  # what was claimed waits for its turn now: something else may be ready

    def _claim(self, limit: int, lease: int, holder: str) -> list[ItemRow]:
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
        rows = self.database.statement(claim_single) if not self._was_full else None
        if rows is None:
            rows = self.database.transaction(claim)
        self._was_full = len(rows) >= limit > 1
        return rows

    # --- one after the other, by order key ---

    def _in_turn(self, rows: Sequence[ItemRow]) -> list[ItemRow]:
        """Those of the claimed rows whose turn it is; the others are put back.

        To be asked after the claim is committed: of several who claim at the same time each sees what the earlier ones
        have claimed.
        """
        keyed = {row.id: row for row in rows if row.order_key is not None}
        mine = self.database.statement(lambda tx: self._turns.in_turn(tx, keyed), write=False)
        doubtful = [row for row in keyed.values() if row.id not in mine]
        for order_key in sorted({row.order_key for row in doubtful if row.order_key is not None}):
            held = [(row.id, row.fence) for row in doubtful if row.order_key == order_key]
            wait = partial(self._wait_in_line, order_key=order_key, held=held, mine=frozenset(mine))
            mine |= self.database.transaction(wait)
        return [row for row in rows if row.order_key is None or mine.get(row.id) == row.fence]

    def _wait_in_line(self, tx: Transaction, order_key: str, held: list[Held], mine: frozenset[int]) -> dict[int, int]:
        """Put those of one key back that have to wait, and let what stands behind them wait, too; return the others.

        ``mine`` was claimed together with them, and it is its turn.

        With what they wait for locked: either it ends before, and that is seen here, or after this, and hands on.
        """
        rivals = [rival for rival in self._turns.locked_rivals(tx, order_key) if not rival.waits_its_turn]
        doubtful = dict(held)
        in_turn = {pair for pair in self._turns.in_turn(tx, mine | doubtful.keys()).items() if pair in held}
        blocked = [pair for pair in held if pair not in in_turn]
        delay = max((rival.wait for rival in rivals if rival.id not in doubtful), default=0)
        delay = max(delay, 0) + _LOOKS_AGAIN
        if tx.dialect.is_cluster:
            delay = min(delay, _LOOKS_AGAIN_ON_CLUSTER)
        if blocked:
            self.settle_within(tx, blocked, settlement.await_turn(delay))
            self._turns.hide(tx, order_key, delay)
        if not any(rival.state == LEASED for rival in self._turns.rivals(tx, order_key)):
            self._hand_on(tx, [order_key])  # nobody else will do that
        return dict(in_turn)

    def _hand_on(self, tx: Transaction, order_keys: Iterable[str | None]) -> None:
        for order_key in sorted(set(filter(None, order_keys))):
            if self._turns.hand_on(tx, order_key):
                tx.makes_ready = True
        if tx.makes_ready and self.database.may_call():
            self.rows.tell(tx)

    # --- looking ---

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
