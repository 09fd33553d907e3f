"""How calls end otherwise than by being executed, and begin anew.

Each is one transaction that first locks the call, then looks at it again: of several who want to change it at the same
moment one does, and the others are told.
"""

from __future__ import annotations

from functools import partial

from .. import spans
from ..errors import NotSupported, PayloadError
from ..queues.base import NewItem
from ..queues.sql_base import SqlBase
from ..service import QueueService
from ..storage import expiry
from ..storage import operations as stored
from ..storage.operations import OperationRow
from ..storage.rows import CHUNK
from ..storage.transaction import Transaction
from .call import FINAL
from .limits import Limits
from .news import News
from .problems import NotPossible
from .standing import CallQueues


class Ends:
    """The ends of the calls of one service."""

    def __init__(self, service: QueueService, queues: CallQueues, news: News) -> None:
        self._service = service
        self._queues = queues
        self._news = news

    # --- by their owners ---

    def cancel(self, row: OperationRow) -> None:
        """Take a call back, or ask whoever executes it to stop."""
        queue = self._queues.of(row)

        def work(tx: Transaction) -> None:
            now = _locked(tx, row.id)
            what = queue.cancel_within(tx, now.item_id) if now is not None and not now.end_time else None
            if now is not None and what == "cancelled":
                self._end(tx, queue, now, "cancelled")
            elif now is not None and what is not None:
                for news in self._news.of_stopping(now.id, queue.name):
                    queue.insert_within(tx, news)

        self._service.database.transaction(work)
        queue.changed()

    def forget(self, row: OperationRow) -> None:
        """Remove a call that has ended from the record, its dead letter included. Raises :class:`NotPossible` when it
        has begun anew meanwhile."""
        queue = self._queues.of(row) if not row.end_time else None

        def work(tx: Transaction) -> None:
            now = _locked(tx, row.id)
            if now is None:
                return
            is_dead = queue is not None and now.state == "dead" and queue.dead.delete(tx, [now.item_id])
            if not now.end_time and not is_dead:
                raise NotPossible("the call has been retried meanwhile: it has not ended yet")
            stored.remove(tx, row.id)

        self._service.database.transaction(work)

    def retry(self, row: OperationRow, limits: Limits | None = None) -> None:
        """Let a call that is dead or has failed begin anew, within these limits. Raises :class:`NotPossible` when
        others were quicker, :class:`TooManyCalls`."""
        queue = self._queues.of(row)

        def work(tx: Transaction) -> None:
            now = _locked(tx, row.id)
            if tx.unsure and now is not None and not now.end_time and now.state not in FINAL:
                return  # it was our own commit, whose answer never came
            if now is None or now.end_time != row.end_time or now.is_over:
                raise NotPossible("the call has been retried or forgotten meanwhile, or its time is over")
            if limits is not None:
                limits.check_pending(tx, row.owner, row.name)
            if now.end_time:
                self._begin_anew(tx, queue, now)
            elif not queue.dead.revive(tx, [now.item_id]):
                raise NotPossible("the call has been retried or forgotten meanwhile, or its time is over")
            else:
                stored.reopen(tx, row.id, now.item_id, queue.name)
                queue.rows.tell(tx)

        self._service.database.transaction(work)
        queue.changed()

    def _begin_anew(self, tx: Transaction, queue: SqlBase, row: OperationRow) -> None:
        """It left its queue when it ended: put a new item there, or on the present one if that is gone."""
        codec = self._service.settings.codec
        if queue.name != row.queue_name:
            found = stored.request(tx, row.id)
            assert found is not None  # noqa: S101  (it is locked)
            try:
                request = codec.unpack(found.request, row.queue_name, row.id)
            except PayloadError as error:
                raise NotPossible(f"the request of the call cannot be read any more: {error}") from error
            stored.move(tx, row.id, codec.pack(request, queue.name, row.id))
        text = codec.pack({"operation": row.name}, queue.name, row.id, trace=spans.carried())
        stored.reopen(tx, row.id, queue.insert_anew_within(tx, NewItem(row.id, 0, text)).id, queue.name)

    # --- by themselves ---

    def write_down(self, row: OperationRow) -> bool:
        """Let a call stay ended that has been seen to be so, and does not say it itself yet: its item was taken from
        the queue, or it cannot be begun in time any more. False: impossible here; else it has ended or moved on."""
        queue = self._queues.of(row) if self._news.finished or row.state != stored.GONE else None

        def work(tx: Transaction) -> None:
            now = _locked(tx, row.id)
            if now is None or now.end_time or now.state != row.state:
                return
            if now.state == stored.GONE:
                self._end(tx, queue, now, expiry.state_of_stray(tx, now))
            elif queue is not None and queue.withdraw_within(tx, now.item_id, now.state):
                self._end(tx, queue, now, now.state)

        try:
            self._service.database.transaction(work)
        except NotSupported:  # SQLite has one writer, who is looking: it is written down by the next one
            return False
        return True

    def end_strays(self) -> int:
        """The same of all whose items were taken from their queue (reset, skipped, deleted); how many."""
        database, number, after = self._service.database, 0, (0, "")
        while calls := database.statement(partial(expiry.open_calls, limit=CHUNK, after=after), write=False):
            for call in calls:
                row = database.statement(partial(stored.find, call_id=call.id), write=False) if call.is_stray else None
                is_ours = row is not None and self._queues.owns(row.queue_name)
                number += row is not None and is_ours and row.is_unwritten and self.write_down(row)
            after = calls[-1].create_time, calls[-1].id
        return number

    def _end(self, tx: Transaction, queue: SqlBase | None, row: OperationRow, state: str) -> None:
        """Write it down; the call is locked, and has not ended yet."""
        stored.end(tx, row.id, state, attempts=row.attempts)
        if queue is not None and state != "dead":  # that was told when it died
            for news in self._news.of(row.id, queue.name):
                queue.insert_within(tx, news)


def _locked(tx: Transaction, call_id: str) -> OperationRow | None:
    stored.lock(tx, call_id)
    return stored.find(tx, call_id)
