"""Acts: each effect once, an honest number, and a line in the record in the same transaction."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from taskqueue import QueueService, travel
from taskqueue.cli import main
from taskqueue.dashboard.acts import Acts
from taskqueue.errors import DatabaseError
from taskqueue.queues import settlement
from taskqueue.storage import audit
from taskqueue.storage.presence import TOKEN_LENGTH
from taskqueue.storage.transaction import Transaction
from tests.dashboard.conftest import MakeService
from tests.faults.lines import Lines
from tests.servers import SERVER_DATABASES, Server

ITEM_VERBS, DEAD_VERBS = ("retry", "skip", "delete"), ("revive", "delete")
VERBS = [*(("items", verb) for verb in ITEM_VERBS), *(("dead", verb) for verb in DEAD_VERBS)]


def record(service: QueueService) -> list[audit.Deed]:
    return service.database.statement(lambda tx: audit.page(tx, None, 2**62, 1000), write=False)


def standing(service: QueueService, what: str, verb: str, number: int, name: str = "jobs") -> tuple[Any, list[Any]]:
    """A queue with items, or dead letters, to which the verb may be done; and how they are named."""
    queue: Any = service.create("SqlParallel", name, batch_limit=1000)
    if what == "items":
        made = [queue.create_item(each, delay=3600 if verb == "retry" else None) for each in range(number)]
        return queue, [(item.id, item.fence) for item in made]
    queue.create_items(range(number))
    items = queue.claim_items(number)
    assert queue.settle(items, settlement.bury("no")) == []
    return queue, [item.id for item in items]


def do(service: QueueService, actor: str, what: str, verb: str, chosen: list[Any], name: str = "jobs") -> int:
    acts = Acts(service, actor)
    queue = acts.queue(name)
    return acts.on_items(queue, verb, chosen) if what == "items" else acts.on_dead(queue, verb, chosen)


def left(service: QueueService) -> tuple[Any, ...]:
    """How many rows of each kind there are."""
    tables = ("item", "dead", "ending", "audit")
    counts = [f"SELECT COUNT(*) FROM {{{table}}}" for table in tables]
    ready = "SELECT COUNT(*) FROM {item} WHERE release_time = 0"
    return service.database.statement(lambda tx: tuple(int(tx.row(each)[0]) for each in (*counts, ready)), write=False)


@pytest.mark.parametrize("number", [1, 7, 60])
@pytest.mark.parametrize(("what", "verb"), VERBS)
def test_two_who_do_it_at_once_do_it_once(make_service: MakeService, what: str, verb: str, number: int) -> None:
    services = [make_service(), make_service()]
    _queue, chosen = standing(services[0], what, verb, number)
    services[1].load("jobs").number_of_items()
    barrier = threading.Barrier(2)

    def at_once(index: int) -> int:
        order = chosen if index else chosen[::-1]
        barrier.wait()
        return do(services[index], f"user:{index}", what, verb, order)

    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(at_once, range(2)))
    assert sum(done) == number, "each item is in the number of one of them"
    lines = record(services[0])
    for index in range(2):
        mine = [line for line in lines if line.actor == f"user:{index}"]
        assert sum(line.number or 1 for line in mine) == done[index]
        assert {line.action for line in mine} <= {verb}
    named = [line.item_id for line in lines if line.item_id is not None]
    assert len(named) == len(set(named))
    items, dead, _endings, _audit, ready = left(services[0])
    expected = {"retry": number, "revive": number}.get(verb, 0)
    assert (items, dead, ready) == (expected, 0, expected)
    assert do(services[0], "user:late", what, verb, chosen) == 0
    assert len(record(services[0])) == len(lines)


@pytest.mark.parametrize("verb", ITEM_VERBS)
def test_what_has_moved_on_is_left_alone_and_not_counted(service: QueueService, verb: str) -> None:
    queue, chosen = standing(service, "items", verb, 4)
    stale = [(item_id, fence + 1) for item_id, fence in chosen[:2]]
    before = left(service)
    assert do(service, "user:a", "items", verb, stale) == 0
    assert left(service) == before
    assert do(service, "user:a", "items", verb, [*stale, *chosen[2:]]) == 2
    assert sorted(line.item_id or 0 for line in record(service)) == [item_id for item_id, _fence in chosen[2:]]
    assert queue.fetch_item(chosen[0][0]) is not None


@pytest.mark.parametrize("verb", ["skip", "retry", "take_over"])
def test_what_is_held_by_somebody_alive_stays_his(service: QueueService, verb: str) -> None:
    queue: Any = service.create("SqlParallel", "jobs")
    queue.create_item("x")
    item = queue.claim_item(lease_time=600)
    service.database.statement(lambda tx: tx.change(
        "UPDATE {holder} SET beat_time = {now}, beat_period = 3000"))  # fmt: skip
    assert do(service, "user:a", "items", verb, [(item.id, item.fence)]) == 0
    assert record(service) == []
    assert queue.delete_items([item]) == []


def _let_fall_silent(service: QueueService) -> None:
    def change(tx: Transaction) -> None:
        tx.change("UPDATE {item} SET holder = :token", token="t" * TOKEN_LENGTH)
        tx.change("INSERT INTO {holder} (token, label, start_time, beat_time, beat_period) "
                  "VALUES (:token, 'gone', 1, 1, 3000)", token="t" * TOKEN_LENGTH)  # fmt: skip

    service.database.transaction(change)


def test_what_is_held_by_somebody_silent_is_taken_over_once(make_service: MakeService) -> None:
    services = [make_service(stale_after=30), make_service(stale_after=30)]
    queue: Any = services[0].create("SqlParallel", "jobs")
    queue.create_item("x")
    item = queue.claim_item(lease_time=6000)
    _let_fall_silent(services[0])
    services[1].load("jobs").number_of_items()
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda each: do(each, "user:a", "items", "take_over", [(item.id, item.fence)]), services))
    assert sorted(done) == [0, 1]
    assert len(record(services[0])) == 1
    assert queue.delete_items([item]) == [item], "who was silent finds it gone"
    assert queue.claim_item().fence > item.fence


def test_who_is_asked_to_stop_twice_is_asked_once(service: QueueService) -> None:
    queue: Any = service.create("SqlParallel", "jobs")
    queue.create_item("x")
    item = queue.claim_item(lease_time=600)
    assert do(service, "user:a", "items", "delete", [(item.id, item.fence)]) == 1
    assert queue.fetch_item(item.id).is_cancelled
    assert do(service, "user:b", "items", "delete", [(item.id, item.fence)]) == 0, "it was asked already"
    assert [line.actor for line in record(service)] == ["user:a"]


def test_nothing_chosen_is_nothing_done(service: QueueService) -> None:
    standing(service, "items", "skip", 2)
    for what, verb in (*VERBS, ("items", "take_over")):
        assert do(service, "user:a", what, verb, []) == 0
    assert record(service) == []


def test_who_comes_to_life_again_keeps_what_was_claimed_since(
    service: QueueService, make_service: MakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given: a sequential queue, whose holder was silent
    queue: Any = service.create("Sql", "jobs")
    queue.create_items(["first", "second"])
    item = queue.claim_item(lease_time=600)
    _let_fall_silent(service)
    acts = Acts(make_service(), "user:a")
    mine, settle = acts.queue("jobs"), []

    def while_it_goes_on(tx: Transaction, held: Any, how: Any, *more: Any) -> set[int]:
        # It has ended the first item and claimed the second one, before the first could be taken from it.
        tx.change("UPDATE {item} SET state = 1, fence = 1, release_time = {now} + 60000 WHERE id > :id", id=item.id)
        settle.append(held)
        return set()

    monkeypatch.setattr(mine, "settle_within", while_it_goes_on)
    # when
    assert acts.on_items(mine, "take_over", [(item.id, item.fence)]) == 0
    # then
    assert settle == [[(item.id, item.fence)]]
    assert queue.statistics()["leased"] == 2


# --- the record ----------------------------------------------------------------------------------


@pytest.fixture
def broken_record(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From now on the database refuses each line."""

    def refuse(tx: Transaction, **_facts: Any) -> None:
        tx.change("INSERT INTO {audit} (time, actor, action, queue_name) VALUES (NULL, NULL, NULL, NULL)")

    return lambda: monkeypatch.setattr(audit, "add", refuse)


@pytest.mark.parametrize(("what", "verb"), [*VERBS, ("items", "take_over")])
def test_what_cannot_be_recorded_is_not_done(
    service: QueueService, what: str, verb: str, broken_record: Callable[[], None]
) -> None:
    queue, chosen = standing(service, what, verb if verb != "take_over" else "skip", 3)
    if verb == "take_over":
        chosen = [(item.id, item.fence) for item in queue.claim_items(3, lease_time=600)]
        _let_fall_silent(service)
    before = left(service)
    broken_record()
    with pytest.raises(DatabaseError):
        do(service, "user:a", what, verb, chosen)
    assert left(service) == before


def test_a_queue_is_neither_steered_nor_edited_without_a_record(
    service: QueueService, make_service: MakeService, broken_record: Callable[[], None]
) -> None:
    queue, _chosen = standing(service, "items", "skip", 1)
    acts = Acts(service, "user:a")
    assert acts.on_queue(queue, "pause") and not acts.on_queue(queue, "pause")
    assert acts.on_queue(queue, "resume")
    assert acts.edit(queue, {"lease_time": 77, "retry_limit": queue.spec.retry_limit}).keys() == {"lease_time"}
    assert [(line.action, line.queue_name) for line in record(service)] == [
        ("edit", "jobs"), ("resume", "jobs"), ("pause", "jobs")
    ]  # fmt: skip
    broken_record()
    with pytest.raises(DatabaseError):
        acts.on_queue(queue, "pause")
    with pytest.raises(DatabaseError):
        acts.edit(queue, {"lease_time": 5})
    seen = make_service().load("jobs")
    assert (seen.status, seen.spec.lease_time) == ("active", 77)


def test_more_than_fifty_are_one_line_with_their_number(service: QueueService) -> None:
    _queue, chosen = standing(service, "items", "skip", 51)
    assert do(service, "user:a", "items", "skip", chosen) == 51
    (line,) = record(service)
    assert (line.actor, line.action, line.queue_name, line.item_id, line.number) == ("user:a", "skip", "jobs", None, 51)


@pytest.mark.parametrize("actor", ["", "x" * 500, "a\0b", "\ud800", "ü" * 300, "'; DROP TABLE x; --"])
def test_whoever_acts_can_be_written_down(service: QueueService, actor: str) -> None:
    _queue, chosen = standing(service, "items", "skip", 1)
    assert do(service, actor, "items", "skip", chosen) == 1
    assert len(record(service)[0].actor) <= 191


def test_prune_removes_what_is_old(service: QueueService, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    acts = Acts(service, "user:a")
    acts.note("skip", "jobs", number=1)
    with travel(timedelta(days=40)):
        acts.note("skip", "jobs", number=2)
        with pytest.raises(SystemExit) as ended:
            main(["--database", url, "prune", "--older-than", "30d"])
    assert not ended.value.code
    assert [line.number for line in record(service)] == [2]


# --- lost answers --------------------------------------------------------------------------------


@pytest.fixture(params=SERVER_DATABASES)
def lines(request: pytest.FixtureRequest, shared_database: Callable[..., str]) -> Iterator[Lines]:
    server: Server = request.getfixturevalue(f"{request.param}_server")
    lines = Lines(server, shared_database(request.param, "lost_acts"))
    with lines.good.engine.begin() as connection:
        lines.good.database.statement(lambda tx: tx.row("SELECT {now}"))
        connection.execute(text("DELETE FROM taskqueue_audit"))
        connection.execute(text("DELETE FROM taskqueue_dead"))
        connection.execute(text("DELETE FROM taskqueue_item"))
    yield lines
    lines.close()


@pytest.mark.chaos
@pytest.mark.parametrize(("what", "verb"), VERBS)
def test_an_act_whose_answer_is_lost_is_done_once_and_counted(lines: Lines, what: str, verb: str) -> None:
    for number in (1, 5, 60):
        _queue, chosen = standing(lines.good, what, verb, number)
        lines.bad.create("SqlParallel", "jobs").number_of_items()
        before = len(record(lines.good))
        with lines.losing():
            assert do(lines.bad, "user:a", what, verb, chosen) == number
        written = record(lines.good)
        assert len(written) - before == (number if number <= 50 else 1)
        assert do(lines.good, "user:b", what, verb, chosen) == 0
        lines.good.load("jobs").delete()


@pytest.mark.chaos
def test_steering_whose_answer_is_lost_is_recorded_once_and_said_to_be_done(lines: Lines) -> None:
    lines.good.create("SqlParallel", "jobs")
    acts = Acts(lines.bad, "user:a")
    queue = acts.queue("jobs")
    with lines.losing():
        assert acts.on_queue(queue, "pause")
    assert lines.good.load("jobs").status == "paused"
    assert len(record(lines.good)) == 1
    acts.on_queue(queue, "resume")
