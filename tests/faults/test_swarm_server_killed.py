"""Producers and workers at work, their database server killed with -9 again and again: every promise holds."""

from __future__ import annotations

import random
import threading
import time
from typing import cast

import pytest

from tests.faults.checks import violations
from tests.faults.child import LEASE
from tests.faults.history import wait_until
from tests.faults.stage import Stage
from tests.servers import SERVER_DATABASES, Server

pytestmark = [pytest.mark.chaos, pytest.mark.parametrize("database_url", SERVER_DATABASES, indirect=True)]
KILLS, WORKERS, PRODUCERS = 10, 3, 2


@pytest.fixture
def server(request: pytest.FixtureRequest, database_url: str) -> Server:
    """The server of the test's database."""
    return cast(Server, request.getfixturevalue(f"{request.node.callspec.params['database_url']}_server"))


def test_given_producers_and_workers_when_their_server_is_killed_ten_times_then_every_promise_holds(
    stage: Stage, server: Server
) -> None:
    # given
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # shown by pytest when the test fails
    stage.create("SqlParallel", agent="server", error="dead")
    stage.create_effects()
    producers = [stage.start("produce", first=(number + 1) * 1_000_000) for number in range(PRODUCERS)]
    workers = [stage.start("work") for _ in range(WORKERS)]
    # when
    healed = kill_again_and_again(stage, server, random.Random(seed))
    stage.announce_the_end()
    for producer in producers:
        producer.wait_until_done()
    wait_until(lambda: not stage.queue.number_of_items(), "all is done", stage.history.tail)
    took = time.monotonic() - healed
    for worker in workers:
        worker.end()
    # then: each kill may have hit what each worker had in hand
    assert violations(stage.history.lines(), stage.effects(), KILLS * WORKERS) == []
    assert stage.queue.statistics() == dict.fromkeys(stage.queue.statistics(), 0)
    assert stage.history.times("finished", outcome="dead") == {}
    assert took < LEASE + 5, f"all was done only {took:.1f} s after the server was back"
    assert len(stage.effects()) >= 5 * KILLS, f"too little happened: {len(stage.effects())} done"


def kill_again_and_again(stage: Stage, server: Server, dice: random.Random) -> float:
    """Kill the server while everybody is at work, and start it again; return the moment when it was back for good."""
    for _ in range(KILLS):
        stage.history.wait_for("finished", count=len(stage.history.lines("finished")) + 5)
        threading.Event().wait(dice.uniform(0.0, 0.3))
        server.kill()
        threading.Event().wait(dice.choice([0.0, 0.0, 0.3]))
        server.start()
    return time.monotonic()
