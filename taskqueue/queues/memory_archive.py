"""The archive of a ``Memory`` queue."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Generic, TypeVar

from .. import clock
from ..item import QueueItem
from ..settings import Settings
from ..storage.retention import Pruned
from .archive import Archive
from .archived import result_owner
from .dead_filter import DeadFilter
from .ended import DeadItem, Ending, Result
from .memory_records import BatchRecord

Record = TypeVar("Record")
#: Outcomes of attempts after which the item stands in the queue again.
_PASSING = ("abort", "retry")


class MemoryArchive(Archive, Generic[Record]):
    """What has ended, in this process.

    Arguments:
        lock: that of the queue.
        put_back: makes an item of a record again, with the error that it had died of.
        batches: those of the queue, by id.
    """

    def __init__(
        self,
        queue_name: str,
        settings: Settings,
        lock: AbstractContextManager[Any],
        put_back: Callable[[Record, str], None],
        batches: dict[int, BatchRecord],
    ) -> None:
        self._name = queue_name
        self._settings = settings
        #: That of the queue.
        self.lock = lock
        self._put_back = put_back
        self._batches = batches
        self._dead: dict[int, tuple[Record, DeadItem]] = {}
        self._history: defaultdict[int, list[Ending]] = defaultdict(list)
        #: How items ended, of those that did and not ok.
        self._outcomes: dict[int, str] = {}
        self._results: dict[int, tuple[Result, int]] = {}
        #: Nobody can tell of items up to this one how they ended, unless it is on record.
        self._forgotten = 0

    # --- coming in ---

    def bury(self, record: Record, letter: DeadItem) -> None:
        """Keep a record as a dead letter."""
        self._dead[letter.id] = record, letter

    def note(
        self, item_id: int, outcome: str, attempt: int, error: str | None = None, traceback: str | None = None
    ) -> None:
        """Write an ending down."""
        ending = Ending(item_id, outcome, attempt, error, traceback, clock.from_ms(clock.now_ms()))
        self._history[item_id].append(ending)
        if outcome == "revived":
            self._outcomes.pop(item_id, None)
        elif outcome not in _PASSING:
            self._outcomes[item_id] = outcome

    def keep_result(self, item_id: int, uid: str, text: str, lasting: int) -> None:
        """Keep a packed value, unless there is one."""
        moment = clock.now_ms()
        unpack = partial(self._settings.codec.unpack, text, self._name, result_owner(uid))
        self._results.setdefault(item_id, (Result(item_id, clock.from_ms(moment), unpack), moment + lasting))

    def reset(self, highest_id: int) -> None:
        """Drop the dead letters; of the items up to ``highest_id`` nobody can tell any more how they ended."""
        self._dead.clear()
        self._outcomes.clear()
        self._forgotten = max(self._forgotten, highest_id)

    def outcome(self, item_id: int) -> str | None:
        """How an item that is gone ended; None when nobody can tell."""
        if item_id in self._dead:
            return "dead"
        return self._outcomes.get(item_id) or ("ok" if item_id > self._forgotten else None)

    # --- dead letters ---

    def count(self) -> int:
        return len(self._dead)

    def letters(self, chosen: DeadFilter) -> Iterator[DeadItem]:
        with self.lock:
            return filter(chosen.matches, [letter for _id, (_record, letter) in sorted(self._dead.items())])

    def ids(self, chosen: DeadFilter) -> Iterator[int]:
        return (letter.id for letter in self.letters(chosen))

    def latest(self) -> DeadItem | None:
        return max(self.letters(DeadFilter()), key=lambda letter: letter.dead_time, default=None)

    def revive(self, ids: Sequence[int]) -> int:
        with self.lock:
            found = self._take(ids)
            for record, letter in found:
                self.note(letter.id, "revived", letter.failures)
                self._put_back(record, letter.error)
            return len(found)

    def delete(self, ids: Sequence[int]) -> int:
        with self.lock:
            found = self._take(ids)
            for _record, letter in found:
                self.note(letter.id, "delete", letter.failures, letter.error)
            return len(found)

    def _take(self, ids: Sequence[int]) -> list[tuple[Record, DeadItem]]:
        return [self._dead.pop(item_id) for item_id in sorted(set(ids)) if item_id in self._dead]

    # --- history and results ---

    def history(self, item_id: int) -> list[Ending]:
        with self.lock:
            return list(self._history.get(item_id, ()))

    def result(self, item_id: int) -> Result | None:
        result, until = self._results.get(item_id, (None, 0))
        return result if until > clock.now_ms() else None

    def store_result(self, item: QueueItem, text: str, lasting: int) -> None:
        with self.lock:
            self.keep_result(item.id, item.uid, text, lasting)

    # --- retention ---

    def prune(self, age: int, *, dead: bool, dry_run: bool) -> Pruned:
        """Forget what is older than ``age`` ms, dead letters only if told; a ``dry_run`` only counts."""
        with self.lock:
            moment = clock.now_ms()
            before = clock.from_ms(moment - age)
            endings = [ending for lines in self._history.values() for ending in lines if ending.end_time < before]
            letters = [*self.ids(DeadFilter(until=before))] if dead else []
            results = [item_id for item_id, (_result, until) in self._results.items() if until <= moment]
            batches = [each.id for each in self._batches.values() if 0 < each.end_time < moment - age]
            if not dry_run:
                self._forget(endings)
                self.delete(letters)
                for item_id in results:
                    del self._results[item_id]
                for batch_id in batches:
                    del self._batches[batch_id]
            return Pruned(len(endings), len(letters), len(results), batches=len(batches))

    def _forget(self, endings: Sequence[Ending]) -> None:
        for ending in endings:
            lines = self._history[ending.item_id]
            lines.remove(ending)
            if not lines:
                del self._history[ending.item_id]
                self._outcomes.pop(ending.item_id, None)
            self._forgotten = max(self._forgotten, ending.item_id)
