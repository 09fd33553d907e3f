"""The checker of histories notices each kind of damage, and only damage."""

from __future__ import annotations

from typing import Any

import pytest

from tests.faults.checks import violations


def line(kind: str, number: int, fence: int = 0, **facts: Any) -> dict[str, Any]:
    return {"kind": kind, "number": number, "fence": fence, **facts}


CLEAN = [
    line("sent", 1),
    line("acknowledged", 1),
    line("sent", 2),
    line("start", 1, 1),  # killed in mid-task
    line("start", 2, 1),
    line("finished", 2, 1, outcome="ok"),
    line("start", 1, 2),
    line("finished", 1, 2, outcome="ok"),
]
EFFECTS = [(1, 2), (2, 1)]


def test_given_a_clean_history_when_checked_then_nothing_is_said() -> None:
    assert violations(CLEAN, EFFECTS, kills=1) == []


@pytest.mark.parametrize(
    ("more", "effects", "said"),
    [
        ([], [(2, 1)], "1 was acknowledged and is lost"),
        ([], [*EFFECTS, (3, 1)], "3 was done and never sent"),
        ([], [*EFFECTS, (2, 1)], "2 was done 2 times"),
        ([line("start", 2, 1)], EFFECTS, "2 was started under fence 1 after fence 1"),
        ([line("start", 1, 1)], EFFECTS, "1 was started under fence 1 after fence 2"),
        ([], [(1, 1), (2, 1)], "1 was done under fence 1, but last started under 2"),
        ([line("start", 2, 2)], [(1, 2), (2, 2)], "2 tasks were run again, though only 1 runners were killed"),
    ],
)
def test_given_a_damaged_history_when_checked_then_the_damage_is_named(
    more: list[Any], effects: list[Any], said: str
) -> None:
    assert any(said in sentence for sentence in violations([*CLEAN, *more], effects, kills=1))
