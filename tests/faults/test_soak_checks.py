"""The checker of a soak notices each kind of damage, and only damage."""

from __future__ import annotations

from typing import Any

import pytest

from tests.faults.soak_checks import violations

LEASE = 1.0


def start(number: int, fence: int, claimed: float) -> dict[str, Any]:
    return {"kind": "start", "number": number, "fence": fence, "until": claimed + LEASE}


def end(number: int, fence: int) -> dict[str, Any]:
    return {"kind": "end", "number": number, "fence": fence}


def finished(number: int, fence: int, outcome: str = "ok") -> dict[str, Any]:
    return {"kind": "finished", "number": number, "fence": fence, "outcome": outcome}


#: 1 is plain, 2 and 3 have effects and stand in a sequential queue.
CLEAN = [
    start(1, 1, 10.0),  # its holder stands still
    start(2, 1, 10.0),  # its holder is killed after its commit, before its line
    start(3, 2, 10.5),  # somebody has leased it ahead and given it back
    finished(3, 2, "retry"),
    start(3, 4, 10.6),
    finished(3, 4),
    start(1, 2, 11.0),
    end(1, 2),
    finished(1, 2),
    end(1, 1),  # thawed
    finished(1, 1, "lease_lost"),
]
EFFECTS = [(2, 1), (3, 4)]


def check(history: list[Any], effects: list[Any]) -> list[str]:
    return violations(history, effects, plain=[1], exact=[2, 3], ordered=[[2, 3]], lease=LEASE)


def test_given_a_clean_history_when_checked_then_nothing_is_said() -> None:
    assert check(CLEAN, EFFECTS) == []


def test_given_a_zombie_that_writes_its_start_late_when_checked_then_nothing_is_said() -> None:
    assert check([*CLEAN[1:], CLEAN[0]], EFFECTS) == []


@pytest.mark.parametrize(
    ("history", "effects", "said"),
    [
        ([line for line in CLEAN if line["kind"] != "end"], EFFECTS, "1 never came to its end"),
        (CLEAN, [(2, 1)], "3 has no effect"),
        (CLEAN, [*EFFECTS, (9, 1)], "9 has an effect and was never sent"),
        (CLEAN, [*EFFECTS, (3, 4)], "3 has 2 effects"),
        ([*CLEAN, start(1, 2, 11.0)], EFFECTS, "1 was started 2 times under fence 2"),
        ([*CLEAN, finished(1, 2)], EFFECTS, "1 was finished 2 times"),
        ([*CLEAN, start(1, 3, 20.0)], EFFECTS, "1 was finished under fence 2, and started under fence 3"),
        ([*CLEAN, start(2, 2, 20.0)], EFFECTS, "2 was finished under fence 1, and started under fence 2"),
        ([start(1, 1, 10.2), *CLEAN[1:]], EFFECTS, "1 was leased under fence 2, 0.200 s before the end of 1"),
        ([*CLEAN[:3], *CLEAN[4:]], EFFECTS, ""),
        ([*CLEAN[:3], finished(3, 2, "lease_lost"), *CLEAN[4:]], EFFECTS,
         "3 was leased under fence 4, 0.900 s before the end of 2"),
        ([CLEAN[2], *CLEAN[:2], *CLEAN[3:]], EFFECTS, "2 was started after 3"),
        (CLEAN, [(3, 4), (2, 1)], "2 was done after 3"),
    ],
)  # fmt: skip
def test_given_a_damaged_history_when_checked_then_exactly_the_damage_is_named(
    history: list[Any], effects: list[Any], said: str
) -> None:
    assert check(history, effects) == ([said] if said else [])
