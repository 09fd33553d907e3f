"""Several nodes of a Galera cluster are written to at the same time, on purpose: each promise holds all the same."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from taskqueue import QueueService, SessionMismatch, Task
from taskqueue.storage.checkup import examine
from tests.faults import figures
from tests.faults.across import claims_across
from tests.faults.checks import violations
from tests.faults.child import make_service
from tests.faults.conftest import CLUSTER_SETTINGS as SETTINGS
from tests.faults.history import DEADLINE, Line, wait_until
from tests.faults.met import all_met
from tests.faults.stage import Child, Stage
from tests.faults.tasks import linger
from tests.galera import Cluster

pytestmark = pytest.mark.chaos
PATIENCE = 120.0
KEYS, ITEMS = 8, 12
#: Claims in the test of conflicts.
CLAIMS = 100_000 if float(os.environ.get("SOAK_SECONDS") or 0) >= 300 else 1_500


@pytest.fixture
def database_url(cluster_url: str) -> str:
    """The URL that names all nodes."""
    return cluster_url


def test_given_two_workers_on_each_node_when_all_claim_from_one_queue_then_no_item_is_held_twice_and_no_error_is_seen(
    stage: Stage, cluster: Cluster, pinned: list[QueueService], database: str
) -> None:
    # given
    stage.create("SqlParallel").create_items(range(CLAIMS))
    before, began = conflicts_of(cluster), time.monotonic()
    # when
    workers = [stage.start("take", url=node.url(database), settings=SETTINGS, is_gated=True)
               for node in cluster.nodes for _ in range(2)]  # fmt: skip
    stage.history.wait_for("ready", count=len(workers))
    stage.gate.let_through(len(workers))
    for worker in workers:
        wait_until_ended(worker)
    # then
    lines = stage.history.lines()
    started = stage.history.times("start")
    met = all_met(lines)
    figures.note(
        "Galera, claims on all nodes", tasks=len(started), twice=sum(times > 1 for times in started.values()),
        lost=CLAIMS - len(started), overlapping=len(violations(lines, [], kills=0)), errors=met,
        conflicts=conflicts_of(cluster) - before, seconds=round(time.monotonic() - began, 1),
    )  # fmt: skip
    assert stage.history.lines("escaped") == [] == stage.history.lines("lost")
    assert len(started) == CLAIMS and set(started.values()) == {1}
    took = {line["pid"] for line in lines if line["kind"] == "start"}
    assert all(took & {worker.pid for worker in pair} for pair in zip(workers[::2], workers[1::2], strict=True))
    assert met.keys() <= {"1213", "1205", "1020"} and met["1213"], "the nodes were never in each other's way"
    assert cluster.wait_until_equal("SELECT COUNT(*) FROM taskqueue_item", database=database) == [(0,)]


def wait_until_ended(worker: Child) -> None:
    """The long form takes longer than any other test waits."""
    worker.process.join(DEADLINE + CLAIMS / 20)
    worker.wait_until_done()


def test_given_workers_on_different_nodes_then_queues_keep_their_order_their_limit_and_their_keys(
    stage: Stage, cluster: Cluster, pinned: list[QueueService], database: str
) -> None:
    # given
    options = {"agent": "server", "error": "dead"}
    queues = {
        "in-line": stage.service.create("Sql", "in-line", **options),
        "by-key": stage.service.create("SqlParallel", "by-key", **options),
        "limited": stage.service.create("SqlParallel", "limited", concurrency_limit=2, **options),
        "deduplicated": stage.service.create("SqlParallel", "deduplicated", **options),
    }
    conflicts = conflicts_of(cluster)
    settings = {**SETTINGS, "prefetch": 2}
    # when
    workers = [stage.start("work", url=node.url(database), threads=2, settings=settings, patience=PATIENCE)
               for node in cluster.nodes]  # fmt: skip
    with ThreadPoolExecutor(3) as pool:
        for enqueued in [pool.submit(fill, stage, place, service) for place, service in enumerate(pinned)]:
            enqueued.result()
    wait_until(lambda: not any(queue.number_of_items() for queue in queues.values()), "all is done",
               stage.history.tail)  # fmt: skip
    for worker in workers:
        worker.end()
    # then
    lines = stage.history.lines()
    assert most_at_a_time(lines, 1) == 1, "the sequential queue had two holders"
    assert most_at_a_time(lines, 3) <= 2
    for key in range(KEYS):
        of_key = [line for line in lines if line.get("number", 0) // 1000 == 2000 + key]
        assert [line["number"] % 1000 for line in of_key if line["kind"] == "start"] == list(range(ITEMS))
        assert most_at_a_time(of_key, 2) == 1, f"two items of key {key} went on at the same time"
    started = stage.history.times("start")
    assert {number: times for number, times in started.items() if times > 1} == {}
    assert len(started) == 2 * KEYS * ITEMS + 3 * ITEMS + ITEMS
    assert conflicts_of(cluster) > conflicts, "the nodes were never in each other's way"


def fill(stage: Stage, place: int, service: QueueService) -> None:
    """From each node its share; for keys that all of them add, whoever comes first has added them."""

    def add(name: str, number: int, **more: Any) -> None:
        service.load(name).create_item(Task(linger, [str(stage.folder), number]), **more)

    for item in range(ITEMS):
        add("deduplicated", 4_000_000 + item, dedup_key=f"key {item}", delay=2)
        add("limited", 3_000_000 + place * 1000 + item)
        for key in range(place, KEYS, 3):
            add("by-key", (2000 + key) * 1000 + item, order_key=f"key {key}")
            add("in-line", 1_000_000 + key * 1000 + item, weight=-item)


def most_at_a_time(lines: list[Line], group: int) -> int:
    """How many tasks of a group went on at the same time."""
    at_work: defaultdict[int, int] = defaultdict(int)
    most = 0
    for line in lines:
        if line["kind"] in ("start", "end") and line["number"] // 1_000_000 == group:
            at_work[group] += 1 if line["kind"] == "start" else -1
            most = max(most, at_work[group])
    return most


def conflicts_of(cluster: Cluster) -> int:
    """How many transactions were given up for one of another node."""
    names = ("wsrep_local_cert_failures", "wsrep_local_bf_aborts")
    return sum(int(node.status(name) or 0) for node in cluster.nodes for name in names)


@pytest.mark.parametrize(("type_name", "limit"), [("Sql", None), ("SqlParallel", 1)], ids=["sequential", "limited"])
def test_given_a_claim_before_its_commit_when_another_node_claims_another_item_then_one_of_them_gets_nothing(
    pinned: list[QueueService], monkeypatch: pytest.MonkeyPatch, type_name: str, limit: int | None
) -> None:
    options = {"concurrency_limit": limit} if limit else {}
    for number in range(6):  # at times the servers' own locks are in each other's way, and hide what is to be seen
        here, there = (service.create(type_name, f"mail-{number}", **options) for service in pinned[:2])

        other, one = claims_across(here, there, monkeypatch)

        assert other is not None and other.data == "early"
        assert one is None, f"{one.data!r} is held as well"


def test_given_an_item_added_on_one_node_then_another_node_sees_it_at_once(pinned: list[QueueService]) -> None:
    here, there = (service.create("SqlParallel", "mail") for service in pinned[:2])

    for number in range(1, 201):
        here.create_item(number)
        assert there.number_of_items() == number, "what was committed on one node was not seen on another"


def test_given_a_session_of_the_application_on_another_node_then_items_join_it(
    pinned: list[QueueService], cluster: Cluster, database: str
) -> None:
    queue = pinned[0].create("Sql", "mail")
    cluster.execute(f"CREATE DATABASE {database}_other CHARACTER SET utf8mb4")
    near, far = (create_engine(cluster.nodes[1].url(name)) for name in (database, f"{database}_other"))
    try:
        with Session(near) as session:
            queue.create_item("joined", session=session)
            assert queue.number_of_items() == 0
            session.commit()
        assert queue.number_of_items() == 1
        with Session(far) as session, pytest.raises(SessionMismatch):
            queue.create_item("elsewhere", session=session)
    finally:
        near.dispose()
        far.dispose()


def test_the_doctor_finds_a_cluster_in_order_and_a_node_that_is_away(
    cluster: Cluster, database: str, database_url: str
) -> None:
    # given
    service = make_service(database_url, lease_slice=30.0)
    # when
    healthy = examine(service.database, 30.0)
    cluster.nodes[2].stop()
    broken = examine(service.database, 15.0)
    cluster.rejoin()
    service.close()
    # then
    assert [finding for finding in healthy if not finding.is_good] == []
    assert {"nodes of the cluster", "clocks of the hosts", "the hosts are one cluster"} <= {one.what for one in healthy}
    assert {(one.host, one.what) for one in broken if not one.is_good} >= {
        (cluster.hosts[2], "answers"),
        ("", "a hanging host is given up after"),
    }
