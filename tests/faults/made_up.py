"""Histories that are made up at random: clean ones, in which all sorts of things happen to tasks and workers."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from tests.faults.history import Line

LEASE = 1.0
SEQUENTIAL = ("first", "second")
#: (queue, tasks): those of "plain" have no effects.
_QUEUES = (("plain", 30), ("exact", 30), ("first", 15), ("second", 15))
#: What may happen to a task, and how often it does.
_FATES = {"done": 10, "killed": 3, "killed_late": 2, "asleep": 3, "given_back": 2, "tried_again": 2}


@dataclass
class MadeUp:
    """One of them."""

    dice: random.Random
    lines: list[Line] = field(default_factory=list)
    effects: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._pids = count(100)
        self._numbers = count(1)
        streams = [self._stream(queue, tasks) for queue, tasks in _QUEUES for _ in range(1 + (queue not in SEQUENTIAL))]
        self._merge(streams)
        self._add_healing()

    def places(self, kind: str, **facts: Any) -> list[int]:
        """Where lines of a kind stand that have these facts."""
        wanted = {"kind": kind, **facts}
        return [place for place, line in enumerate(self.lines) if wanted.items() <= line.items()]

    def _stream(self, queue: str, tasks: int) -> list[list[Line]]:
        """What happens to the tasks of one producer, one after the other; an effect is a line here."""
        numbers = [next(self._numbers) for _ in range(tasks)]
        first: list[Line] = [
            _line(kind, numbers[0], count=tasks, plain=queue == "plain") for kind in ("sent", "acknowledged")
        ]
        unsure = next(self._numbers)  # sent, and never acknowledged
        steps = [[line] for line in [*first, _line("sent", unsure, plain=queue == "plain")]]
        weights = sorted(self.dice.randrange(5) for _ in numbers)
        for number, weight in zip(numbers, weights, strict=True):
            steps += [[line] for line in self._life(number, {"queue": queue, "weight": weight})]
        return steps

    def _life(self, number: int, place: dict[str, Any]) -> list[Line]:
        (fate,) = self.dice.choices(list(_FATES), list(_FATES.values()))
        pid, fence, until = next(self._pids), self.dice.randint(1, 3), self.dice.uniform(1000, 2000)
        start = _line("start", number, fence=fence, pid=pid, until=until, **place)
        if fate == "done":
            return self._to_the_end(start)
        if fate == "killed_late":  # after its commit, before its line
            return [*self._to_the_end(start)[:-1], _line("killed", 0, pid=pid)]
        heir = {**start, "fence": fence + 1, "pid": next(self._pids), "until": until + LEASE + self.dice.random()}
        if fate == "killed":
            return [start, _line("killed", 0, pid=pid), *self._to_the_end(heir)]
        if fate == "asleep":  # its line may be as late as its waking up
            late = _line("finished", number, fence=fence, pid=pid, outcome="lease_lost")
            before, after = ([start], [late]) if self.dice.random() < 0.7 else ([], [start, late])
            return [_line("frozen", 0, pid=pid), *before, *self._to_the_end(heir), *after]
        outcome = "retry" if fate == "tried_again" else "relinquish"
        heir["until"] = until + self.dice.uniform(0, LEASE / 2)
        return [start, _line("finished", number, fence=fence, pid=pid, outcome=outcome), *self._to_the_end(heir)]

    def _to_the_end(self, start: Line) -> list[Line]:
        facts = {name: start[name] for name in ("number", "fence", "pid")}
        done = "end" if start["queue"] == "plain" else "effect"
        return [start, {"kind": done, **facts}, {"kind": "finished", "outcome": "ok", **facts}]

    def _merge(self, streams: list[list[list[Line]]]) -> None:
        while streams:
            stream = self.dice.choice(streams)
            for line in stream.pop(0):
                if line["kind"] == "effect":
                    self.effects.append((line["number"], line["fence"]))
                else:
                    self.lines.append({**line, "mono": 50 + len(self.lines) / 1000})
            if not stream:
                streams.remove(stream)

    def _add_healing(self) -> None:
        """Nothing was done to anybody after the last fault."""
        last = max(self.places("killed") + self.places("frozen"))
        at = self.lines[last]["mono"]
        self.lines.insert(last + 1, _line("healed", 0, mono=at + 0.0001))
        self.lines.append(_line("recovered", 0, mono=self.lines[-1]["mono"] + 0.001))


def _line(kind: str, number: int, **facts: Any) -> Line:
    return {"kind": kind, "number": number, **facts}
