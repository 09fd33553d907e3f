"""A runner that stands still for longer than its lease and then goes on: it can change nothing any more."""

from __future__ import annotations

from typing import Any

import pytest

from taskqueue import travel
from tests.faults.stage import AFTER_THE_LEASE, Child, Stage
from tests.faults.tasks import effect_on_hold, hold, hold_then_effect, hold_then_fail, record
from tests.servers import ALL_DATABASES, SERVER_DATABASES

pytestmark = pytest.mark.chaos
on_all_databases = pytest.mark.parametrize("database_url", ALL_DATABASES, indirect=True)
on_both_types = pytest.mark.parametrize("type", ["Sql", "SqlParallel"])


@on_all_databases
@on_both_types
def test_given_a_zombie_whose_item_was_finished_by_its_heir_when_it_succeeds_then_its_result_is_dropped(
    stage: Stage, type: str
) -> None:
    # given
    zombie = given_a_zombie_with_an_heir(stage, type, hold, shift=0)
    # when
    awake(stage, zombie)
    # then
    then_it_has_changed_nothing(stage)
    assert "lost its lease" in zombie.log_text()


@on_all_databases
@on_both_types
def test_given_a_zombie_whose_item_was_finished_by_its_heir_when_it_fails_then_the_queue_is_not_aborted(
    stage: Stage, type: str
) -> None:
    # given
    zombie = given_a_zombie_with_an_heir(stage, type, hold_then_fail)
    # when
    awake(stage, zombie)
    # then
    then_it_has_changed_nothing(stage)


@on_all_databases
@on_both_types
def test_given_a_zombie_whose_item_was_finished_by_its_heir_when_it_opens_its_transaction_then_it_is_rolled_back(
    stage: Stage, type: str
) -> None:
    # given
    stage.create_effects()
    zombie = given_a_zombie_with_an_heir(stage, type, hold_then_effect)
    # when
    awake(stage, zombie)
    # then
    assert_only_the_heirs_effect_is_there(stage)
    then_it_has_changed_nothing(stage)


# Not on SQLite: there an open transaction is the one writer, so that no heir can come in.
@pytest.mark.parametrize("database_url", SERVER_DATABASES, indirect=True)
@on_both_types
def test_given_a_zombie_inside_its_transaction_when_it_commits_after_its_heir_then_it_is_rolled_back(
    stage: Stage, type: str
) -> None:
    # given
    stage.create_effects()
    zombie = given_a_zombie_with_an_heir(stage, type, effect_on_hold)
    # when
    awake(stage, zombie)
    # then
    assert stage.history.times("inserted")[1] == 2
    assert_only_the_heirs_effect_is_there(stage)
    then_it_has_changed_nothing(stage)


@on_all_databases
@on_both_types
@pytest.mark.parametrize("task", [hold, hold_then_effect])
def test_given_a_zombie_whose_item_is_held_by_its_heir_when_it_goes_on_then_the_heir_can_finish(
    stage: Stage, type: str, task: Any
) -> None:
    # given
    stage.create(type)
    stage.create_effects()
    stage.fill(task)
    zombie = stage.start()
    stage.history.wait_for("start", number=1)
    stage.freeze(zombie)
    with travel(AFTER_THE_LEASE):
        held = stage.queue.claim_item()
    assert held is not None
    # when
    awake(stage, zombie)
    # then
    (finished,) = stage.history.lines("finished")
    assert finished["outcome"] == "lease_lost"
    assert stage.queue.fetch_item(held.id) == held, "the zombie has changed the item"
    assert (stage.queue.status, stage.effects()) == ("active", [])
    stage.queue.delete_item(held)


def given_a_zombie_with_an_heir(stage: Stage, type: str, task: Any, shift: float = AFTER_THE_LEASE) -> Child:
    """Its task stands still at the gate until its lease has ended and this process has finished the item."""
    stage.create(type)
    stage.fill(task)
    zombie = stage.start()
    stage.history.wait_for("inserted" if task is effect_on_hold else "start", number=1)
    zombie.freeze()
    stage.gate.let_through()  # the heir, for what stands still cannot go through
    result = stage.run_rest(shift)
    assert result and result.completed == 1, f"the heir did not finish the item: {stage.history.tail()}"
    stage.fill(record)  # what the zombie might damage
    return zombie


def awake(stage: Stage, zombie: Child) -> None:
    """Let the zombie go on to the end of its task, and of its run."""
    stage.gate.let_through()
    zombie.thaw()
    stage.history.wait_for("finished", pid=zombie.process.pid)
    zombie.wait_until_done()


def then_it_has_changed_nothing(stage: Stage) -> None:
    first, second = stage.history.lines("start")[:2]
    assert first["fence"] < second["fence"]
    outcomes = [line["outcome"] for line in stage.history.lines("finished", fence=first["fence"])]
    assert outcomes[0] == "lease_lost", stage.history.tail()
    assert stage.queue.status == "active", "the zombie has changed the status of the queue"
    assert stage.queue.dead_items() == []
    # What came in meanwhile was executed, once, by whoever was there: the zombie's run went on.
    assert stage.history.times("finished", outcome="ok") == {1: 2}
    assert stage.queue.number_of_items() == 0


def assert_only_the_heirs_effect_is_there(stage: Stage) -> None:
    heirs_fence = stage.history.lines("start")[1]["fence"]
    assert stage.effects() == [(1, heirs_fence)]
