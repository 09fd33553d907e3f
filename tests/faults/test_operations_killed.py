"""Operations whose workers, whose clients and whose server are killed with -9 at every point.

Whatever happens, the call comes to a final state once a worker runs, and what it wrote in its transaction is there once
if it has succeeded, and not at all if it has not.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest
from sqlalchemy import event
from sqlalchemy.orm import Session

from taskqueue import QueueItem, travel
from taskqueue.operations import Call, OperationError, Operations, StillRunning
from tests.faults.child import LEASE
from tests.faults.chores import KEY, make_chores
from tests.faults.history import wait_until
from tests.faults.points import Point
from tests.faults.stage import AFTER_THE_LEASE, Child, Stage
from tests.servers import ALL_DATABASES, SERVER_DATABASES, Server

pytestmark = pytest.mark.chaos
everywhere = pytest.mark.parametrize("database_url", ALL_DATABASES, indirect=True)
on_servers = pytest.mark.parametrize("database_url", SERVER_DATABASES, indirect=True)
#: Where an operation is when it is interrupted, and what it has written to the history by then.
MOMENTS = {"before": "start", "after": "inserted"}
in_the_middle = pytest.mark.parametrize("holds", MOMENTS)


class Office:
    """The application of a test, in this process."""

    def __init__(self, stage: Stage, ops: Operations) -> None:
        self.stage = stage
        self.ops = ops

    def defer(self, operation: str = "chore", number: int = 1, holds: str = "") -> str:
        """Defer a call; its tracking id."""
        return self.ops.defer(operation, {"number": number, "holds": holds}).id

    def begin(self, holds: str, number: int = 1, shift: float = 0.0, *arguments: str) -> Child:
        """Start a worker, and wait until it is in the middle of a call."""
        count = len(self.stage.history.lines(MOMENTS.get(holds, "inserted"), number=number)) + 1
        child = self.stage.start("operate", shift=shift, arguments=arguments)
        self.stage.history.wait_for(MOMENTS.get(holds, "inserted"), number=number, count=count)
        return child

    def rest(self, shift: float = AFTER_THE_LEASE) -> None:
        """Execute what is left in this process, which nothing holds back any more."""
        self.stage.gate.let_through(8)
        with travel(shift):
            self.ops.drain()

    def ended(self, tracking_id: str, shift: float = AFTER_THE_LEASE) -> Call:
        """The call, which must have ended."""
        with travel(shift):
            call = self.ops.wait(tracking_id, 0)
        assert call.is_final, f"{call}\n{self.stage.history.tail()}"
        return call

    @property
    def written(self) -> list[int]:
        """The numbers of all rows."""
        return [number for number, _fence in self.stage.effects()]


@pytest.fixture
def office(stage: Stage) -> Iterator[Office]:
    stage.create_effects()
    yield Office(stage, make_chores(stage.service, stage.folder))


@pytest.fixture
def server(request: pytest.FixtureRequest, database_url: str) -> Server:
    """The server of the test's database."""
    return cast(Server, request.getfixturevalue(f"{request.node.callspec.params['database_url']}_server"))


# --- a worker ---

POINTS = [
    Point(work, when, nth) for work, nth in (("claim", 1), ("claim", 2), ("effect", 3)) for when in ("before", "after")
]


@everywhere
@in_the_middle
def test_given_a_worker_killed_in_mid_operation_then_the_call_is_executed_again(office: Office, holds: str) -> None:
    call = office.defer(holds=holds)
    office.begin(holds).kill()

    assert office.ops.get(call).state == "running", "nobody has noticed yet"
    office.rest()

    assert office.ended(call).state == "succeeded"
    assert (office.ops.result(call), office.written) == ("done 1", [1])
    assert [line["attempt"] for line in office.stage.history.lines("start")] == [1, 1], "a kill is no failure"


@everywhere
@in_the_middle
def test_given_a_worker_killed_in_mid_operation_that_may_not_be_repeated_then_it_is_dead(
    office: Office, holds: str
) -> None:
    call = office.defer("careful", holds=holds)
    office.begin(holds).kill()

    office.rest()

    assert office.ended(call).state == "dead"
    assert (office.written, office.stage.history.times("start")) == ([], {1: 1})
    with pytest.raises(OperationError, match="could not be executed"):
        office.ops.result(call)


@everywhere
@pytest.mark.parametrize("point", POINTS, ids=str)
def test_given_a_worker_killed_at_a_commit_then_all_calls_are_executed_and_all_rows_there_once(
    office: Office, point: Point
) -> None:
    calls = [office.defer(number=number) for number in range(1, 7)]
    office.stage.start("operate", point=Point(point.work, point.when, point.nth)).wait_until_killed()

    office.rest()

    assert [office.ended(call).state for call in calls] == ["succeeded"] * 6
    assert [office.ops.result(call) for call in calls] == [f"done {number}" for number in range(1, 7)]
    assert office.written == [1, 2, 3, 4, 5, 6]
    assert office.stage.service.load("operations").number_of_items() == 0


@everywhere
def test_given_three_workers_that_a_call_has_killed_then_it_is_dead_and_the_next_one_lives(office: Office) -> None:
    office.stage.service.settings.interrupt_limit = 3
    poison = office.defer("stubborn", holds="after")
    for kill in range(3):
        office.begin("after", 1, kill * AFTER_THE_LEASE).kill()
    other = office.defer(number=2)

    with travel(3 * AFTER_THE_LEASE):
        office.ops.drain()

    assert office.ended(poison, 3 * AFTER_THE_LEASE).state == "dead"
    assert office.ended(other, 3 * AFTER_THE_LEASE).state == "succeeded"
    assert (office.written, office.stage.history.times("start")) == ([2], {1: 3, 2: 1})


@everywhere
def test_given_a_worker_killed_while_it_tells_of_an_end_then_that_is_told_again(office: Office) -> None:
    call = office.defer()
    worker = office.stage.start("operate", arguments=("told",))
    office.stage.history.wait_for("told")
    worker.kill()
    assert office.ops.get(call).state == "succeeded"

    office.stage.start("operate", shift=AFTER_THE_LEASE, arguments=("told",)).wait_until_done()

    assert [(line["id"], line["state"]) for line in office.stage.history.lines("told")] == [(call, "succeeded")] * 2
    assert office.written == [1]


@everywhere
def test_given_a_worker_killed_between_an_end_and_the_telling_then_that_is_told(office: Office) -> None:
    call = office.defer()
    office.stage.gate.let_through()
    office.stage.start("operate", point=Point("effect", "after", 1), arguments=("told",)).wait_until_killed()
    assert office.stage.history.lines("told") == []

    office.stage.start("operate", shift=AFTER_THE_LEASE, arguments=("told",)).wait_until_done()

    assert [(line["id"], line["state"]) for line in office.stage.history.lines("told")] == [(call, "succeeded")]


# --- a worker that wakes up too late ---


@everywhere
@pytest.mark.parametrize("holds", ["before", "fail"])
def test_given_a_zombie_whose_call_was_finished_by_its_heir_then_it_changes_nothing(office: Office, holds: str) -> None:
    if holds == "fail" and office.ops.service.database.dialect.single_writer:
        pytest.skip("on SQLite the open transaction of the zombie keeps all heirs away")
    call = office.defer(holds=holds)
    zombie = office.begin(holds)
    office.stage.freeze(zombie)
    office.stage.gate.let_through()  # the heir, for what stands still cannot go through
    with travel(AFTER_THE_LEASE):
        office.ops.drain()
    first = office.ended(call)

    office.stage.gate.let_through()
    zombie.thaw()
    zombie.wait_until_done()

    assert office.ended(call) == first
    assert first.state == ("failed" if holds == "fail" else "succeeded")
    assert office.written == ([] if holds == "fail" else [1])
    assert office.stage.history.times("start") == {1: 2}
    assert office.stage.service.load("operations").dead_items() == []


@everywhere
@pytest.mark.parametrize("holds", ["before", "fail"])
def test_given_a_zombie_whose_call_is_in_the_hands_of_its_heir_then_it_changes_nothing(
    office: Office, holds: str
) -> None:
    if holds == "fail" and office.ops.service.database.dialect.single_writer:
        pytest.skip("on SQLite the open transaction of the zombie keeps all heirs away")
    call, queue = office.defer(holds=holds), office.stage.service.load("operations")
    zombie = office.begin(holds)
    office.stage.freeze(zombie)
    with travel(AFTER_THE_LEASE):
        held = queue.claim_item()
    assert held is not None

    office.stage.gate.let_through()
    zombie.thaw()
    office.stage.history.wait_for("inserted")
    wait_until(lambda: "lost its lease" in zombie.log_text() or "LeaseLost" in zombie.log_text(), "it is told so")

    assert queue.fetch_item(held.id) == held, "the zombie has changed the item"
    assert (office.ops.get(call).state, office.written) == ("running", [])


@everywhere
def test_given_a_zombie_whose_call_was_taken_from_the_queue_then_it_changes_nothing(office: Office) -> None:
    call = office.defer(holds="before")
    zombie = office.begin("before")
    office.stage.freeze(zombie)
    with travel(AFTER_THE_LEASE):
        office.stage.service.load("operations").reset()
        assert office.ops.get(call).state == "cancelled"

    office.stage.gate.let_through()
    zombie.thaw()
    zombie.wait_until_done()

    assert (office.ended(call).state, office.written) == ("cancelled", [])


@everywhere
def test_given_an_operation_that_outlasts_its_lease_then_that_is_renewed_and_nobody_takes_it(office: Office) -> None:
    call, queue = office.defer(holds="before"), office.stage.service.load("operations")
    office.begin("before")
    (first,) = queue.items()
    wait_until(lambda: _until(queue) > _until(queue, first) + LEASE, "the lease has been renewed beyond its first end")

    assert office.ops.drain(wait=False) == 0
    office.stage.gate.let_through()
    office.stage.history.wait_for("ended")

    assert (office.ended(call, 0).state, office.written) == ("succeeded", [1])
    assert office.stage.history.times("start") == {1: 1}


def _until(queue: Any, item: QueueItem | None = None) -> float:
    """The moment (seconds) at which the lease of the one item ends."""
    item = item or next(iter(queue.items()))
    assert item is not None and item.release_time is not None
    return item.release_time.timestamp()


# --- a client that calls directly ---


@everywhere
@in_the_middle
def test_given_a_client_killed_in_mid_operation_then_the_next_one_is_told_to_wait_and_takes_over(
    office: Office, holds: str
) -> None:
    data = {"number": 1, "holds": holds}
    client = office.stage.start("call", arguments=("chore", holds))
    office.stage.history.wait_for(MOMENTS[holds])
    client.kill()

    with pytest.raises(StillRunning) as told:
        office.ops.call("chore", data, key=KEY)
    office.stage.gate.let_through(8)
    with travel(AFTER_THE_LEASE):
        assert [office.ops.call("chore", data, key=KEY) for _ in range(2)] == ["done 1"] * 2

    assert office.ended(told.value.tracking_id).state == "succeeded"
    assert (office.written, office.stage.history.times("start")) == ([1], {1: 2})


@everywhere
def test_given_a_client_killed_in_mid_operation_when_a_worker_has_finished_it_then_the_next_one_is_given_that(
    office: Office,
) -> None:
    client = office.stage.start("call", arguments=("chore", "after"))
    office.stage.history.wait_for("inserted")
    client.kill()

    office.rest()

    assert office.ops.call("chore", {"number": 1, "holds": "after"}, key=KEY) == "done 1"
    assert (office.written, office.stage.history.times("start")) == ([1], {1: 2})


@everywhere
@pytest.mark.parametrize("when", ["before", "after"])
def test_given_a_client_killed_at_the_commit_then_the_next_one_is_given_the_one_result(
    office: Office, when: str
) -> None:
    office.stage.start("call", arguments=("chore", ""), point=Point("effect", when, 1)).wait_until_killed()

    with travel(AFTER_THE_LEASE):
        assert office.ops.call("chore", {"number": 1, "holds": ""}, key=KEY) == "done 1"

    assert (office.written, office.stage.history.times("start")) == ([1], {1: 2 if when == "before" else 1})


@everywhere
def test_given_a_client_killed_in_mid_operation_that_may_not_be_repeated_then_the_next_one_is_told_so(
    office: Office,
) -> None:
    client = office.stage.start("call", arguments=("careful", "before"))
    office.stage.history.wait_for("start")
    client.kill()

    with travel(AFTER_THE_LEASE), pytest.raises(OperationError, match="could not be executed"):
        office.ops.call("careful", {"number": 1, "holds": "before"}, key=KEY)

    assert (office.written, office.stage.history.times("start")) == ([], {1: 1})


@everywhere
def test_given_a_client_that_sleeps_past_its_lease_when_it_wakes_up_then_it_is_given_the_result_of_its_heir(
    office: Office,
) -> None:
    zombie = office.stage.start("call", arguments=("chore", "before"))
    office.stage.history.wait_for("start")
    office.stage.freeze(zombie)
    office.stage.gate.let_through()
    with travel(AFTER_THE_LEASE):
        office.ops.drain()

    office.stage.gate.let_through()
    zombie.thaw()
    zombie.wait_until_done()

    assert office.stage.history.lines("answered")[0]["answer"] == "done 1"
    assert (office.written, office.stage.history.times("start")) == ([1], {1: 2})


# --- many at once ---


@everywhere
def test_given_four_processes_that_drain_at_once_then_each_call_is_executed_once(office: Office) -> None:
    calls = [office.defer(number=number) for number in range(200)]
    patient = {"lease_slice": 30.0, "heartbeat": 3.0}  # on a busy machine nobody shall lose a lease
    drains = [office.stage.start("drain", is_gated=True, settings=patient) for _ in range(4)]
    office.stage.history.wait_for("ready", count=4)
    office.stage.gate.let_through(4)
    for drain in drains:
        drain.wait_until_done()

    assert office.written == list(range(200))
    assert office.stage.history.times("start") == dict.fromkeys(range(200), 1)
    assert sum(line["executed"] for line in office.stage.history.lines("ended")) == 200
    assert {office.ops.get(call).state for call in calls} == {"succeeded"}


# --- the server ---


@on_servers
@in_the_middle
def test_given_a_server_killed_in_mid_operation_when_it_is_back_then_the_worker_goes_on(
    office: Office, server: Server, holds: str
) -> None:
    call, other = office.defer(holds=holds), office.defer(number=2)
    office.begin(holds)

    server.kill()
    office.stage.gate.let_through(3)  # on a slow machine the lease ends meanwhile, and the call is tried again
    server.start()
    office.stage.history.wait_for("ended")

    assert [office.ended(one).state for one in (call, other)] == ["succeeded"] * 2
    assert office.written == [1, 2]
    assert {line["attempt"] for line in office.stage.history.lines("start")} == {1}, "an outage is no failure"


@on_servers
def test_given_a_server_killed_in_mid_operation_that_may_not_be_repeated_then_it_is_dead_or_there_once(
    office: Office, server: Server
) -> None:
    call = office.defer("careful", holds="after")
    office.begin("after")

    server.kill()
    office.stage.gate.let_through(3)
    server.start()
    office.stage.history.wait_for("ended")

    assert (office.ended(call).state, office.written) == ("dead", [])
    assert office.stage.history.times("start") == {1: 1}


@on_servers
@pytest.mark.parametrize("operation", ["chore", "careful"])
def test_given_a_server_killed_at_the_commit_then_the_call_is_executed_again_or_dead_as_it_says(
    office: Office, server: Server, operation: str
) -> None:
    call, outages = office.defer(operation), []

    def outage(session: Session) -> None:
        if not outages:
            outages.append(session)
            server.kill()
            server.start()

    event.listen(Session, "before_commit", outage)
    try:
        office.ops.drain()
    finally:
        event.remove(Session, "before_commit", outage)

    again = operation == "chore"
    assert office.ended(call, 0).state == ("succeeded" if again else "dead")
    assert (office.written, office.stage.history.times("start")) == ([1] * again, {1: 1 + again})


@on_servers
def test_given_a_server_killed_under_a_client_then_it_is_given_the_one_result(office: Office, server: Server) -> None:
    client = office.stage.start("call", arguments=("chore", "after"))
    office.stage.history.wait_for("inserted")

    server.kill()
    office.stage.gate.let_through(3)
    server.start()
    client.wait_until_done()

    with travel(AFTER_THE_LEASE):
        assert office.ops.call("chore", {"number": 1, "holds": "after"}, key=KEY) == "done 1"
    assert office.written == [1]
