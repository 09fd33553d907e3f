"""What a history tells of each task, and of what was done to those who worked: read once, a few bytes a task.

The lines that count, with their facts; ``number`` is that of a task:

* ``sent`` and ``acknowledged``: number, and how many numbers (``count``) from there on; ``plain`` when the tasks have
  no effect of their own, so that their ``end`` says that they were done;
* ``start``: number, fence, pid, and if known ``until`` (the end of the lease by the database's clock, as given at the
  claim), queue and weight; ``end``: number; ``finished``: number, fence, outcome;
* ``killed`` and ``frozen``, whose pid is that of the victim, and ``server_killed``: the faults; who was killed may have
  had so many finished tasks (``batch``) in hand whose end was not stored yet;
* ``healed``: the latest fault is over; ``recovered``: all that was in hand then is done.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.faults.history import Line

#: (number, fence) of a row that a task has inserted in its own transaction.
Effect = tuple[int, int]
#: What a task may be: sent, acknowledged, without an effect of its own, come to its end.
SENT, ACKNOWLEDGED, PLAIN, ENDED = 1, 2, 4, 8
FAULTS = ("killed", "frozen", "server_killed")


class Start(NamedTuple):
    """A task was begun."""

    fence: int
    #: The end of its lease; NaN: not known.
    until: float
    #: By whom.
    pid: int


class Descent(NamedTuple):
    """One task of a sequential queue was "started" or "done" after another one that stands behind it."""

    number: int
    what: str
    before: int


@dataclass
class Healing:
    """A fault is over."""

    since: float
    #: What was begun and not finished then.
    in_hand: set[int]
    #: When the latest of these ended, or was begun again; how many seconds it took in all.
    latest: float = 0.0
    seconds: float | None = None


@dataclass
class _Order:
    """How far a sequential queue has come."""

    what: str
    place: tuple[int, int] = (-(2**63), 0)
    descents: list[Descent] = field(default_factory=list)

    def goes_on(self, weight: int, number: int) -> None:
        if (weight, number) < self.place:
            self.descents.append(Descent(number, self.what, self.place[1]))
        else:
            self.place = weight, number


class Account:
    """Everything that the promises are about.

    Arguments:
        sequential: the names of sequential queues. What stands in one of them is sent by one process at a time, and
            numbered in the order in which it is sent.
    """

    def __init__(self, history: Iterable[Line], effects: Iterable[Effect], sequential: Container[str] = ()) -> None:
        self._sequential = sequential
        self._places: dict[int, int] = {}
        #: By place: what the task is, its first start, its latest good end, its latest effect.
        self._state, self._ended, self._effects = bytearray(), bytearray(), bytearray()
        self._fence, self._end_fence, self._effect_fence = array("q"), array("q"), array("q")
        self._until, self._pid, self._weight, self._queue = array("d"), array("q"), array("q"), array("q")
        self._queues: dict[str, int] = {}
        self._further: defaultdict[int, list[Start]] = defaultdict(list)
        self._orders: defaultdict[tuple[str, int], _Order] = defaultdict(lambda: _Order(""))
        self._open: set[int] = set()
        #: How attempts ended that did not end well, by (number, fence).
        self.outcomes: dict[tuple[int, int], str] = {}
        #: Who was killed, and how many tasks may be run again for that; who stood still.
        self.killed: dict[int, int] = {}
        self.frozen: set[int] = set()
        self.healings: list[Healing] = []
        #: The one whose work is looked at, until the next fault.
        self._healing: Healing | None = None
        for line in history:
            if (reader := getattr(self, f"_read_{line['kind']}", None)) is not None:
                reader(line)
            if line["kind"] in FAULTS:
                self._healing = None
        for number, fence in effects:
            self._read_effect(number, fence)

    # --- what it tells ---

    def numbers(self, has: int, has_not: int = 0) -> Iterator[int]:
        """The tasks that are all of this and nothing of that."""
        return (number for number, place in self._places.items()
                if self._state[place] & has == has and not self._state[place] & has_not)  # fmt: skip

    def is_(self, number: int, what: int) -> bool:
        """Whether a task is that."""
        return bool(self._state[self._places[number]] & what)

    def effects_of(self, number: int) -> tuple[int, int]:
        """How many effects a task has, and the fence of the latest."""
        place = self._places[number]
        return self._effects[place], self._effect_fence[place]

    def good_ends_of(self, number: int) -> tuple[int, int]:
        """How often a task was finished, and the latest fence under which it was."""
        place = self._places[number]
        return self._ended[place], self._end_fence[place]

    def newest_fence_of(self, number: int) -> int:
        """The highest fence under which a task was begun; 0: it never was."""
        place = self._places[number]
        return max([self._fence[place], *(start.fence for start in self._further.get(place, ()))])

    def begun_again(self) -> Iterator[tuple[int, list[Start]]]:
        """The tasks that were begun more than once, and each time that they were, in the order of the lines."""
        for number, place in self._places.items():
            if place in self._further:
                first = Start(self._fence[place], self._until[place], self._pid[place])
                yield number, [first, *self._further[place]]

    def descents(self) -> Iterator[Descent]:
        """What was out of order in sequential queues."""
        for order in self._orders.values():
            yield from order.descents

    @property
    def again(self) -> int:
        """How many times a task was begun that had been begun before."""
        return sum(map(len, self._further.values()))

    # --- how the lines are read ---

    def _place(self, number: int) -> int:
        place = self._places.setdefault(number, len(self._places))
        if place == len(self._state):
            for column in (self._state, self._ended, self._effects, self._fence, self._end_fence, self._effect_fence,
                           self._pid, self._weight, self._queue):  # fmt: skip
                column.append(0)
            self._until.append(float("nan"))
        return place

    def _read_sent(self, line: Line) -> None:
        self._mark(line, SENT | PLAIN * bool(line.get("plain")))

    def _read_acknowledged(self, line: Line) -> None:
        self._mark(line, ACKNOWLEDGED)

    def _mark(self, line: Line, what: int) -> None:
        for number in range(line["number"], line["number"] + line.get("count", 1)):
            self._state[self._place(number)] |= what

    def _read_start(self, line: Line) -> None:
        number, fence = line["number"], line["fence"]
        place, until = self._place(number), line.get("until")
        start = Start(fence, float("nan") if until is None else until, line.get("pid", 0))
        self._touch(line)
        self._open.add(number)
        if self._fence[place]:
            self._further[place].append(start)
            return
        self._fence[place], self._until[place], self._pid[place] = start
        if (queue := line.get("queue")) in self._sequential:
            self._queue[place] = self._queues.setdefault(queue, len(self._queues) + 1)
            self._weight[place] = line["weight"]
            self._advance("started", place, number)

    def _advance(self, what: str, place: int, number: int) -> None:
        if self._queue[place]:
            order = self._orders[what, self._queue[place]]
            order.what = what
            order.goes_on(self._weight[place], number)

    def _read_end(self, line: Line) -> None:
        self._state[self._place(line["number"])] |= ENDED

    def _read_finished(self, line: Line) -> None:
        number, fence = line["number"], line["fence"]
        if line["outcome"] != "ok":
            self.outcomes[number, fence] = line["outcome"]
            return
        place = self._place(number)
        self._ended[place] = min(self._ended[place] + 1, 255)
        self._end_fence[place] = fence
        self._touch(line)
        self._open.discard(number)

    def _touch(self, line: Line) -> None:
        if self._healing is not None and line["number"] in self._healing.in_hand:
            self._healing.latest = max(self._healing.latest, line["mono"] - self._healing.since)

    def _read_effect(self, number: int, fence: int) -> None:
        place = self._place(number)
        if not self._effects[place]:
            self._advance("done", place, number)
        self._effects[place] = min(self._effects[place] + 1, 255)
        self._effect_fence[place] = fence

    def _read_killed(self, line: Line) -> None:
        self.killed[line["pid"]] = line.get("batch", 1)

    def _read_frozen(self, line: Line) -> None:
        self.frozen.add(line["pid"])

    def _read_healed(self, line: Line) -> None:
        self._healing = Healing(line["mono"], set(self._open))
        self.healings.append(self._healing)

    def _read_recovered(self, line: Line) -> None:
        self.healings[-1].seconds = line["mono"] - self.healings[-1].since
