"""The goals beside other task queues are judged round by round, and only where both sides were measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.peers.catalogue import CONTESTANTS
from benchmarks.peers.drain import Drained
from benchmarks.peers.figures import Figures, keep, kept
from benchmarks.peers.goals import GOALS, Goal, Side, table

OURS, THEIRS = Side("ours", "sqlite", 1), Side("theirs", "redis", 2)


def _figures(side: Side, *rates: float | None, count: int = 10_000) -> Figures:
    drains = [None if rate is None else Drained(rate, rate / 10, rate * 10, 1, 0, was_cut=False) for rate in rates]
    return Figures(side.name, side.server, "", side.workers, False, count, drains=drains)


def test_a_ratio_is_taken_within_each_round_in_which_neither_failed() -> None:
    figures = [_figures(OURS, 100, None, 900, 50), _figures(THEIRS, 50, 10, 300, None)]
    assert Goal(OURS, THEIRS, 1).ratios(figures) == [2, 3]


@pytest.mark.parametrize("other", [Side("ours", "mariadb", 1), Side("ours", "sqlite", 2), Side("else", "sqlite", 1)])
def test_a_contestant_is_known_by_name_server_and_workers(other: Side) -> None:
    assert Goal(other, THEIRS, 1).ratios([_figures(OURS, 1), _figures(THEIRS, 1)]) == []


def test_a_goal_for_so_many_tasks_is_not_judged_by_other_drains() -> None:
    goal = Goal(OURS, THEIRS, 1, count=100)
    assert goal.ratios([_figures(OURS, 6, count=99), _figures(THEIRS, 3, count=99)]) == []
    assert goal.ratios([_figures(OURS, 6, count=100), _figures(THEIRS, 3, count=100)]) == [2]


def test_the_table_shows_what_was_reached_and_what_was_missed() -> None:
    figures = [_figures(OURS, 100, 120, 300), _figures(THEIRS, 100, 100, 100)]
    goals = [Goal(OURS, THEIRS, 1), Goal(OURS, THEIRS, 1, "memory", at_most=True), Goal(OURS, Side("", "", 1), 1)]
    assert table(figures, goals).splitlines()[2:] == [
        "| rate: ours, sqlite, 1 worker / theirs, redis, 2 workers | ≥ 1 | **1.20** | 1.00 | 3.00 |",
        "| memory: ours, sqlite, 1 worker / theirs, redis, 2 workers | ≤ 1 | 1.20, missed | 1.00 | 3.00 |",
    ]
    assert table(figures, []) == ""


def test_figures_come_back_from_a_file_with_their_missing_rounds(tmp_path: Path) -> None:
    figures = [_figures(OURS, 100, None, 300)]
    keep(figures, tmp_path / "figures.json")
    assert kept(tmp_path / "figures.json") == figures


def test_every_goal_is_about_contestants_of_the_catalogue() -> None:
    known = {(one.name, one.server): one for one in CONTESTANTS}
    for side in (side for goal in GOALS for side in (goal.ours, goal.theirs)):
        assert known[side.name, side.server].is_parallel or side.workers == 1
