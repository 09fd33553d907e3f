"""The tests of leases find what they look for: without a protection, the same scenes end in violations.

Each protection is taken away on purpose, in the processes of the test alone.
"""

from __future__ import annotations

import pytest

from taskqueue import Runner, travel
from taskqueue.storage import claims, settling, stranded
from tests.faketime import Clock
from tests.faults.checks import overlaps
from tests.faults.child import LEASE, unguarded
from tests.faults.clocked import HOST_CLOCK, HOUR, Start, crowd, set_and_wait
from tests.faults.history import wait_until
from tests.faults.stage import AFTER_THE_LEASE, Stage
from tests.faults.tasks import hold_then_effect
from tests.faults.theatre import CASES, Theatre
from tests.servers import ALL_DATABASES, SERVER_DATABASES

pytestmark = pytest.mark.chaos
on_all_databases = pytest.mark.parametrize("database_url", ALL_DATABASES, indirect=True)
on_servers = pytest.mark.parametrize("database_url", SERVER_DATABASES, indirect=True)


@on_all_databases
def test_given_leases_by_the_hosts_clock_when_the_clocks_are_wrong_then_overlaps_are_reported(
    stage: Stage, request: pytest.FixtureRequest, start: Start
) -> None:
    stage.create("SqlParallel", agent="server", error="dead")
    # SQLite goes by the clock of the host anyway: there its processes must not have clocks of their own.
    is_sqlite = request.node.callspec.params["database_url"] == "sqlite"

    crowd(stage, start, seconds=0.1, without=() if is_sqlite else (HOST_CLOCK,))

    wait_until(lambda: bool(overlaps(stage.history.lines())), "an overlap is reported", stage.history.tail)


@on_all_databases
def test_given_no_fence_when_a_zombie_goes_on_then_its_effect_is_there_beside_that_of_its_heir(stage: Stage) -> None:
    # given
    stage.create("SqlParallel")
    stage.create_effects()
    stage.fill(hold_then_effect)
    zombie = stage.start(has_fence=False)
    stage.history.wait_for("start", number=1)
    zombie.freeze()
    # when: the heir has the item, and has not come to its end
    with travel(AFTER_THE_LEASE):
        heir = stage.queue.claim_item()
    assert heir is not None
    zombie.thaw()
    stage.gate.let_through()
    zombie.wait_until_done()
    # then
    assert [fence for _number, fence in stage.effects()] == [heir.fence - 1], "a stale holder has completed the item"
    assert stage.queue.fetch_item(heir.id) is None


@on_servers
@pytest.mark.parametrize("type", ["SqlParallel"])
@pytest.mark.parametrize("name", ["complete-steal", "claim-complete"])
def test_given_no_fence_when_two_operations_are_interleaved_then_violations_are_reported(
    theatre: Theatre, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (settling, claims):
        monkeypatch.setattr(module, "guarded", unguarded)

    assert theatre.violations(CASES[name])


def test_given_no_cap_when_the_clock_of_the_server_is_set_back_then_the_lease_of_a_dead_holder_stays(
    stage_by_clock: Stage, servers_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    monkeypatch.setattr(stranded.Stranded, "free", lambda *_: 0)
    stage = stage_by_clock
    stage.create("SqlParallel")
    stage.fill(hold_then_effect)
    dead = stage.start()
    stage.history.wait_for("start", number=1)
    dead.kill()
    # when
    set_and_wait(stage, servers_clock, -HOUR)
    Runner(stage.queue).run_all(wait=3 * LEASE)
    # then
    wait = stage.queue.wait()
    assert wait is not None and wait.seconds > HOUR - 20
