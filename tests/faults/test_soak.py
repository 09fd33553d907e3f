"""Workers at work on each database while they, their producers and their server are killed with -9, and they are put to
sleep beyond their leases: every promise holds.

``make soak`` does it for as long as you like.
"""

from __future__ import annotations

import os
import random
import time
from typing import cast

import pytest

from tests.faults import figures
from tests.faults.account import Account
from tests.faults.checks import RECOVERY, broken
from tests.faults.child import LEASE
from tests.faults.soak import Aims, Soak
from tests.faults.stage import Stage
from tests.faults.supplies import QUEUES, SEQUENTIAL
from tests.servers import ALL_DATABASES, Server

pytestmark = [pytest.mark.chaos, pytest.mark.parametrize("database_url", ALL_DATABASES, indirect=True)]
IS_SOAK = bool(os.environ.get("SOAK_SECONDS"))
#: Seconds after the end of a lease, within which what was in hand is done on a machine that is busy with other tests.
BUSY = 30.0


@pytest.fixture
def database(request: pytest.FixtureRequest, database_url: str) -> str:
    """The name of the test's database."""
    return cast(str, request.node.callspec.params["database_url"])


@pytest.fixture
def server(request: pytest.FixtureRequest, database: str) -> Server | None:
    """The server of the test's database, if it has one."""
    return None if database == "sqlite" else cast(Server, request.getfixturevalue(f"{database}_server"))


def test_given_workers_producers_and_servers_that_are_killed_when_all_is_done_then_every_promise_holds(
    stage: Stage, database: str, server: Server | None
) -> None:
    # given
    seed, began = random.randrange(2**32), time.monotonic()
    print(f"seed {seed}")  # shown by pytest when the test fails
    aims = Aims.of_environment()
    soak = Soak(stage, aims, random.Random(seed), server)
    soak.create()
    # when
    soak.disturb()
    soak.finish()
    # then
    account = Account(stage.history.stream(), soak.effects(), SEQUENTIAL)
    found = broken(account, lease=LEASE, recovery=RECOVERY if IS_SOAK else BUSY)
    figures.note(
        database, tasks=soak.sent, worker_kills=soak.kills, sleeps=soak.sleeps, server_kills=soak.server_kills,
        tried_again=account.again, lost=count_of("I1", found), overlapping=count_of("I2", found),
        twice=count_of("I3", found), seconds_to_heal=round(max(soak.recoveries), 1), producer_kills=soak.producer_kills,
        heirs=soak.heirs, repairs=len(soak.recoveries), seconds=round(time.monotonic() - began),
    )  # fmt: skip
    assert found[:50] == []
    for name in QUEUES:
        queue = stage.service.load(name)
        assert queue.statistics() == dict.fromkeys(queue.statistics(), 0), f"queue {name}: {queue.statistics()}"
    assert soak.heirs >= aims.seconds // 40, "hardly any worker woke up in a task that somebody else had"
    stage.history.path.unlink()  # hundreds of megabytes, of no use when all is well


def count_of(promise: str, found: list[str]) -> int:
    """How often a promise was broken."""
    return sum(sentence.startswith(promise) for sentence in found)
