"""Two do the same on different nodes, one of them up to its commit before the other begins: it happens once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import text

from taskqueue import QueueItem, QueueService, Task
from taskqueue.channels import Channels
from taskqueue.periodic import tick
from taskqueue.queues.settlement import bury
from taskqueue.queues.sql_base import SqlBase
from tests.faults.across import across
from tests.faults.child import make_service
from tests.faults.conftest import CLUSTER_SETTINGS
from tests.faults.tasks import record
from tests.galera import Cluster

pytestmark = pytest.mark.chaos
Pair = tuple[SqlBase, SqlBase]


@pytest.fixture
def pair(pinned: list[QueueService]) -> Pair:
    """One queue on two nodes."""
    here, there = (service.create("SqlParallel", "mail", error="dead") for service in pinned[:2])
    assert isinstance(here, SqlBase) and isinstance(there, SqlBase)
    return here, there


def test_given_a_message_when_two_nodes_receive_it_at_the_same_moment_then_one_has_it(
    pinned: list[QueueService], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = Channels(pinned[0]), Channels(pinned[1])
    here.send("orders", 1, producer="shop", consumer="billing")
    assert there.is_waiting("orders", consumer="billing")

    one, other = across(
        lambda: here.get("orders", consumer="billing"), lambda: there.get("orders", consumer="billing"), monkeypatch
    )

    assert one is None
    assert other is not None and other.data == 1


def test_given_a_message_of_a_broker_when_two_nodes_take_it_in_then_it_is_stored_once(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = pair

    answers = across(lambda: here.receive("data", "key", None), lambda: there.receive("data", "key", None), monkeypatch)

    assert answers == (False, True)
    assert here.number_of_items() == 1


def test_given_a_dead_letter_when_two_nodes_revive_it_then_it_stands_once(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = pair
    here.create_item("letter")
    item = here.claim_item()
    assert item is not None
    here.settle([item], bury("no use"))

    across(here.revive_items, there.revive_items, monkeypatch)

    assert [item.data for item in there.items()] == ["letter"]
    assert there.count_dead_items() == 0


def test_given_a_schedule_that_is_due_when_two_nodes_look_then_one_item_comes(
    pair: Pair, pinned: list[QueueService], cluster: Cluster, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = pinned[:2]
    here.schedule("nightly", "0 3 * * *", Task(record, ["", 1]), queue="mail")
    cluster.execute("UPDATE taskqueue_periodic SET next_time = 1", database=database)

    across(lambda: tick(here), lambda: tick(there), monkeypatch)

    assert pair[0].number_of_items() == 1


def test_given_the_last_two_of_a_batch_when_two_nodes_finish_them_then_what_follows_comes_once(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = pair
    batch = here.create_batch(["one", "two"], on_finished=Task(record, ["", 1]))
    mine, others = here.claim_item(), there.claim_item()
    assert mine is not None and others is not None

    across(lambda: here.delete_item(mine), lambda: there.delete_item(others), monkeypatch)

    assert [type(item.data) for item in there.items()] == [Task]
    assert there.batch(batch.id).pending == 0


def test_given_an_item_when_one_node_completes_it_and_another_steals_it_then_one_of_them_succeeds(
    pair: Pair, cluster: Cluster, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = pair
    cluster.execute("CREATE TABLE booked (id BIGINT PRIMARY KEY)", database=database)
    here.create_item("one")
    item = here.claim_item()
    assert item is not None
    is_booked, may_commit = threading.Event(), threading.Event()

    def complete() -> str:
        try:
            with here.completing(item) as session:
                session.execute(text("INSERT INTO booked VALUES (1)"))
                is_booked.set()
                may_commit.wait(30)
        except Exception as error:
            return type(error).__name__
        return "done"

    with ThreadPoolExecutor(1) as pool:
        completing = pool.submit(complete)
        assert is_booked.wait(30)
        heir = there.steal_item()
        may_commit.set()

    assert heir is not None
    assert completing.result() in ("LeaseLost", "DatabaseBusy")
    assert cluster.wait_until_equal("SELECT * FROM booked", database=database) == [], "booked by a stale holder"
    there.delete_item(heir)


def test_given_one_who_adds_one_after_the_other_on_changing_nodes_then_that_is_their_order(
    pinned: list[QueueService],
) -> None:
    queues = [service.create("Sql", "mail") for service in pinned]

    ids = [queues[number % 3].create_item(number).id for number in range(300)]

    assert ids == sorted(ids)
    claimed: list[Any] = []
    while item := queues[len(claimed) % 3].claim_item():
        claimed.append(item.data)
        queues[len(claimed) % 3].delete_item(item)
        if len(claimed) == 60:
            break
    assert claimed == list(range(60))


def test_given_an_empty_database_when_three_nodes_use_it_first_at_the_same_moment_then_all_succeed(
    cluster: Cluster, database: str
) -> None:
    services = [make_service(node.url(database), **CLUSTER_SETTINGS) for node in cluster.nodes]
    barrier = threading.Barrier(3)

    def use(service: QueueService) -> QueueItem:
        barrier.wait(30)
        return service.create("SqlParallel", "mail").create_item(1)

    with ThreadPoolExecutor(3) as pool:
        items = list(pool.map(use, services))

    assert len({item.id for item in items}) == 3
    assert services[0].load("mail").number_of_items() == 3
    for service in services:
        service.close()
