"""Orders on all that a filter finds: exactly those that were there, each once, whatever happens to who carries them out."""

# ruff: noqa: E501 (lists of texts)
from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from taskqueue import QueueService, Runner, travel
from taskqueue.dashboard import bulk
from taskqueue.dashboard.bulk import Bulk, Order
from taskqueue.dashboard.filters import Filter
from taskqueue.errors import SpecError
from taskqueue.queues import settlement
from taskqueue.storage import audit, browse
from taskqueue.storage.transaction import Transaction
from tests.dashboard.conftest import MakeService

_ALL = Filter()
ORDERS = bulk.queue_of("user:adam")
CHECKOUT = Path(__file__).resolve().parents[2]
_CHILD = """
import sys
from taskqueue import QueueService, Runner, travel
from taskqueue.dashboard import bulk
service = QueueService(sys.argv[1], heartbeat=0.1, stale_after=0.4, lease_slice=1.0)
bulk.serve(service)
Runner(service.load(bulk.queue_of("user:adam"))).run_all()
"""


def order_for(service: QueueService, what: Any, verb: str, wanted: Filter = _ALL, queues: tuple[str, ...] = ("jobs",),
              **more: Any) -> Order:  # fmt: skip
    found = Bulk(service, what, wanted, queues, queues)
    bound, moment = found.now()
    number, _is_more = found.count(bound, moment)
    return replace(Order(what, verb, wanted, queues, queues, bound, moment, number, "user:adam", "title"), **more)


def fill(service: QueueService, name: str, number: int, dead: bool = False) -> list[int]:
    queue: Any = service.create("SqlParallel", name, batch_limit=10_000)
    before = {item.id for item in queue.items()}
    queue.create_items([f"{name} {each}" for each in range(number)])
    ids = [item.id for item in queue.items() if item.id not in before]
    if dead:
        queue.settle(queue.claim_items(number), settlement.bury("no"))
    return ids


def carry_out(service: QueueService) -> Any:
    bulk.serve(service)
    return Runner(service.load(ORDERS)).run_all()


def recorded(service: QueueService, name: str = "jobs") -> int:
    lines = service.database.statement(lambda tx: audit.page(tx, name, 2**62, 100_000), write=False)
    return sum(line.number or 1 for line in lines)


@pytest.mark.parametrize(
    ("what", "verb"), [("items", "skip"), ("items", "delete"), ("dead", "revive"), ("dead", "delete")]
)
def test_it_is_done_to_what_was_counted(service: QueueService, what: str, verb: str) -> None:
    is_dead = what == "dead"
    meant, hidden = fill(service, "jobs", 620, is_dead), fill(service, "hidden", 20, is_dead)
    order = order_for(service, what, verb)
    assert order.number == 620
    bulk.put(service, order, "a" * 32)
    time.sleep(0.05)
    late = fill(service, "jobs", 15, is_dead)
    assert carry_out(service).failed == 0
    queue, other = service.load("jobs"), service.load("hidden")
    letters = {letter.id for letter in queue.dead_items()} if is_dead else set()
    items = {item.id for item in queue.items()}
    assert (letters if is_dead else items) == set(late)
    assert items & set(meant) == (set(meant) if verb == "revive" else set())
    left = {one.id for one in (other.dead_items() if is_dead else other.items())}
    assert left == set(hidden)
    assert (recorded(service), recorded(service, "hidden")) == (620, 0)


def test_ages_count_from_the_moment_in_which_the_number_was_named(service: QueueService) -> None:
    # given
    fill(service, "jobs", 3)
    with travel(7200):
        young = fill(service, "jobs", 4)
        order = order_for(service, "items", "delete", Filter(until="1h"))
        assert order.number == 3
        bulk.put(service, order, "a" * 32)
    # when: by now the others are as old
    with travel(20_000):
        assert carry_out(service).failed == 0
    # then
    assert [item.id for item in service.load("jobs").items()] == young


def test_what_was_revived_after_the_number_was_named_stays(service: QueueService) -> None:
    # given: a dead letter, whose id is older than the bound
    (letter,) = fill(service, "jobs", 1, dead=True)
    fill(service, "jobs", 3)
    order = order_for(service, "items", "delete")
    bulk.put(service, order, "a" * 32)
    time.sleep(0.005)
    service.load("jobs").revive_item(letter)
    # when
    assert carry_out(service).failed == 0
    # then
    assert [item.id for item in service.load("jobs").items()] == [letter]


def test_what_has_failed_since_is_not_what_was_scheduled_then(service: QueueService) -> None:
    # given
    queue: Any = service.create("SqlParallel", "jobs", batch_limit=10_000)
    scheduled = queue.create_item("later", delay=3600)
    (failing,) = fill(service, "jobs", 1)
    order = order_for(service, "items", "skip", Filter(state="scheduled"))
    bulk.put(service, order, "a" * 32)
    time.sleep(0.005)
    (item,) = queue.claim_items(1)
    assert item.id == failing
    assert queue.settle([item], settlement.retry(3_600_000, "no")) == []
    # when
    assert (order.number, carry_out(service).failed) == (1, 0)
    # then
    assert [item.id for item in queue.items()] == [failing]
    assert scheduled.id != failing


def test_what_has_come_due_meanwhile_is_left_alone(service: QueueService, monkeypatch: pytest.MonkeyPatch) -> None:
    # given
    queue: Any = service.create("SqlParallel", "jobs", batch_limit=10_000)
    first, second = (queue.create_item(name, delay=3600) for name in ("first", "second"))
    order = order_for(service, "items", "delete", Filter(state="scheduled"))
    bulk.put(service, order, "a" * 32)
    look = browse.item_lines

    def while_one_is_claimed(tx: Transaction, ids: Any, pattern: str | None = None) -> Any:
        tx.change("UPDATE {item} SET state = 1, fence = fence + 1 WHERE id = :id", id=first.id)
        return look(tx, ids, pattern)

    monkeypatch.setattr(browse, "item_lines", while_one_is_claimed)
    # when: between the look at the index and that at the row
    assert carry_out(service).failed == 0
    # then
    (left,) = queue.items()
    assert (left.id, left.is_cancelled) == (first.id, False)
    assert second.id != first.id


def test_an_order_that_is_given_twice_is_one(service: QueueService) -> None:
    fill(service, "jobs", 10)
    order = order_for(service, "items", "skip")
    for _ in range(2):
        bulk.put(service, order, "a" * 32)
    assert service.load(ORDERS).number_of_items() == 1
    bulk.put(service, order, "b" * 32)
    assert carry_out(service).failed == 0
    assert recorded(service) == 10, "the second one found nothing any more"


def test_two_orders_at_once_do_each_once(make_service: MakeService, url: str) -> None:
    first, second = make_service(), make_service()
    fill(first, "jobs", 700)
    for key, verb in (("a", "skip"), ("b", "delete")):
        bulk.put(first, order_for(first, "items", verb), key * 32)
    children = [_child(url) for _ in range(2)]
    assert [child.wait(60) for child in children] == [0, 0]
    assert carry_out(second).failed == 0
    assert (first.load("jobs").number_of_items(), recorded(first)) == (0, 700)


def _child(url: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    return subprocess.Popen([sys.executable, "-c", _CHILD, url], cwd=CHECKOUT, env=environment)


@pytest.mark.chaos
def test_whoever_carries_it_out_may_be_killed_at_any_moment(make_service: MakeService, url: str) -> None:
    service, rng = make_service(heartbeat=0.1, stale_after=0.4, lease_slice=1.0), random.Random(4)
    meant = set(fill(service, "jobs", 3000))
    bulk.put(service, order_for(service, "items", "skip"), "a" * 32)
    for _ in range(3):
        child = _child(url)
        time.sleep(0.6 + rng.random() * 0.6)
        child.send_signal(signal.SIGKILL)
        child.wait(10)
    late = set(fill(service, "jobs", 5))
    bulk.serve(service)
    deadline = time.monotonic() + 30
    while service.load(ORDERS).number_of_items():
        Runner(service.load(ORDERS)).run_all()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    queue: Any = service.load("jobs")
    assert {item.id for item in queue.items()} == late
    assert recorded(service) == len(meant)
    endings = service.database.statement(
        lambda tx: tx.rows("SELECT COUNT(*), COUNT(DISTINCT item_id) FROM {ending} WHERE outcome = 'skipped'"),
        write=False,
    )
    assert [tuple(row) for row in endings] == [(3000, 3000)]


TAMPERED: list[dict[str, Any]] = [
    {"verb": "drop"}, {"verb": "revive"}, {"what": "queues"}, {"what": ["items"]}, {"bound": "1"}, {"bound": None},
    {"number": "x"}, {"moment": None}, {"wanted": {"state": "x"}}, {"wanted": None}, {"wanted": {"queue": "../x"}}, {"queues": None},
    {"queues": 5}, {"unknown": 1}, {"shown": None},
]  # fmt: skip


@pytest.mark.parametrize("change", TAMPERED, ids=str)
def test_what_is_no_order_is_refused(change: dict[str, Any]) -> None:
    data = Order("items", "skip", Filter(), ("jobs",), ("jobs",), 5, 1, 1, "user:a", "title").as_data()
    assert Order.of(data).verb == "skip"
    with pytest.raises(SpecError):
        Order.of({**data, **change})


@pytest.mark.parametrize("keys", [(), "a secret key of the tests"], ids=["plain", "signed"])
def test_an_order_altered_in_the_database_does_nothing_else(make_service: MakeService, keys: Any) -> None:
    service = make_service(secret_key=keys)
    fill(service, "jobs", 5)
    bulk.put(service, order_for(service, "items", "skip"), "a" * 32)
    service.database.statement(lambda tx: tx.change(
        "UPDATE {item} SET data = REPLACE(data, '\"verb\":\"skip\"', '\"verb\":\"take\"') WHERE queue_name = :queue",
        queue=ORDERS))  # fmt: skip
    result = carry_out(service)
    assert result.completed == 0
    assert (service.load("jobs").number_of_items(), recorded(service)) == (5, 0)
