"""The part of the contract about what has ended: dead letters, history and results."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from .. import clock
from ..errors import ItemNotFound, TaskQueueError
from ..item import QueueItem
from .archive import Archive
from .arguments import check_id
from .base import Queue
from .dead_filter import DeadFilter, DeadFilters
from .ended import DeadItem, Ending, Result

if TYPE_CHECKING:
    from typing_extensions import Unpack

_log = logging.getLogger(__name__)
#: How many letters one transaction moves: long enough to be quick, short enough to let others in.
CHUNK = 500


class ArchivedQueue(Queue):
    """A queue with an archive."""

    archive: Archive

    @abstractmethod
    def changed(self) -> None:
        """Something was made ready here."""

    # --- dead letters ---

    def dead_items(self, item_ids: Iterable[int] | None = None, **filters: Unpack[DeadFilters]) -> list[DeadItem]:
        return list(self.dead_letters(item_ids, **filters))

    def dead_letters(self, item_ids: Iterable[int] | None = None, **filters: Unpack[DeadFilters]) -> Iterator[DeadItem]:
        return self.archive.letters(DeadFilter.of(item_ids, filters))

    def dead_ids(self, item_ids: Iterable[int] | None = None, **filters: Unpack[DeadFilters]) -> Iterator[int]:
        """The ids of :meth:`dead_letters`, for whoever counts first and acts on exactly those."""
        return self.archive.ids(DeadFilter.of(item_ids, filters))

    def count_dead_items(self, item_ids: Iterable[int] | None = None, **filters: Unpack[DeadFilters]) -> int:
        chosen = DeadFilter.of(item_ids, filters)
        return self.archive.count() if chosen.is_empty else sum(1 for _id in self.archive.ids(chosen))

    def revive_item(self, item_id: int) -> QueueItem:
        item = self.fetch_item(item_id) if self.revive_items([item_id]) else None
        if item is None:
            raise ItemNotFound(f"queue {self.name!r} has no dead letter with the id {item_id}")
        return item

    def revive_items(self, item_ids: Iterable[int] | None = None, **filters: Unpack[DeadFilters]) -> int:
        revived = self._in_chunks(DeadFilter.of(item_ids, filters), self.archive.revive)
        self.changed()
        return revived

    def delete_dead_items(self, item_ids: Iterable[int] | None = None, **filters: Unpack[DeadFilters]) -> int:
        return self._in_chunks(DeadFilter.of(item_ids, filters), self.archive.delete)

    def _in_chunks(self, chosen: DeadFilter, work: Callable[[Sequence[int]], int]) -> int:
        ids = iter(sorted(chosen.ids or ())) if chosen.names_ids_only else self.archive.ids(chosen)
        number = 0
        while chunk := list(islice(ids, CHUNK)):
            number += work(chunk)
        return number

    # --- history and results ---

    def history_of(self, item_id: int) -> list[Ending]:
        return self.archive.history(check_id(item_id))

    def result_of(self, item_id: int) -> Result | None:
        return self.archive.result(check_id(item_id))

    def pack_result(self, item: QueueItem, value: Any) -> str:
        """What is stored of a value that the task of ``item`` returned (see :attr:`Settlement.result`).

        Raises :class:`SerializationError` with the path to what cannot be stored.
        """
        return self.settings.codec.pack(value, self.name, result_owner(item.uid), where="result")

    def store_result(self, item: QueueItem, value: Any) -> bool:
        """Keep what a task returned whose item is gone already; whether that was possible.

        For values that are known only after ``ctx.transaction()`` has committed: it may get lost when the process
        dies in between. What prevents it is logged and not raised, because the item is done.
        """
        if not self.spec.keep_result:
            return False
        try:
            self.archive.store_result(item, self.pack_result(item, value), clock.to_ms(self.spec.keep_result))
        except TaskQueueError as error:
            _log.warning("[%s #%d] its result was not kept: %s", self.name, item.id, error)
            return False
        return True


def result_owner(uid: str) -> str:
    """In whose name a result is signed: not the item's own, so that it can never be taken for an item."""
    return f"{uid}.result"
