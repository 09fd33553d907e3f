"""``ctx.transaction()`` has its effect exactly once, wherever its runner is killed with -9."""

from __future__ import annotations

import random

import pytest

from tests.faults.points import Point
from tests.faults.stage import AFTER_THE_LEASE, Stage
from tests.faults.tasks import effect, effect_on_hold
from tests.servers import ALL_DATABASES

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.parametrize("database_url", ALL_DATABASES, indirect=True),
    pytest.mark.parametrize("type", ["Sql", "SqlParallel"]),
]


@pytest.mark.parametrize("when", ["before", "after"])
def test_given_a_runner_killed_at_the_commit_of_an_effect_when_another_runs_then_each_effect_is_there_once(
    stage: Stage, type: str, when: str
) -> None:
    # given
    stage.create(type)
    stage.create_effects()
    stage.fill(*[effect] * 5)
    stage.start(point=Point("effect", when, 3)).wait_until_killed()
    # when
    result = stage.run_rest(AFTER_THE_LEASE)
    # then
    assert result and stage.queue.number_of_items() == 0
    assert [number for number, _fence in stage.effects()] == [1, 2, 3, 4, 5]
    assert stage.history.times("start")[3] == (2 if when == "before" else 1)


def test_given_a_runner_killed_inside_the_transaction_when_another_runs_then_each_effect_is_there_once(
    stage: Stage, type: str
) -> None:
    # given
    stage.create(type)
    stage.create_effects()
    stage.fill(effect, effect_on_hold, effect)
    victim = stage.start()
    stage.history.wait_for("inserted", number=2)
    victim.kill()
    # when
    stage.gate.let_through()
    result = stage.run_rest(AFTER_THE_LEASE)
    # then
    assert result and stage.queue.number_of_items() == 0
    assert [number for number, _fence in stage.effects()] == [1, 2, 3]
    assert stage.history.times("inserted") == {1: 1, 2: 2, 3: 1}


def test_given_runners_killed_at_random_until_all_is_done_then_each_effect_is_there_once(
    stage: Stage, type: str
) -> None:
    # given
    stage.create(type)
    stage.create_effects()
    stage.fill(*[effect] * 40)
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # shown by pytest when the test fails
    dice = random.Random(seed)
    # when
    kills = 0
    for _ in range(5):
        events = len(stage.history.lines("start")) + dice.randint(1, 6)
        victim = stage.start(shift=kills * AFTER_THE_LEASE)
        stage.history.wait_for("start", count=events)
        victim.kill()
        kills += 1
    result = stage.run_rest(kills * AFTER_THE_LEASE)
    # then
    assert result and stage.queue.number_of_items() == 0
    assert [number for number, _fence in stage.effects()] == list(range(1, 41))
    assert len(stage.history.lines("start")) <= 40 + kills, "more ran twice than what the dead had in hand"
