"""The archive of the SQL queues."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Any, TypeVar

from .. import clock
from ..item import QueueItem
from ..settings import Settings
from ..storage.database import Database
from ..storage.dead import DeadLetters, DeadRow
from ..storage.items import Items
from ..storage.results import Results
from ..storage.transaction import Transaction
from .archive import Archive
from .archived import CHUNK, result_owner
from .dead_filter import DeadFilter
from .ended import DeadItem, Ending, Result

_PAGE = 1000
Found = TypeVar("Found")


class SqlArchive(Archive):
    """What has ended, in tables of its own."""

    def __init__(self, queue_name: str, settings: Settings, database: Database, rows: Items) -> None:
        self._name = queue_name
        self._rows = rows
        self._settings = settings
        self._database = database
        self._dead = DeadLetters(queue_name)
        self._results = Results(queue_name)

    # --- dead letters ---

    def count(self) -> int:
        return self._read(self._dead.count)

    def letters(self, chosen: DeadFilter) -> Iterator[DeadItem]:
        if chosen.ids is not None:
            rows = self._rows_of(sorted(chosen.ids))
        else:
            rows = _pages(lambda after: self._read(self._page(self._dead.page, chosen, after)), lambda row: row.id)
        return filter(chosen.matches, map(self._letter, rows))

    def ids(self, chosen: DeadFilter) -> Iterator[int]:
        if chosen.needs_content or chosen.ids is not None:
            return (letter.id for letter in self.letters(chosen))
        return _pages(lambda after: self._read(self._page(self._dead.ids, chosen, after)), lambda item_id: item_id)

    def _page(self, page: Callable[..., list[Found]], chosen: DeadFilter, after: int) -> Callable[..., list[Found]]:
        since, until = _stored(chosen.since), _stored(chosen.until)
        return partial(page, limit=_PAGE, after_id=after, since=since, until=until)

    def _rows_of(self, ids: Iterable[int]) -> Iterator[DeadRow]:
        rest = iter(ids)
        while chunk := list(islice(rest, CHUNK)):
            yield from self._read(partial(self._dead.fetch, ids=chunk))

    def latest(self) -> DeadItem | None:
        row = self._read(self._dead.latest)
        return self._letter(row) if row is not None else None

    def revive(self, ids: Sequence[int]) -> int:
        return self._move(ids, self._revive)

    def _revive(self, tx: Transaction, ids: Iterable[int]) -> set[int]:
        revived = self._dead.revive(tx, ids)
        if revived:
            self._rows.tell(tx)
        return revived

    def delete(self, ids: Sequence[int]) -> int:
        return self._move(ids, self._dead.delete)

    def _move(self, ids: Sequence[int], work: Callable[[Transaction, Iterable[int]], set[int]]) -> int:
        """How many were moved, also by a commit whose answer never came: those are no longer there."""
        moved: set[int] = set()

        def move(tx: Transaction) -> int:
            nonlocal moved
            found = work(tx, ids)
            moved = moved | found if tx.unsure else found
            return len(moved)

        return self._database.transaction(move)

    def _letter(self, row: DeadRow) -> DeadItem:
        return DeadItem(
            row.id, self._name, row.weight, clock.from_ms(row.submit_time), clock.from_ms(row.dead_time),
            row.run_count, row.failures, row.error, row.traceback, row.uid, self._unpacker(row.data, row.uid),
        )  # fmt: skip

    # --- history and results ---

    def history(self, item_id: int) -> list[Ending]:
        rows = self._read(partial(self._dead.history, item_id=item_id))
        return [Ending(**{**row._asdict(), "end_time": clock.from_ms(row.end_time)}) for row in rows]

    def result(self, item_id: int) -> Result | None:
        row = self._read(partial(self._results.find, item_id=item_id))
        if row is None:
            return None
        return Result(item_id, clock.from_ms(row.end_time), self._unpacker(row.data, result_owner(row.uid)))

    def store_result(self, item: QueueItem, text: str, lasting: int) -> None:
        self._database.statement(lambda tx: self._results.add(tx, item.id, item.uid, text, lasting))

    # --- the database ---

    def _read(self, work: Callable[[Transaction], Found]) -> Found:
        return self._database.statement(work, write=False)

    def _unpacker(self, data: str, owner: str) -> Callable[[], Any]:
        return partial(self._settings.codec.unpack, data, self._name, owner)


def _pages(read: Callable[[int], list[Found]], id_of: Callable[[Found], int]) -> Iterator[Found]:
    after = -1
    while page := read(after):
        yield from page
        after = id_of(page[-1])


def _stored(moment: datetime | None) -> int | None:
    """A moment as it compares with stored times, which are whole milliseconds: rounded up."""
    return clock.moment_ms(moment) + (moment.microsecond % 1000 > 0) if moment is not None else None
