"""All calls of the operations of one service, whoever made them: what administrators see and do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from ..storage.operations import OperationRow
from . import results
from .call import FINAL, Call, check_state, is_call_id
from .calls import Calls
from .problems import CallGone, CallNotFound
from .results import File
from .standing import CallQueues

#: So many calls are read at a time.
_PAGE = 200


@dataclass(frozen=True)
class Insight:
    """What only administrators are told of a call."""

    call: Call
    #: Where its item, or its dead letter, stands or stood.
    queue: str
    item_id: int
    #: Of the latest attempt that failed, and of a dead one; None: there is none (any more).
    last_error: str | None
    traceback: str | None
    #: What it returned: its media type and its size in bytes.
    result_type: str | None
    result_bytes: int | None


@dataclass(frozen=True)
class Counts:
    """What stands on the queues of operations."""

    #: Calls that wait or are being executed, and those that are dead.
    waiting: int
    dead: int
    #: Items that are no calls: they tell ``@operations.finished`` of ends.
    news: int
    #: Dead letters that are no calls (any more): of those who were told, or of calls whose error was read once.
    other_letters: int
    #: The queues that have dead letters.
    queues: tuple[str, ...]


class Administration:
    """The calls on record.

    Arguments:
        calls: those of the service.
        queues: on which they stand.
    """

    def __init__(self, calls: Calls, queues: CallQueues) -> None:
        self._calls = calls
        self._queues = queues

    def calls(
        self, *, state: str | None = None, operation: str | None = None, owner: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Call]:  # fmt: skip
        """Calls, the newest first, read in pages; of operations that are not registered any more, too.

        Arguments:
            owner: as :attr:`User.owner` has it.
            limit: at most so many.

        Raises :class:`SpecError` on an unknown state.
        """
        check_state(state)
        return islice(self._calls_from_the_newest(owner, operation, state), limit)

    def _calls_from_the_newest(self, owner: str | None, operation: str | None, state: str | None) -> Iterator[Call]:
        after: tuple[int, str] | None = None
        while rows := self._calls.page(_PAGE, owner, operation, state, after):
            yield from map(Call.of, rows)
            after = rows[-1].create_time, rows[-1].id

    def call(self, tracking_id: str) -> Call:
        """One call. Raises :class:`CallNotFound`, :class:`CallGone`."""
        return Call.of(self._row(tracking_id))

    def _row(self, tracking_id: str) -> OperationRow:
        row = self._calls.find(tracking_id) if is_call_id(tracking_id) else None
        if row is None:
            raise CallNotFound(f"there is no call with the id {tracking_id}")
        if row.is_over:
            raise CallGone(f"of the call {tracking_id} nothing is kept any more: the time of its result is over")
        return row

    def look_into(self, tracking_id: str) -> Insight:
        """All that is known of a call but what it was called with. Raises :class:`CallNotFound`, :class:`CallGone`."""
        row = self._row(tracking_id)
        error, traceback = self._failure(row)
        _row, text = self._calls.outcome(tracking_id, consume=False) or (None, None)
        kind, size = _measured(results.decoded(text), text) if text is not None else (None, None)
        return Insight(Call.of(row), row.queue_name, row.item_id, error, traceback, kind, size)

    def _failure(self, row: OperationRow) -> tuple[str | None, str | None]:
        queue = self._queues.found(row)
        if queue is None:
            return None, None
        if row.state == "dead":
            letters = queue.dead_items([row.item_id])
            return (letters[0].error, letters[0].traceback) if letters else (None, None)
        item = queue.fetch_item(row.item_id) if row.state not in FINAL else None
        return (item.last_error or None, None) if item is not None else (None, None)

    def counts(self) -> Counts:
        """What stands on the queues of operations now."""
        queues = list(self._queues.standing())
        items = sum(queue.number_of_items() for queue in queues)
        letters = {queue.name: number for queue in queues if (number := queue.count_dead_items())}
        counted = [self._calls.counts(queue.name) for queue in queues]
        waiting, dead = sum(one[0] for one in counted), sum(one[1] for one in counted)
        # Counted one after the other: what has ended in between must not make it less than nothing.
        others = max(items - waiting, 0), max(sum(letters.values()) - dead, 0)
        return Counts(waiting, dead, *others, tuple(letters))

    def inactive(self) -> list[tuple[str, str, int]]:
        """The queues of operations that are not active although items stand on them: name, status, number of items."""
        found = ((queue.name, queue.status, queue.number_of_items()) for queue in self._queues.standing())
        return [each for each in found if each[1] != "active" and each[2]]


def _measured(value: Any, text: str) -> tuple[str, int]:
    if isinstance(value, File):
        return value.media_type, len(value.content)
    return "application/json", len(text.encode())
