"""The checker of histories notices each kind of damage and names the promise that it broke; and only damage."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Callable, Iterator

import pytest

from tests.faults.account import Account
from tests.faults.checks import violations
from tests.faults.history import Line
from tests.faults.made_up import LEASE, SEQUENTIAL, MadeUp

SEEDS = range(20)
Damage = Callable[[MadeUp], None]


def check(made: MadeUp) -> list[str]:
    return violations(made.lines, made.effects, lease=LEASE, sequential=SEQUENTIAL)


def test_given_clean_histories_when_checked_then_nothing_is_said() -> None:
    assert {seed: check(MadeUp(random.Random(seed))) for seed in SEEDS} == {seed: [] for seed in SEEDS}


# --- each kind of damage --------------------------------------------------------------------------


def drop_an_effect(made: MadeUp) -> None:
    del made.effects[made.dice.randrange(len(made.effects))]


def drop_an_end(made: MadeUp) -> None:
    del made.lines[made.dice.choice(made.places("end"))]


def drop_all_of_a_task(made: MadeUp) -> None:
    number = made.dice.choice(made.effects)[0]
    made.lines = [line for line in made.lines if line["number"] != number or line["kind"] in ("sent", "acknowledged")]
    made.effects = [(other, fence) for other, fence in made.effects if other != number]


def invent_an_effect(made: MadeUp) -> None:
    made.effects.append((999_999, 1))


def invent_a_task(made: MadeUp) -> None:
    line = made.lines[made.dice.choice(made.places("start", queue="plain"))]
    made.lines.append({**line, "number": 999_999})


def give_a_fence_twice(made: MadeUp) -> None:
    """To somebody else, while or after its first holder was at work."""
    place = made.dice.choice(made.places("start"))
    made.lines.insert(place + 1, {**made.lines[place], "pid": 1})


def lease_too_early(made: MadeUp) -> None:
    """Who was killed or stood still had the task when somebody else got it."""
    starts: dict[int, list[Line]] = {}
    for place in made.places("start"):
        starts.setdefault(made.lines[place]["number"], []).append(made.lines[place])
    freed = {made.lines[place]["number"] for outcome in ("retry", "relinquish")
             for place in made.places("finished", outcome=outcome)}  # fmt: skip
    number = made.dice.choice([number for number, of_it in starts.items() if len(of_it) > 1 and number not in freed])
    holder, heir = sorted(starts[number], key=lambda line: int(line["fence"]))
    heir["until"] = holder["until"] + LEASE - made.dice.uniform(0.1, LEASE)


def double_an_effect(made: MadeUp) -> None:
    made.effects.append(made.dice.choice(made.effects))


def finish_twice(made: MadeUp) -> None:
    place = made.dice.choice(made.places("finished", outcome="ok"))
    made.lines.append(made.lines[place])


def let_a_stale_holder_have_its_effect(made: MadeUp) -> None:
    place = made.dice.choice([place for place, (_number, fence) in enumerate(made.effects) if fence > 1])
    number, fence = made.effects[place]
    made.effects[place] = number, fence - 1


def let_a_stale_holder_finish(made: MadeUp) -> None:
    line = made.lines[made.dice.choice(made.places("finished", outcome="ok"))]
    line["fence"] -= 1


def begin_what_is_finished(made: MadeUp) -> None:
    """By who had got the lease in good order, and its first holder was killed later."""
    of_it = made.lines[made.dice.choice(made.places("finished", outcome="ok"))]
    (start,) = (made.lines[place] for place in made.places("start", number=of_it["number"], fence=of_it["fence"]))
    made.lines.append({**start, "fence": start["fence"] + 1, "until": start["until"] + 9, "pid": 1})
    made.lines.append({"kind": "killed", "number": 0, "pid": start["pid"], "batch": 2})


def swap_two_starts(made: MadeUp) -> None:
    queue = made.dice.choice(SEQUENTIAL)
    firsts: dict[int, int] = {}
    for place in made.places("start", queue=queue):
        firsts.setdefault(made.lines[place]["number"], place)
    places = list(firsts.values())
    before = made.dice.randrange(len(places) - 1)
    one, other = places[before], places[before + 1]
    made.lines[one], made.lines[other] = made.lines[other], made.lines[one]


def swap_two_effects(made: MadeUp) -> None:
    queue = made.dice.choice(SEQUENTIAL)
    numbers = {made.lines[place]["number"] for place in made.places("start", queue=queue)}
    places = [place for place, (number, _fence) in enumerate(made.effects) if number in numbers]
    before = made.dice.randrange(len(places) - 1)
    one, other = places[before], places[before + 1]
    made.effects[one], made.effects[other] = made.effects[other], made.effects[one]


def recover_late(made: MadeUp) -> None:
    made.lines[-1]["mono"] += LEASE + 5 + made.dice.random()


def never_recover(made: MadeUp) -> None:
    del made.lines[-1]


def finish_late_what_was_in_hand(made: MadeUp) -> None:
    """Although all had been said to be done."""
    (healed,) = made.places("healed")
    late = made.lines[healed]["mono"] + LEASE + 5.1
    start = made.lines[
        made.dice.choice(
            [
                place
                for place in made.places("start", queue="plain")
                if place < healed and len(made.places("start", number=made.lines[place]["number"])) == 1
            ]
        )
    ]
    made.lines = [line for line in made.lines if not (line["kind"] == "finished" and line["number"] == start["number"])]
    made.lines.append({**start, "kind": "finished", "outcome": "ok", "mono": late})


def run_again_without_a_kill(made: MadeUp) -> None:
    killed = {made.lines[place]["pid"] for place in made.places("killed")}
    first = [made.lines[place]["pid"] for place in made.places("start")
             if made.lines[place]["pid"] in killed and is_begun_later(made, made.lines[place])]  # fmt: skip
    pid = made.dice.choice(first)
    made.lines = [line for line in made.lines if not (line["kind"] == "killed" and line["pid"] == pid)]


def run_more_again_than_one_had_in_hand(made: MadeUp) -> None:
    """Two tasks were begun by the one who was killed in the midst of one."""
    killed = {made.lines[place]["pid"] for place in made.places("killed")}
    of_killed = [made.lines[place] for place in made.places("start")
                 if made.lines[place]["pid"] in killed and is_begun_later(made, made.lines[place])]  # fmt: skip
    one, other = made.dice.sample(of_killed, 2)
    one["pid"] = other["pid"]


def is_begun_later(made: MadeUp, start: Line) -> bool:
    """Whether somebody else has begun the task under the next fence."""
    return bool(made.places("start", number=start["number"], fence=start["fence"] + 1))


@pytest.mark.parametrize(
    ("promise", "damage"),
    [
        ("I1", drop_an_effect),
        ("I1", drop_an_end),
        ("I1", drop_all_of_a_task),
        ("I1", invent_an_effect),
        ("I1", invent_a_task),
        ("I2", give_a_fence_twice),
        ("I2", lease_too_early),
        ("I3", double_an_effect),
        ("I3", finish_twice),
        ("I3", let_a_stale_holder_have_its_effect),
        ("I3", let_a_stale_holder_finish),
        ("I3", begin_what_is_finished),
        ("I4", swap_two_starts),
        ("I4", swap_two_effects),
        ("I5", recover_late),
        ("I5", never_recover),
        ("I5", finish_late_what_was_in_hand),
        ("I6", run_again_without_a_kill),
        ("I6", run_more_again_than_one_had_in_hand),
    ],
)
def test_given_damaged_histories_when_checked_then_the_broken_promise_is_named(promise: str, damage: Damage) -> None:
    named = {}
    for seed in SEEDS:
        made = MadeUp(random.Random(seed))
        damage(made)
        named[seed] = {sentence[:2] for sentence in check(made)}
    assert named == {seed: {promise} for seed in SEEDS}


# --- and without the lines that only a soak writes -------------------------------------------------


def test_given_no_leases_when_a_later_fence_was_given_out_before_then_that_is_said() -> None:
    lines: list[Line] = [
        {"kind": "sent", "number": 1},
        {"kind": "start", "number": 1, "fence": 2, "pid": 1},
        {"kind": "start", "number": 1, "fence": 1, "pid": 2},
    ]
    assert violations(lines, [(1, 2)], kills=1) == ["I2: 1 was started under fence 1 after a later one"]


def test_given_many_tasks_when_read_then_each_takes_a_few_bytes() -> None:
    def lines() -> Iterator[Line]:
        yield {"kind": "sent", "number": 0, "count": tasks}
        yield {"kind": "acknowledged", "number": 0, "count": tasks}
        for number in range(tasks):
            facts = {"number": number, "fence": 1, "pid": 1, "mono": 0.0}
            yield {"kind": "start", "until": 1.0, "queue": "first", "weight": 0, **facts}
            yield {"kind": "finished", "outcome": "ok", **facts}

    tasks = 50_000
    tracemalloc.start()
    try:
        account = Account(lines(), ((number, 1) for number in range(tasks)), SEQUENTIAL)
        kept, _most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sum(1 for _ in account.numbers(0)) == tasks
    assert kept / tasks < 250, "a million tasks must not fill the memory"
