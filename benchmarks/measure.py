"""Measuring contestants in turn, so that what disturbs one disturbs all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median

from .load import Load

Say = Callable[[str], None]


def nothing(count: int) -> None:
    """For a contestant that needs no preparation."""


@dataclass
class Contestant:
    """One way of doing ``count`` things; only ``run`` is timed."""

    name: str
    run: Callable[[int], None]
    #: Raises :class:`~benchmarks.work.Wrong` when something was lost or repeated, and leaves all clean.
    check: Callable[[int], None]
    prepare: Callable[[int], None] = nothing


@dataclass
class Figures:
    """What was measured of one contestant: things per second, one figure for each round."""

    name: str
    rates: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """The median of the rounds."""
        return median(self.rates)

    @property
    def microseconds(self) -> float:
        """For one thing."""
        return 1e6 / self.rate

    def ratios(self, floor: Figures) -> list[float]:
        """This over the floor, round by round."""
        return [rate / bare for rate, bare in zip(self.rates, floor.rates, strict=True)]


@dataclass
class Outcome:
    """All contestants of one benchmark on one database, the floor first."""

    database: str
    benchmark: str
    count: int
    figures: list[Figures]
    #: Cores used by other programs, for each round.
    foreign: list[float | None]


def compete(
    database: str, benchmark: str, contestants: Sequence[Contestant], *, count: int, slices: int, rounds: int, say: Say
) -> Outcome:
    """Let all run in turn: ``slices`` times ``count`` things each make a round."""
    outcome = Outcome(database, benchmark, count * slices, [Figures(one.name) for one in contestants], [])
    for one in contestants:
        _timed(one, max(count // 10, 10))  # connections, statements and caches as in a process that has worked
    for turn in range(rounds):
        load, seconds = Load(), [0.0] * len(contestants)
        for part in range(slices):
            for place in range(len(contestants)):
                index = (place + part + turn) % len(contestants)
                seconds[index] += _timed(contestants[index], count)
        outcome.foreign.append(load.foreign())
        for figures, taken in zip(outcome.figures, seconds, strict=True):
            figures.rates.append(count * slices / taken)
        rates = ", ".join(f"{figures.name} {figures.rates[-1]:,.0f}/s" for figures in outcome.figures)
        say(f"{database} {benchmark}, round {turn + 1} of {rounds}: {rates}")
    return outcome


def _timed(contestant: Contestant, count: int) -> float:
    contestant.prepare(count)
    began = time.perf_counter()
    contestant.run(count)
    seconds = time.perf_counter() - began
    contestant.check(count)
    return seconds
