"""The lists: newest first, a page at a time, filtered; a page costs the same at a thousand rows and at a million."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from .. import clock
from ..redact import redact_text
from ..service import QueueService
from ..storage import browse
from ..storage.browse import LOWEST, Bounds, DeadLine, Death, EndingLine, ItemLine
from ..storage.transaction import Transaction
from .filters import OUTCOMES, Filter
from .lines import Names, dead_facts, ending_facts, item_facts, state_of

#: Lines on a page.
PAGE = 50
#: What no index knows is looked for in parts of so many rows, for so long (seconds); then the page says how far it is.
_PART, _PATIENCE = 500, 0.12
#: The same of history.
_ENDINGS = 2_000
#: So many parts are gone through for the newest items of queues that are registered.
_MOST_PARTS = 40
#: A number that is asked for by itself may take longer.
_PATIENCE_TO_COUNT = 0.12
#: Who goes through all of a list looks up so many places at a time.
_AT_ONCE = 10_000
#: Up to so many queues are asked one by one for their newest items; with more, the newest of all are gone through.
_FEW = 20
_STATES: dict[str, Callable[[Transaction, str, Bounds, int], list[int]]] = {
    "": browse.standing, "waiting": browse.waiting, "running": browse.leased, "scheduled": browse.delayed,
}  # fmt: skip


class Page(NamedTuple):
    """One page of a list."""

    lines: list[dict[str, Any]]
    #: Where the next page begins; None: this is the last.
    next: str | None
    #: So many rows were looked at before patience was at its end; None: all that there is, as far as the page goes.
    examined: int | None = None


#: Which of the states that may be asked for an item is in.
_GROUP = {"waiting": "waiting", "running": "running", "silent": "running", "scheduled": "scheduled",
          "retrying": "scheduled"}  # fmt: skip
#: ``read(work)`` gives what ``work`` has read in a transaction of its own.
Read = Callable[[Callable[[Transaction], Any]], Any]


class _Line(Protocol):
    @property
    def id(self) -> int: ...


Line = TypeVar("Line", bound=_Line)
Place = TypeVar("Place", int, Death)


@dataclass(frozen=True)
class Source(Generic[Place, Line]):
    """A list as it is read."""

    #: The places after one, up to a number of them.
    after: Callable[[Transaction, Place, int], list[Place]]
    #: The lines of some ids, in the order of the list; those alone that a pattern may mean.
    read: Callable[[Transaction, Sequence[int], str | None], list[Line]]
    matches: Callable[[Line], bool]
    id_of: Callable[[Place], int]
    pattern: str | None
    #: Whether rows are left out that only a look at them can tell.
    sifts: bool

    def page(self, tx: Transaction, place: Place, limit: int) -> tuple[list[Line], Place | None, int | None]:
        """Up to ``limit`` lines after a place; where the next page begins, and how many rows were looked at when that
        is because of them."""
        if not self.sifts:
            places = self.after(tx, place, limit + 1)
            ids = [self.id_of(each) for each in places[:limit]]
            return self._lines(tx, ids), places[limit - 1] if len(places) > limit else None, None
        found: list[Line] = []
        began, examined = time.monotonic(), 0
        while places := self.after(tx, place, _PART):
            lines = self._lines(tx, [self.id_of(each) for each in places])
            if len(found) + len(lines) > limit:
                found += lines[: limit - len(found)]
                last = {self.id_of(each): each for each in places}[found[-1].id]
                return found, last, None
            found += lines
            place, examined = places[-1], examined + len(places)
            if len(places) < _PART:
                break
            if time.monotonic() - began > _PATIENCE:
                return found, place, examined
        return found, None, None

    def all(self, read: Read, place: Place) -> Iterator[list[Line]]:
        """All lines after a place, part by part, each looked up anew by ``read``: what was done to those before does
        not matter."""
        while True:
            places: list[Place] = read(self._places(place, _AT_ONCE))
            for start in range(0, len(places), _PART):
                ids = [self.id_of(each) for each in places[start : start + _PART]]
                yield read(partial(self._lines, ids=ids))
            if len(places) < _AT_ONCE:
                return
            place = places[-1]

    def count(self, read: Read, place: Place, most: int) -> tuple[int, bool]:
        """How many lines there are after a place, and whether there may be more: counting ends at ``most``, and where
        rows have to be looked at also when patience is at its end."""
        if not self.sifts:
            number = len(read(self._places(place, most + 1)))
            return min(number, most), number > most
        began, number = time.monotonic(), 0
        for lines in self.all(read, place):
            number += len(lines)
            if number > most or time.monotonic() - began > _PATIENCE_TO_COUNT:
                return min(number, most), True
        return number, False

    def _places(self, place: Place, limit: int) -> Callable[[Transaction], list[Place]]:
        return lambda tx: self.after(tx, place, limit)

    def _lines(self, tx: Transaction, ids: Sequence[int]) -> list[Line]:
        return [line for line in self.read(tx, ids, self.pattern) if self.matches(line)] if ids else []


class _Sought(NamedTuple):
    """Endings, the latest first: all that there are down to ``edge``, among so many that were looked at."""

    lines: list[EndingLine]
    edge: int = LOWEST
    examined: int = 0


class Lists:
    """The lists of one service, for somebody who may see some of its queues.

    Arguments:
        queues: the names of those.
        is_all: whether that is all there are.
        names: what items are called.
        sees: whether the history of a queue may be seen that is not, or no longer, among those; None: no.
    """

    def __init__(
        self, service: QueueService, queues: Sequence[str], *, is_all: bool, names: Names,
        sees: Callable[[str], bool] | None = None,
    ) -> None:  # fmt: skip
        self._service = service
        self._queues = dict.fromkeys(queues)
        self._sees = sees or self._queues.__contains__
        self._is_all = is_all
        self._names = names
        self._stale_after = clock.to_ms(service.settings.stale_after)

    def items(self, wanted: Filter, after: int | None, limit: int = PAGE) -> Page:
        """A page of items; ``after`` is what the page before said."""

        def read(tx: Transaction) -> Page:
            source, start = self.item_source(tx, wanted)
            lines, place, examined = source.page(tx, start if after is None else min(after, start), limit)
            facts = [item_facts(line, self._names, self._stale_after) for line in lines]
            return Page(facts, str(place) if place is not None else None, examined)

        return self._read(read)

    def item_source(
        self, tx: Transaction, wanted: Filter, moment: int | None = None
    ) -> tuple[Source[int, ItemLine], int]:
        """What the list of items is read from, and where it begins; ages count from ``moment`` (ms), or from now."""
        bounds = self._bounds(tx, wanted, browse.first_item_since, moment)
        state = _STATES[wanted.state]
        is_all = not wanted.queue and not wanted.state and (self._is_all or len(self._queues) > _FEW)

        def places(tx: Transaction, place: int, limit: int) -> list[int]:
            within = Bounds(bounds.above, min(place, bounds.below))
            if is_all and self._is_all:
                return self._of_all(tx, within, limit)
            if is_all:
                return [item_id for item_id, _name in browse.items(tx, within, limit)]
            found = [each for name in self._chosen(wanted) for each in state(tx, name, within, limit)]
            return sorted(found, reverse=True)[:limit]

        # Where some queues are hidden, the newest items of all are gone through, and theirs are left out.
        sifts = bool(wanted.text) or (is_all and not self._is_all)
        source = Source(places, browse.item_lines, partial(self._is_meant, wanted), lambda place: place,
                        _pattern(wanted), sifts)  # fmt: skip
        return source, bounds.below

    def _of_all(self, tx: Transaction, within: Bounds, limit: int) -> list[int]:
        """The newest items of all queues, but for those that are not registered: they belong to one process alone."""
        found: list[int] = []
        at_once = limit
        for _part in range(_MOST_PARTS):
            part = browse.items(tx, within, at_once)
            found += [item_id for item_id, name in part if name in self._queues]
            if len(found) >= limit or len(part) < at_once:
                break
            within, at_once = Bounds(within.above, part[-1][0]), max(limit, _PART)
        return found[:limit]

    def dead(self, wanted: Filter, after: Death | None, limit: int = PAGE) -> Page:
        """A page of dead letters, those that died last first."""

        def read(tx: Transaction) -> Page:
            source, start = self.dead_source(tx, wanted)
            lines, place, examined = source.page(tx, start if after is None else min(after, start), limit)
            facts = [dead_facts(line, self._names) for line in lines]
            return Page(facts, f"{place.time}.{place.id}" if place is not None else None, examined)

        return self._read(read)

    def dead_source(
        self, tx: Transaction, wanted: Filter, moment: int | None = None
    ) -> tuple[Source[Death, DeadLine], Death]:
        """What the list of dead letters is read from, and where it begins; ages count from ``moment``, or from now."""
        younger, older = wanted.ages()
        now = _now(tx) if moment is None else moment
        since = now - younger if younger is not None else 0
        start = Death(now - older) if older is not None else Death()

        def places(tx: Transaction, place: Death, limit: int) -> list[Death]:
            found = [each for name in self._chosen(wanted) for each in browse.dead(tx, name, place, since, limit)]
            return sorted(found, reverse=True)[:limit]

        meant = partial(self._is_meant, wanted)
        source = Source(places, browse.dead_lines, meant, lambda place: place.id, _pattern(wanted), bool(wanted.text))
        return source, start

    def history(self, wanted: Filter, after: int | None, limit: int = PAGE) -> Page:
        """A page of what has ended otherwise than ok."""

        def read(tx: Transaction) -> Page:
            bounds = self._bounds(tx, wanted, browse.first_ending_since)
            within = Bounds(bounds.above, bounds.below if after is None else min(after, bounds.below))
            names = [None] if not wanted.queue and self._is_all else self._chosen(wanted)
            outcomes = OUTCOMES.get(wanted.state, ())
            found, edge, examined = (
                self._sought(tx, names, outcomes, within, limit + 1)
                if outcomes
                else self._latest(tx, names, within, limit + 1)
            )
            # What a queue leaves behind that is gone is of no use here.
            lines = [ending_facts(line) for line in found[:limit] if line.queue_name in self._queues]
            if len(found) > limit:
                return Page(lines, str(found[limit - 1].id))
            return Page(lines, str(edge), examined) if edge > LOWEST else Page(lines, None)

        return self._read(read)

    def _latest(self, tx: Transaction, names: Sequence[str | None], bounds: Bounds, limit: int) -> _Sought:
        """The latest endings of some queues, whatever their outcomes."""
        return _Sought(_in_order(line for name in names for line in self._endings(tx, name, (), bounds, limit)))

    def _sought(
        self, tx: Transaction, names: Sequence[str | None], outcomes: Sequence[str], bounds: Bounds, limit: int
    ) -> _Sought:
        """The latest endings of some queues with these outcomes. No index knows them, and of what is rare there may be
        none in a million: all is gone through in parts, the latest first, for as long as patience lasts."""
        until, part = time.monotonic() + _PATIENCE, max(_ENDINGS // max(len(names), 1), 1)
        #: Down to where each queue was looked at that has more.
        edges = dict.fromkeys(names, bounds.below)
        found: list[EndingLine] = []
        examined = 0
        while edges:
            name, below = max(edges.items(), key=itemgetter(1))
            if below < bounds.below and (  # each was looked at once
                time.monotonic() > until or sum(line.id >= below for line in found) >= limit
            ):
                break
            edge = browse.ending_at(tx, name, Bounds(bounds.above, below), part)
            within = Bounds(bounds.above if edge is None else edge - 1, below)
            lines = self._endings(tx, name, outcomes, within, limit)
            found, examined = found + lines, examined + part
            if len(lines) == limit:  # and perhaps there are more of them in this part
                edge = lines[-1].id
            if edge is None:
                del edges[name]
            else:
                edges[name] = edge
        lowest = max(edges.values(), default=LOWEST)
        return _Sought(_in_order(line for line in found if line.id >= lowest), lowest, examined)

    def _endings(
        self, tx: Transaction, name: str | None, outcomes: Sequence[str], bounds: Bounds, limit: int
    ) -> list[EndingLine]:
        if name is not None:
            return browse.endings(tx, name, outcomes, bounds, limit)
        # Those of all queues are also those of queues that are gone, or have just come.
        found: list[EndingLine] = []
        at_once = limit
        while len(found) < limit:
            part = browse.endings(tx, None, outcomes, bounds, at_once)
            found += [line for line in part if line.queue_name in self._queues or self._sees(line.queue_name)]
            if len(part) < at_once:
                break
            bounds, at_once = Bounds(bounds.above, part[-1].id), max(limit, _PART)
        return found[:limit]

    def _chosen(self, wanted: Filter) -> Sequence[str]:
        if not wanted.queue:
            return [*self._queues]
        return [wanted.queue] if wanted.queue in self._queues else []

    def _bounds(
        self, tx: Transaction, wanted: Filter, first_since: Callable[[Transaction, int], int],
        moment: int | None = None,
    ) -> Bounds:  # fmt: skip
        younger, older = wanted.ages()
        now = _now(tx) if moment is None else moment
        above = first_since(tx, now - younger) - 1 if younger is not None else LOWEST
        return Bounds(above, first_since(tx, now - older) if older is not None else browse.HIGHEST)

    def _is_meant(self, wanted: Filter, line: ItemLine | DeadLine) -> bool:
        if line.queue_name not in self._queues:
            return False
        # Between the look at the index and this one it may have gone on.
        if isinstance(line, ItemLine) and wanted.state and _GROUP[state_of(line, self._stale_after)] != wanted.state:
            return False
        if not wanted.text:
            return True
        text = wanted.text.casefold()
        # What is not shown is not found, either: else secrets could be guessed letter by letter.
        error = redact_text((line.last_error if isinstance(line, ItemLine) else line.error) or "")
        return any(text in each.casefold() for each in (*self._names.of(line.data, line.queue_name, line.uid), error))

    def _read(self, work: Callable[[Transaction], Page]) -> Page:
        return self._service.database.statement(work, write=False)


def _pattern(wanted: Filter) -> str | None:
    return browse.like(wanted.text) if wanted.text else None


def _in_order(lines: Iterable[EndingLine]) -> list[EndingLine]:
    return sorted(lines, key=lambda line: line.id, reverse=True)


def _now(tx: Transaction) -> int:
    return int(tx.row("SELECT {now}")[0])
