"""How the queues stand: one line for each, and all of them together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, TypeVar

from .. import clock
from ..errors import DatabaseError
from ..metrics.kept import Kept, KeptByName
from ..metrics.trends import rates
from ..service import QueueService
from ..storage import browse, registry
from ..storage.browse import Numbers
from ..storage.reading import Reading
from ..storage.registry import Registration
from ..storage.transaction import Transaction
from .filters import AGES, OUTCOMES

#: Nothing is counted further.
MOST = 5_000
#: Of what has failed, the last so long (seconds).
RECENT = "1d"
#: What was counted is shown for so long (ms).
_SHOWN_FOR = 2000
Found = TypeVar("Found")


class Standing(NamedTuple):
    """A queue, and its numbers; none is above ``MOST`` + 1, which means "more"."""

    entry: Registration
    numbers: Numbers
    #: Attempts that have failed lately.
    failed: int


@dataclass(frozen=True)
class Detail:
    """What is looked up for the queues on a page only."""

    #: Since when the oldest item waits (seconds); None: none does.
    oldest: float | None
    #: How long (seconds) the most silent holder of an item has been silent, and whether that is too long.
    silent: float | None
    is_stale: bool
    #: Items done in each of the last 60 minutes.
    rate: Sequence[int]


class Overview:
    """The queues of a service; of each it is looked every two seconds at most, however many ask.

    Only queues that are registered in the database are there: those of type Memory live in another process as a rule.
    """

    def __init__(self, service: QueueService) -> None:
        self._service = service
        self.forget()

    def forget(self) -> None:
        """Something was changed here: look anew when somebody asks."""
        self._entries = Kept(partial(self._read, _readable), _SHOWN_FOR)
        self._counted = KeptByName(self._count, _SHOWN_FOR)
        self._details = KeptByName(self._look_into, _SHOWN_FOR)

    def names(self) -> list[str]:
        """The names of all queues, in their order."""
        return [*self._entries.get()]

    def with_payload(self, payload: str) -> list[str]:
        """The names of the queues whose items are of that kind."""
        return [name for name, entry in self._entries.get().items() if entry.options.get("payload") == payload]

    def standing(self, names: Sequence[str]) -> list[Standing]:
        """The queues of these names, in that order."""
        return [*self._counted.get(names).values()]

    def details(self, standing: Sequence[Standing]) -> dict[str, Detail]:
        """More on some queues, by name."""
        return self._details.get([each.entry.name for each in standing])

    def _count(self, names: list[str]) -> dict[str, Standing]:
        entries = self._entries.get()
        known = {name: entries[name] for name in names if name in entries}
        return self._read(partial(_count, entries=known))

    def _look_into(self, names: list[str]) -> dict[str, Detail]:
        done, stale_after = rates(self._service, names), clock.to_ms(self._service.settings.stale_after)
        standing = self.standing(names)
        return self._read(lambda tx: {each.entry.name: _detail(tx, each, stale_after, done) for each in standing})

    def _read(self, work: Callable[[Transaction], Found]) -> Found:
        return self._service.database.statement(work, write=False)


def _count(tx: Transaction, entries: Mapping[str, Registration]) -> dict[str, Standing]:
    since = int(tx.row("SELECT {now}")[0]) - AGES[RECENT] * 1000
    failed = partial(browse.count_endings, tx, outcomes=OUTCOMES["failed"], since=since, most=MOST + 1)
    return {name: Standing(entry, browse.numbers(tx, name, MOST + 1), failed(name)) for name, entry in entries.items()}


def _readable(tx: Transaction) -> dict[str, Registration]:
    """The registrations of all queues but templates, which hold nothing; a damaged one does not hide the others."""
    found: dict[str, Registration] = {}
    for name, read in registry.stored(tx):
        try:
            entry = read()
        except DatabaseError:
            entry = Registration(name, "?", "damaged", {})
        if not entry.options.get("is_template"):
            found[name] = entry
    return found


def _detail(tx: Transaction, each: Standing, stale_after: int, found: dict[str, list[int]]) -> Detail:
    name, numbers = each.entry.name, each.numbers
    waited = Reading(tx.dialect, name).longest_wait(tx) if numbers.waiting else None
    beat = browse.oldest_beat(tx, name, MOST) if numbers.running else None
    is_stale = beat is not None and beat[0] > max(stale_after, 2 * beat[1])
    return Detail(
        waited / 1000 if waited is not None else None, beat[0] / 1000 if beat else None, is_stale, found.get(name, [])
    )
