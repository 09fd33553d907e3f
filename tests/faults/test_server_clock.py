"""A database server whose own clock is set forward and back while leases stand."""

from __future__ import annotations

import time

import pytest

from taskqueue.errors import LeaseLost
from taskqueue.worker import roster
from tests.faketime import Clock
from tests.faults.checks import overlaps
from tests.faults.child import LEASE
from tests.faults.clocked import HOUR, set_and_wait
from tests.faults.stage import Stage
from tests.faults.tasks import hold, hold_then_effect

pytestmark = pytest.mark.chaos


@pytest.mark.parametrize("type", ["Sql", "SqlParallel"])
def test_given_a_dead_holder_when_the_clock_is_set_back_an_hour_then_its_item_is_free_after_two_leases(
    stage_by_clock: Stage, servers_clock: Clock, type: str
) -> None:
    # given
    stage = stage_by_clock
    stage.create(type)
    stage.create_effects()
    stage.fill(hold_then_effect)
    dead = stage.start()
    stage.history.wait_for("start", number=1)
    dead.kill()
    # when
    set_and_wait(stage, servers_clock, -HOUR)
    wait = stage.queue.wait()
    assert wait is not None and wait.seconds > HOUR - 2 * LEASE, "its lease has an hour more"
    stage.gate.let_through()
    began = time.monotonic()
    result = stage.run_rest()
    # then
    assert result.completed == 1
    assert time.monotonic() - began < 2 * LEASE + 5
    ((number, fence),) = stage.effects()
    assert (number, fence) == (1, stage.history.lines("start")[1]["fence"])
    assert stage.queue.number_of_items() == 0


def test_given_a_living_holder_when_the_clock_is_set_back_then_it_keeps_its_item(
    stage_by_clock: Stage, servers_clock: Clock
) -> None:
    # given
    stage = stage_by_clock
    stage.create("SqlParallel")
    stage.fill(hold)
    holder = stage.start()
    stage.history.wait_for("start", number=1)
    # when
    set_and_wait(stage, servers_clock, -HOUR)
    give_up = time.monotonic() + 3 * LEASE
    while time.monotonic() < give_up:
        stage.queue.announce()  # type: ignore[attr-defined]  # as whoever wants items does again and again
        assert stage.queue.claim_item() is None
        time.sleep(0.1)
    stage.gate.let_through()
    holder.wait_until_done()
    # then
    assert stage.history.times("end") == {1: 1}
    assert overlaps(stage.history.lines()) == []
    assert stage.queue.number_of_items() == 0


def test_given_a_holder_when_the_clock_is_set_forward_then_it_loses_its_lease_and_can_change_nothing(
    stage_by_clock: Stage, servers_clock: Clock
) -> None:
    # given
    stage = stage_by_clock
    stage.create("SqlParallel")
    stage.create_effects()
    stage.fill(hold_then_effect)
    holder = stage.start()
    stage.history.wait_for("start", number=1)
    held = stage.queue.fetch_item(next(stage.queue.items()).id)
    assert held is not None
    holder.freeze()  # else its heartbeat may come first, and finds that out by itself
    # when
    set_and_wait(stage, servers_clock, HOUR)
    heir = stage.queue.claim_item()
    assert heir is not None and heir.fence == held.fence + 1
    holder.thaw()
    stage.gate.let_through()
    holder.wait_until_done()
    # then
    (finished,) = stage.history.lines("finished")
    assert finished["outcome"] == "lease_lost"
    assert stage.effects() == []
    with pytest.raises(LeaseLost):
        stage.queue.delete_item(held)
    assert stage.queue.fetch_item(heir.id) == heir
    stage.queue.delete_item(heir)


def test_given_a_server_with_a_wrong_clock_when_a_worker_has_just_given_a_sign_of_life_then_its_age_is_small(
    stage_by_clock: Stage, servers_clock: Clock
) -> None:
    service = stage_by_clock.service
    set_and_wait(stage_by_clock, servers_clock, HOUR)

    roster.sign_of_life(service, [], 1, "serving")

    (worker,) = roster.workers(service)
    assert 0 <= worker.beat_age < 60, "that is by the clock of this host"
    assert worker.state == "serving"
