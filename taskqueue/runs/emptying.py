"""Skipping, on record, what an aborted run leaves behind."""

from __future__ import annotations

from ..queues import settlement
from ..queues.sql_base import SqlBase
from ..storage import registry, runs
from ..storage.schema import DELAYED, READY
from ..storage.transaction import Transaction
from .store import line

#: So many items are skipped by one transaction.
_BATCH = 500


def skip_rest(queue: SqlBase, run_id: str) -> None:
    """Skip what stood in the queue when the run was aborted and nobody holds.

    Whoever holds something comes here, too, when it is through with it.
    """
    while queue.database.transaction(lambda tx: _skip_some(tx, queue, run_id)):
        pass


def _skip_some(tx: Transaction, queue: SqlBase, run_id: str) -> int:
    run, registered = runs.find(tx, run_id, lock=True), registry.find(tx, queue.name)
    if run is None or run.status != "aborted" or not run.emptied_to:
        return 0
    if registered is None or registered.status != "aborted":  # somebody has begun anew with what is left
        return 0
    rows = [row for state in (READY, DELAYED) for row in queue.rows.up_to(tx, state, _BATCH, run.emptied_to)]
    how = settlement.skip("the run was aborted")
    taken = len(queue.settle_within(tx, [(row.id, row.fence) for row in rows], how)) if rows else 0
    if taken:
        runs.add_skipped(tx, run_id, taken)
        runs.write(tx, run_id, [line("emptied", str(taken), level="warning")])
    return taken
