"""Workers at work on MariaDB while they are killed with -9 and put to sleep beyond their leases: every promise holds.

``make soak MINUTES=5`` does it for as long as you like.
"""

from __future__ import annotations

import os
import random
import time

import pytest

from tests.faults.child import LEASE
from tests.faults.soak import QUEUES, Soak
from tests.faults.soak_checks import violations
from tests.faults.stage import Stage

#: Of disturbance; without CI a short one, to be quick.
SECONDS = float(os.environ.get("SOAK_SECONDS") or (60 if os.environ.get("CI") else 8))
#: 20,000 in a minute.
ITEMS = round(20_000 * SECONDS / 60)

pytestmark = [pytest.mark.chaos, pytest.mark.parametrize("database_url", ["mariadb"], indirect=True)]


def test_given_workers_that_are_killed_and_put_to_sleep_when_all_is_done_then_every_promise_holds(stage: Stage) -> None:
    # given
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # shown by pytest when the test fails
    soak = Soak(stage, random.Random(seed))
    soak.create()
    soak.fill(ITEMS)
    # when
    workers = soak.disturb(SECONDS)
    left = soak.left()
    healed = time.monotonic()
    wait_until_idle(soak)
    for worker in workers:
        worker.end()
    # then
    numbers = soak.numbers
    exact = [number for name in QUEUES if name != "plain" for number in numbers[name]]
    print(f"{len(exact) + len(numbers['plain'])} items, {soak.kills} kills, {soak.sleeps} sleeps, "
          f"{soak.heirs} tasks with an heir, "
          f"{left} items left after {SECONDS:g} s and {time.monotonic() - healed:.0f} s to do them")  # fmt: skip
    assert violations(
        stage.history.lines(), soak.effects(), plain=numbers["plain"], exact=exact,
        ordered=[numbers["first"], numbers["second"]], lease=LEASE,
    ) == []  # fmt: skip
    for name in QUEUES:
        queue = stage.service.load(name)
        assert queue.statistics() == dict.fromkeys(queue.statistics(), 0), f"queue {name}: {queue.statistics()}"
    assert soak.kills >= SECONDS / 4, "too little happened"
    assert soak.heirs >= SECONDS // 20, "hardly any worker woke up in a task that somebody else had"


def wait_until_idle(soak: Soak) -> None:
    """Wait until nothing is left; fails only when nothing gets done any more."""
    before, since = soak.left(), time.monotonic()
    while before:
        time.sleep(0.1)
        left = soak.left()
        if left < before:
            before, since = left, time.monotonic()
        assert time.monotonic() - since < 60, f"{left} items are left, and none was done for 60 s"
