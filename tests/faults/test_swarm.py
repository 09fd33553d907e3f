"""Producers and runners at work, runners killed with -9 at random: every promise holds."""

from __future__ import annotations

import random
import threading
import time

import pytest

from tests.faults.checks import violations
from tests.faults.child import LEASE
from tests.faults.history import wait_until
from tests.faults.stage import Child, Stage
from tests.servers import ALL_DATABASES

pytestmark = [pytest.mark.chaos, pytest.mark.parametrize("database_url", ALL_DATABASES, indirect=True)]
SECONDS = 5.0


def test_given_producers_and_runners_when_runners_are_killed_at_random_then_every_promise_holds(stage: Stage) -> None:
    # given
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # shown by pytest when the test fails
    stage.create("SqlParallel")
    stage.create_effects()
    producers = [stage.start("produce", first=number * 1_000_000) for number in (1, 2)]
    runners = [stage.start("serve") for _ in range(3)]
    # when
    kills = kill_at_random(stage, runners, random.Random(seed))
    stage.announce_the_end()
    stage.history.write("healed")
    for producer in producers:
        producer.wait_until_done()
    # A servant may have found the queue empty, and ended, just before a producer's last item came.
    for runner in [*runners, stage.start("serve")]:
        runner.wait_until_done()
    stage.history.write("recovered")
    # then
    assert violations(stage.history.stream(), stage.effects(), lease=LEASE) == []
    assert stage.queue.statistics() == dict.fromkeys(stage.queue.statistics(), 0)
    assert stage.queue.status == "active"
    assert kills >= 5 and len(stage.effects()) >= 50, f"too little happened: {kills} kills, {len(stage.effects())} done"


def kill_at_random(stage: Stage, runners: list[Child], dice: random.Random) -> int:
    """Kill one runner after the other, each at a random moment and replaced at once; return how many."""
    stage.history.wait_for("finished", count=3)
    kills, end = 0, time.monotonic() + SECONDS
    while time.monotonic() < end:
        threading.Event().wait(dice.uniform(0.05, 0.6))
        place = dice.randrange(len(runners))
        runners[place].kill()
        stage.history.write("killed", pid=runners[place].pid)
        runners[place] = stage.start("serve")
        kills += 1
    started = len(stage.history.lines("finished"))
    wait_until(lambda: len(stage.history.lines("finished")) > started, "the last ones work", stage.history.tail)
    return kills
