"""Many who want the same call at the same moment: one gets it, the others are told so, and nothing is done twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from taskqueue import ItemNotFound, QueueService, Worker, travel
from taskqueue.operations import (
    Call,
    CallGone,
    CallNotFound,
    KeyReused,
    Limits,
    NotPossible,
    OperationFailed,
    Operations,
    StillRunning,
)
from tests.operations.conftest import contacts, names
from tests.operations.crowd import Count, Crowd, goes_back, watched

CLIENTS, ROUNDS = 20, 3


@pytest.fixture
def done() -> Count:
    """What was executed."""
    return Count()


@pytest.fixture
def crowd(url: str, service: QueueService, done: Count) -> Iterator[Crowd]:
    """Peers who note what they execute; "moody" fails as long as :attr:`moods` say so."""

    def register(ops: Operations) -> None:
        @ops.operation("note", queueable=True, idempotent=True, limits=Limits(pending=1, rate=1))
        def note(ctx: Any, data: Any) -> int:
            ctx.session.execute(contacts.insert().values(name=str(data)))
            return done.add(data)

        @ops.operation("free", queueable=True, idempotent=True)
        def free(ctx: Any, data: Any) -> int:
            return done.add(data)

        @ops.operation("moody", queueable=True, retry=1)
        def moody(ctx: Any, data: str) -> None:
            if done.add(data) == 1:
                raise OperationFailed("no") if data == "failed" else ValueError

    made = Crowd(url, register)
    yield made
    made.close()


@pytest.fixture
def ops(crowd: Crowd) -> Operations:
    """One of the peers."""
    return crowd.peers[0]


def answers(given: list[Any], *allowed: type[Exception]) -> list[Any]:
    """Those that are no error; the errors must be of these kinds."""
    for answer in given:
        if isinstance(answer, Exception) and not isinstance(answer, allowed):
            raise answer
    return [answer for answer in given if not isinstance(answer, Exception)]


# --- one key ---


@pytest.mark.parametrize("round", range(ROUNDS))
def test_a_key_that_many_defer_at_once_gives_one_call(
    crowd: Crowd, service: QueueService, done: Count, round: int
) -> None:
    calls = answers(crowd.at_once(lambda ops: ops.defer("note", "x", key="k"), count=CLIENTS))

    assert len(calls) == CLIENTS and len({call.id for call in calls}) == 1
    crowd.at_once(lambda ops: ops.drain(), count=4)
    assert (done.done, names(service)) == (["x"], ["x"])


@pytest.mark.parametrize("round", range(ROUNDS))
def test_a_key_with_which_many_call_at_once_is_executed_once(
    crowd: Crowd, service: QueueService, done: Count, round: int
) -> None:
    given = crowd.at_once(lambda ops: ops.call("note", "x", key="k"), count=CLIENTS)

    results = answers(given, StillRunning)
    assert set(results) == {1}, "who is told of a result is told of the one"
    assert len({error.tracking_id for error in given if isinstance(error, StillRunning)}) <= 1
    assert (done.done, names(service)) == (["x"], ["x"])
    assert answers(crowd.at_once(lambda ops: ops.call("note", "x", key="k"), count=CLIENTS)) == [1] * CLIENTS


@pytest.mark.parametrize("round", range(ROUNDS))
def test_a_key_with_which_some_call_and_some_defer_is_executed_once(
    crowd: Crowd, ops: Operations, done: Count, round: int
) -> None:
    given = crowd.at_once(
        *[lambda ops: ops.defer("note", "x", key="k").id, lambda ops: ops.call("note", "x", key="k")] * 10
    )

    found = answers(given, StillRunning)
    (tracking_id,) = {one for one in found if isinstance(one, str)}
    assert {one for one in found if isinstance(one, int)} <= {1}
    ops.drain()
    assert (done.done, ops.result(tracking_id)) == (["x"], 1)


@pytest.mark.parametrize("round", range(ROUNDS))
@pytest.mark.parametrize("operation", ["note", "free"])
def test_a_key_with_different_data_belongs_to_one_of_them(
    crowd: Crowd, ops: Operations, done: Count, round: int, operation: str
) -> None:
    given = crowd.at_once(
        *[lambda ops, data=data % 2: (data, ops.defer(operation, data, key="k").id) for data in range(CLIENTS)]
    )

    winners = set(answers(given, KeyReused))
    assert len(winners) == 1 and sum(isinstance(one, KeyReused) for one in given) == CLIENTS // 2
    ops.drain()
    assert done.done == [next(iter(winners))[0]]


def test_a_key_whose_time_is_over_is_taken_by_one_of_many(url: str, service: QueueService, done: Count) -> None:
    def register(ops: Operations) -> None:
        ops.operation("note", queueable=True, idempotent=True, result_ttl=1)(lambda ctx, data: done.add(data))

    crowd = Crowd(url, register)
    try:
        first = crowd.peers[0].defer("note", key="k")
        crowd.peers[0].drain()
        with travel(2):
            again = answers(crowd.at_once(lambda ops: ops.defer("note", key="k").id, count=CLIENTS))
            assert len(set(again)) == 1 and again[0] != first.id
    finally:
        crowd.close()


# --- one key, inside the transactions of applications ---


@pytest.fixture
def application(url: str, service: QueueService) -> Iterator[Callable[[], Session]]:
    """Opens sessions of an application, with an engine and the isolation that it has by default."""
    engine = service.engine if url.startswith("sqlite") else create_engine(url, pool_size=CLIENTS)
    yield lambda: Session(engine)
    if engine is not service.engine:
        engine.dispose()


@pytest.mark.parametrize("round", range(ROUNDS))
@pytest.mark.parametrize("reads_first", [False, True])
def test_a_key_that_many_transactions_store_at_once_gives_one_call(
    crowd: Crowd, ops: Operations, application: Callable[[], Session], done: Count, round: int, reads_first: bool
) -> None:
    ops.defer("free", "first")

    def work(ops: Operations) -> str:
        with application() as session, session.begin():
            if reads_first:
                session.execute(contacts.select()).all()
            return ops.defer("note", "x", key="k", session=session).id

    assert len(set(answers(crowd.at_once(work, count=CLIENTS)))) == 1
    ops.drain()
    assert sorted(done.done) == ["first", "x"]


def test_a_transaction_that_cannot_see_the_call_yet_is_given_it(
    ops: Operations, application: Callable[[], Session], url: str
) -> None:
    if url.startswith("sqlite"):
        pytest.skip("has one writer, before whose end nobody else stores anything")
    with application() as session, session.begin():
        session.execute(contacts.select()).all()  # where reads are repeatable, this is its moment
        ops.defer("free")
        first = ops.defer("note", "x", key="k")
        assert ops.defer("note", "x", key="k", session=session).id == first.id
        with pytest.raises(KeyReused):
            ops.defer("note", "y", key="k", session=session)


def test_of_two_transactions_with_a_key_one_is_rolled_back_and_the_other_stores_it(
    crowd: Crowd, ops: Operations, application: Callable[[], Session], done: Count
) -> None:
    ops.defer("free", "first")

    def work(ops: Operations) -> str | None:
        with application() as session:
            call = ops.defer("note", "x", key="k", session=session)
            if done.add(call.id) == 1:
                session.rollback()
                return None
            session.commit()
            return call.id

    kept, lost = sorted(crowd.at_once(work, work), key=lambda one: one is None)
    assert lost is None and isinstance(kept, str)
    ops.drain()
    assert ops.get(kept).state == "succeeded"


def test_a_key_is_free_again_after_the_rollback_of_a_savepoint(
    ops: Operations, application: Callable[[], Session], done: Count
) -> None:
    with application() as session, session.begin():
        savepoint = session.begin_nested()
        lost = ops.defer("note", "lost", key="k", session=session)
        savepoint.rollback()
        kept = ops.defer("note", "kept", key="k", session=session)
    ops.drain()
    assert (done.done, ops.get(kept.id).state) == (["kept"], "succeeded")
    with pytest.raises(CallNotFound):
        ops.get(lost.id)


# --- many workers ---


def test_one_call_is_executed_by_one_of_many_workers(crowd: Crowd, ops: Operations, done: Count) -> None:
    for number in range(5):
        call = ops.defer("free", number)
        crowd.at_once(lambda peer: Worker(peer.service, threads=1).drain(), count=8)
        assert (done.done, ops.get(call.id).state) == (list(range(number + 1)), "succeeded")


def test_many_calls_are_executed_once_each(crowd: Crowd, ops: Operations, done: Count) -> None:
    calls = [ops.defer("free", number) for number in range(100)]
    attempts = answers(crowd.at_once(lambda peer: peer.drain(), count=8))
    assert (sum(attempts), sorted(done.done)) == (100, list(range(100)))
    assert {ops.get(call.id).state for call in calls} == {"succeeded"}


# --- cancelling ---


@pytest.mark.parametrize("round", range(ROUNDS))
def test_a_call_that_is_cancelled_while_it_is_claimed_is_either(
    crowd: Crowd, ops: Operations, done: Count, round: int
) -> None:
    call = ops.defer("free")
    with watched(crowd.peers[-1], call.id) as seen:
        given = crowd.at_once(*[lambda peer: peer.drain()] * 2, *[lambda peer: peer.cancel(call.id)] * 2)
    answers(given, NotPossible)
    state = ops.get(call.id).state
    assert (state, len(done.done)) in (("cancelled", 0), ("succeeded", 1))
    assert goes_back(seen) == []


@pytest.mark.parametrize("round", range(ROUNDS))
def test_a_call_that_is_cancelled_and_forgotten_at_once_is_gone(
    crowd: Crowd, ops: Operations, done: Count, round: int
) -> None:
    call = ops.defer("free")
    with watched(crowd.peers[-1], call.id) as seen:
        given = crowd.at_once(
            lambda peer: peer.drain(),
            *[lambda peer: peer.cancel(call.id)] * 2,
            *[lambda peer: peer.forget(call.id)] * 2,
        )
    answers(given, NotPossible, CallNotFound)
    ops.drain()
    assert goes_back(seen) == []
    assert ops.service.load("operations").statistics()["dead"] == 0, "nothing is left of it"


# --- once more ---


@pytest.fixture(params=["dead", "failed"])
def ended(request: pytest.FixtureRequest, ops: Operations) -> Call:
    """A call that may be tried again, and will succeed then."""
    call = ops.defer("moody", request.param)
    ops.drain()
    found = ops.get(call.id)
    assert found.state == request.param
    return found


def test_of_many_who_retry_one_does(crowd: Crowd, ops: Operations, done: Count, ended: Call) -> None:
    with watched(crowd.peers[-1], ended.id) as seen:
        given = crowd.at_once(lambda peer: peer.retry(ended.id), count=8)
        crowd.at_once(lambda peer: peer.drain(), count=4)
    assert len(answers(given, NotPossible)) == 1
    assert (len(done.done), ops.get(ended.id).state) == (2, "succeeded")
    assert goes_back(seen) in ([], [(ended.state, "queued")], [(ended.state, "running")], [(ended.state, "succeeded")])


def test_a_retry_and_a_cancellation_at_once_do_not_leave_it_in_between(
    crowd: Crowd, ops: Operations, done: Count, ended: Call
) -> None:
    given = crowd.at_once(*[lambda peer: peer.retry(ended.id), lambda peer: peer.cancel(ended.id)] * 3)
    answers(given, NotPossible)
    ops.drain()
    state = ops.get(ended.id).state
    assert (state, len(done.done)) in (("cancelled", 1), ("succeeded", 2))


@pytest.mark.parametrize("round", range(ROUNDS))
def test_a_retry_and_a_forgetting_at_once_leave_all_or_nothing_of_it(
    crowd: Crowd, ops: Operations, done: Count, ended: Call, round: int
) -> None:
    given = crowd.at_once(*[lambda peer: peer.retry(ended.id), lambda peer: peer.forget(ended.id)] * 3)
    answers(given, NotPossible, CallNotFound)
    ops.drain()
    try:
        assert ops.get(ended.id).state == "succeeded"
        assert len(done.done) == 2
    except CallNotFound:
        assert len(done.done) == 1
    queue = ops.service.load("operations")
    assert queue.statistics() == dict.fromkeys(queue.statistics(), 0)


@pytest.mark.parametrize("round", range(ROUNDS))
def test_a_retry_and_the_revival_by_an_administrator_at_once_are_one(
    crowd: Crowd, ops: Operations, done: Count, round: int
) -> None:
    call = ops.defer("moody", "dead")
    ops.drain()
    (letter,) = ops.service.load("operations").dead_items()
    given = crowd.at_once(
        *[lambda peer: peer.retry(call.id), lambda peer: peer.service.load("operations").revive_item(letter.id)] * 3
    )
    assert len(answers(given, NotPossible, ItemNotFound)) == 1
    ops.drain()
    assert (len(done.done), ops.get(call.id).state) == (2, "succeeded")


# --- the result ---


@pytest.mark.parametrize("round", range(ROUNDS))
def test_a_result_that_many_consume_at_once_is_given_to_one(crowd: Crowd, ops: Operations, round: int) -> None:
    call = ops.defer("free")
    ops.drain()
    given = crowd.at_once(lambda peer: peer.result(call.id, consume=True), count=8)
    assert answers(given, CallGone) == [1]


# --- the deadline ---


def test_what_was_seen_to_have_expired_stays_so(ops: Operations, done: Count) -> None:
    call = ops.defer("free", expires=10)
    with travel(11):
        assert ops.get(call.id).state == "expired"
        assert ops.service.load("operations").claim_item() is None, "nobody can begin it any more"
        ops.drain()
        assert (ops.get(call.id).state, done.done) == ("expired", [])
        ops.forget(call.id)
        ops.drain()
    assert ops.service.load("operations").statistics()["dead"] == 0


def test_what_is_listed_as_expired_stays_so(ops: Operations) -> None:
    call = ops.defer("free", expires=10)
    with travel(11):
        assert [one.state for one in ops.calls(state="expired")] == ["expired"]
        assert ops.service.load("operations").claim_item() is None
        assert ops.get(call.id).state == "expired"


def test_what_was_claimed_after_its_deadline_is_running_until_it_has_expired(ops: Operations) -> None:
    call = ops.defer("free", expires=10)
    with travel(11):
        item = ops.service.load("operations").claim_item()
        assert item is not None and ops.get(call.id).state == "running"
        ops.service.load("operations").release_item(item)
        ops.drain()
        assert ops.get(call.id).state == "expired"


def test_calls_whose_items_were_taken_away_are_listed_as_they_are_shown(ops: Operations) -> None:
    dead, gone = ops.defer("moody", "dead"), ops.defer("free", delay=60)
    ops.drain()
    queue = ops.service.load("operations")
    (letter,) = queue.dead_items()
    queue.delete_dead_items([letter.id])
    queue.reset()
    assert [one.id for one in ops.calls(state="dead")] == [dead.id]
    assert [one.id for one in ops.calls(state="cancelled")] == [gone.id]
    assert {one.id: one.state for one in ops.calls()} == {dead.id: "dead", gone.id: "cancelled"}


# --- what should never be, and does no harm ---


def test_a_call_that_has_ended_otherwise_meanwhile_takes_its_writes_back(
    ops: Operations, service: QueueService
) -> None:
    """By nothing that can be called; by a hand in the database, say."""
    ends = "UPDATE {operation} SET state = 'cancelled', end_time = {now}, expire_time = {now} + 60000 WHERE id = :id"

    @ops.operation("late", queueable=True)
    def late(ctx: Any, data: Any) -> None:
        ops.service.database.statement(lambda tx: tx.change(ends, id=ctx.tracking_id))
        ctx.session.execute(contacts.insert().values(name="x"))

    call = ops.defer("late")
    ops.drain()
    assert (ops.get(call.id).state, names(service)) == ("cancelled", [])
