"""What we want to reach beside others, and how far we got: a ratio for each round in which both were measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from .figures import Figures

SQL = ("sqlite", "mariadb", "postgresql")


@dataclass(frozen=True)
class Side:
    """A contestant of the catalogue with so many workers."""

    name: str
    server: str
    workers: int

    def __str__(self) -> str:
        return f"{self.name}, {self.server}, {self.workers} worker{'s' if self.workers > 1 else ''}"

    def among(self, figures: Sequence[Figures]) -> Figures | None:
        """Its figures, if it took part."""
        return next((one for one in figures if Side(one.name, one.server, one.workers) == self), None)


@dataclass(frozen=True)
class Goal:
    """One figure of ours is at least (or at most) so many times that of another."""

    ours: Side
    theirs: Side
    wanted: float
    figure: Literal["rate", "memory", "start"] = "rate"
    at_most: bool = False
    #: The goal is for drains of so many tasks; None: for any.
    count: int | None = None

    def __str__(self) -> str:
        count = f", {self.count:,} tasks" if self.count else ""
        return f"{self.figure}{count}: {self.ours} / {self.theirs}"

    def ratios(self, figures: Sequence[Figures]) -> list[float]:
        """One for each round in which neither failed; none if the goal is not for what was measured."""
        ours, theirs = self.ours.among(figures), self.theirs.among(figures)
        if ours is None or theirs is None or self.count not in (None, ours.count):
            return []
        return [
            getattr(our, self.figure) / getattr(their, self.figure)
            for our, their in zip(ours.drains, theirs.drains, strict=False)
            if our and their
        ]

    def is_met(self, ratio: float) -> bool:
        """Whether this is as wanted."""
        return ratio <= self.wanted if self.at_most else ratio >= self.wanted


def _run_all(server: str) -> Side:
    return Side("taskqueue Sql, run_all", server, 1)


def _parallel(server: str, workers: int = 2) -> Side:
    return Side("taskqueue SqlParallel", server, workers)


def _grouped(server: str, workers: int = 1) -> Side:
    return Side("taskqueue SqlParallel, grouped", server, workers)


_PREFORK = Side("Celery, prefork", "redis", 2)
_CIVICRM = Side("CiviCRM's statements", "mariadb", 1)
GOALS = [
    *(Goal(_run_all(server), Side("floor p100", server, 1), 0.75) for server in SQL),
    Goal(_run_all("mariadb"), _CIVICRM, 6, count=10_000),
    Goal(_run_all("mariadb"), _CIVICRM, 35, count=100_000),
    *(Goal(_parallel(server), Side("floor p100", server, 2), 0.75) for server in SQL),
    Goal(_parallel("mariadb"), _PREFORK, 3),
    Goal(_parallel("mariadb"), Side("Celery, acks_late, append file", "redis-aof", 2), 5.5),
    Goal(_parallel("mariadb"), Side("Celery, solo each", "redis", 2), 1.3),
    Goal(_parallel("mariadb"), Side("Dramatiq, 8 threads", "redis", 2), 1),
    Goal(_parallel("postgresql"), Side("Procrastinate", "postgresql", 2), 5),
    Goal(_parallel("postgresql"), Side("Oban, 100 at a time", "postgresql", 2), 1),
    Goal(_grouped("mariadb"), Side("floor b100", "mariadb", 1), 0.5),
    Goal(_grouped("postgresql"), Side("PgQueuer, batch 100", "postgresql", 1), 1.2),
    Goal(_grouped("sqlite"), Side("Huey on SQLite", "sqlite", 1), 6),
    *(Goal(_grouped(server, 2), _grouped(server, 1), 1) for server in SQL),
    Goal(_parallel("sqlite", 2), _parallel("sqlite", 1), 0.9),
    Goal(_parallel("mariadb"), _PREFORK, 0.8, "memory", at_most=True),
    Goal(_parallel("mariadb"), _PREFORK, 0.5, "start", at_most=True),
]


def table(figures: Sequence[Figures], goals: Sequence[Goal] = GOALS) -> str:
    """Markdown, empty if no goal can be judged."""
    lines = list(_rows(figures, goals))
    head = ["| goal | wanted | median | from | to |", "| --- | --: | --: | --: | --: |"]
    return "\n".join([*head, *lines]) if lines else ""


def _rows(figures: Sequence[Figures], goals: Sequence[Goal]) -> Iterator[str]:
    for goal in goals:
        if ratios := goal.ratios(figures):
            middle = median(ratios)
            shown = f"**{middle:.2f}**" if goal.is_met(middle) else f"{middle:.2f}, missed"
            sign = "≤" if goal.at_most else "≥"
            yield f"| {goal} | {sign} {goal.wanted:g} | {shown} | {min(ratios):.2f} | {max(ratios):.2f} |"
