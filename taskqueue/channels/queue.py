"""The queue behind one address of a channel: its messages, as they may be had at this moment."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from .. import clock
from ..errors import PayloadError, PayloadTooNew
from ..item import QueueItem
from ..queues import settlement
from ..queues.settlement import Settlement
from ..queues.sql import SqlQueue
from ..settings import Settings
from ..spec import CHANNEL_PAYLOAD, make_spec
from ..storage.database import Database
from ..storage.messages import WAITING, Messages, Place
from ..storage.rows import ItemRow
from ..storage.transaction import Transaction
from .message import Message, read_message
from .names import Address

_log = logging.getLogger(__name__)
#: Nobody executes the items of such a queue, so that this is but the way in which they stand.
TYPE = "Sql"
#: So many messages are read at first, and at most: most of the time the first one is it.
_FIRST, _MOST = 4, 64
#: What has expired is out of the way for so long, or until it is put on the invalid channel.
_FAR = timedelta(days=36_600)
_EXPIRING_PAGE = 200


@dataclass
class View:
    """What a look at a queue has found: what may be had, and what is in the way of those who look next."""

    #: In order: what may be taken at this moment.
    candidates: list[Message] = field(default_factory=list)
    #: What may not be had before a later moment.
    early: list[tuple[Message, datetime]] = field(default_factory=list)
    #: What has been the end of too many consumers.
    poisonous: list[Message] = field(default_factory=list)
    #: What can be read by nobody, or was cancelled, and what becomes of it.
    ended: list[tuple[QueueItem, Settlement]] = field(default_factory=list)


class ChannelQueue(SqlQueue):
    """The messages of one consumer of a channel.

    They stand in the order of their sequence, then of their ids. The order key is the producer: on a sequential queue
    it changes nothing, and what one producer has sent is found by it behind any number of others'.
    """

    def __init__(self, name: str, address: Address, settings: Settings, database: Database) -> None:
        super().__init__(make_spec(name, TYPE, {"payload": CHANNEL_PAYLOAD}), settings, database)
        self.address = address
        self.messages = Messages(database.dialect, name)

    # --- looking ---

    def views(self, producer: str | None, user: str | None, tx: Transaction | None = None) -> Iterator[View]:
        """Look through what is ready, some at a time, without a lock; with ``tx`` in the caller's transaction."""
        after: Place | None = None
        limit = _FIRST
        while True:
            page = partial(self.messages.ready, limit=limit, after=after, producer=producer)
            now, rows = page(tx) if tx is not None else self._read(page)
            if rows:
                yield self._view(rows, clock.from_ms(now), user)
            if len(rows) < limit:
                return
            after = rows[-1].weight, rows[-1].id
            limit = min(limit * 4, _MOST)

    def make_due_ready(self, tx: Transaction) -> None:
        """Let what is due by now, and what lost consumers have held, be found by :meth:`views`."""
        self.rows.promote(tx)

    def _view(self, rows: Sequence[ItemRow], now: datetime, user: str | None) -> View:
        view = View()
        for row in rows:
            item = self._item(row)
            try:
                message = read_message(self.address, item)
            except PayloadTooNew:
                continue  # others may read it
            except PayloadError as error:
                view.ended.append((item, settlement.bury(str(error))))
                continue
            self._judge(message, item, now, user, view)
        return view

    def _judge(self, message: Message, item: QueueItem, now: datetime, user: str | None, view: View) -> None:
        if item.is_cancelled:  # while a consumer held it that was lost
            view.ended.append((item, settlement.cancel("cancelled")))
        elif message.is_expired(now):
            view.early.append((message, now + _FAR))
        elif (opening := message.opening(now)) > now:
            view.early.append((message, opening))
        elif item.interruptions >= self.settings.interrupt_limit and not message.is_invalid:
            view.poisonous.append(message)
        elif user in (None, message.user):
            view.candidates.append(message)

    def expired(self) -> Iterator[list[Message]]:
        """What waits and has expired, some hundreds at a time; what a consumer holds is left to it."""
        for state in WAITING:
            after: Place | None = None
            while True:
                page = partial(self.messages.lasting, state=state, limit=_EXPIRING_PAGE, after=after)
                now, rows = self._read(page)
                yield [message for message in self._readable(rows) if message.is_expired(clock.from_ms(now))]
                if len(rows) < _EXPIRING_PAGE:
                    break
                after = rows[-1].weight, rows[-1].id

    def _readable(self, rows: Sequence[ItemRow]) -> Iterator[Message]:
        for row in rows:
            try:
                yield read_message(self.address, self._item(row))
            except PayloadError:
                continue  # whoever looks for messages to deliver sees to that

    # --- taking ---

    def lease_first(self, seen: Sequence[QueueItem], lease: int) -> QueueItem | None:
        """Lease the first of these items that is still as it was seen, for ``lease`` ms."""
        holder = self.new_claim()

        def take(tx: Transaction) -> ItemRow | None:
            mine = self.rows.held_by(tx, holder) if tx.unsure else []
            if mine:
                return mine[0]
            taken = (self.rows.claim_seen(tx, item.id, item.fence, lease, holder) for item in seen)
            return next((row for row in taken if row is not None), None)

        row = self.database.transaction(take)
        return self._item(row) if row is not None else None

    def remove_first(self, tx: Transaction, seen: Sequence[Message]) -> Message | None:
        """Remove the first of these messages that is still as it was seen, in the caller's transaction."""
        for message in seen:
            item = message._handle.item
            assert item is not None  # noqa: S101  (it was just read)
            free = self.messages.lock_free(tx, [(item.id, item.fence)])
            if free:
                self.rows.note_unclaimed(tx, free)
                if self.rows.delete(tx, free):
                    return message
        return None

    # --- out of the way ---

    def hide(self, early: Sequence[tuple[Message, datetime]]) -> None:
        """Hide messages until the moments named, as far as nobody has taken them meanwhile."""
        by_moment: dict[datetime, list[tuple[int, int]]] = defaultdict(list)
        for message, moment in early:
            by_moment[moment].append(held_of(message))

        def put_off(tx: Transaction) -> None:
            now = tx.row("SELECT {now}")[0]
            for moment, held in by_moment.items():
                free = self.messages.lock_free(tx, held)
                if free:
                    self.rows.put_back(tx, free, delay=max(clock.moment_ms(moment) - now, 1))

        self.database.transaction(put_off)

    def end(self, ended: Sequence[tuple[QueueItem, Settlement]]) -> None:
        """Let go of what no consumer shall have, each as it was said."""
        for item, how in ended:
            if not self.settle([item], how) and how.dead:
                _log.error("message %d of queue %s is a dead letter now: %s", item.id, self.name, how.error)

    def clear(self, tx: Transaction, message: Message, target: ChannelQueue, uid: str) -> bool:
        """Remove a message that stands here, or is held, to be put into another queue under that uid in the same
        transaction; False when others have it by now."""
        if tx.unsure and target.rows.stored(tx, uid) is not None:
            return True  # that was our own commit, whose answer never came
        self.rows.note_unclaimed(tx, [held_of(message)])
        return self.rows.delete(tx, [held_of(message)]) > 0


def held_of(message: Message) -> tuple[int, int]:
    """Id and fence of a message that stands in its queue."""
    item = message._handle.item
    assert item is not None  # noqa: S101  (it was read from there)
    return item.id, item.fence
