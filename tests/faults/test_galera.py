"""A Galera cluster of three nodes: its writer is killed and hangs, all of it is killed, and several nodes write."""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from taskqueue import BatchQueue, QueueService, SessionMismatch, Task
from taskqueue.storage.checkup import examine
from tests import galera
from tests.faults.checks import violations
from tests.faults.child import make_service
from tests.faults.history import DEADLINE, Line, wait_until
from tests.faults.stage import Child, Stage
from tests.faults.tasks import linger
from tests.galera import Cluster, Node
from tests.storage.tapped import tap

pytestmark = pytest.mark.chaos
#: How often the writer is killed and hangs.
ROUNDS = 1 if not os.environ.get("SOAK_SECONDS") else max(1, int(float(os.environ["SOAK_SECONDS"]) / 40))
#: Leases outlast the time that a cluster needs to notice that a node is gone, as the guide says.
SETTINGS: dict[str, Any] = {"lease_slice": 25.0, "heartbeat": 3.0}
#: Seconds for which those who work on the cluster wait for it: a recovery of all nodes takes many.
PATIENCE = 120.0
#: Seconds for which a node hangs: longer than the others wait for it.
HANGS = 8.0
KEYS, ITEMS = 8, 12
_numbers = count(1)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Three nodes."""
    if reason := galera.missing():
        if os.environ.get("CI"):
            pytest.fail(f"{reason}; under CI that is a failure", pytrace=False)
        pytest.skip(f"{reason}; `make test` installs it where it may")
    with Cluster() as cluster:
        yield cluster


@pytest.fixture
def database(cluster: Cluster) -> Iterator[str]:
    """The name of an empty database; a test that failed half way must not fail all others."""
    if not all(node.running for node in cluster.nodes):
        if any(node.running for node in cluster.nodes):
            cluster.rejoin()
        else:
            cluster.recover()
    name = f"galera_{next(_numbers)}"
    cluster.execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    yield name


@pytest.fixture
def database_url(cluster: Cluster, database: str) -> str:
    """The URL that names all nodes."""
    hosts = "&".join(f"host={host}" for host in cluster.hosts)
    return f"mysql+pymysql://root@/{database}?{hosts}&charset=utf8mb4"


@pytest.fixture
def pinned(cluster: Cluster, database: str, database_url: str) -> Iterator[list[QueueService]]:
    """One service for each node, which speaks to no other."""
    services = [make_service(node.url(database), **SETTINGS) for node in cluster.nodes]
    yield services
    for service in services:
        service.close()


def writer(cluster: Cluster) -> Node:
    """The node that those who work on the cluster use."""
    users = {node: int(node.status("Threads_connected") or 0) for node in cluster.nodes if node.running}
    return max(users, key=lambda node: users[node])


def start_all(stage: Stage, producers: int, runners: int) -> tuple[list[Child], list[Child]]:
    """A queue, and who fills and who empties it."""
    stage.create("SqlParallel")
    stage.create_effects()
    common = {"settings": SETTINGS, "patience": PATIENCE}
    sources = [stage.start("produce", first=number * 1_000_000, **common) for number in range(1, producers + 1)]
    drains = [stage.start("serve", **common) for _ in range(runners)]
    return sources, drains


def wait_for_more(stage: Stage, count: int = 20) -> None:
    """Wait until so many more tasks have been done."""
    before = len(stage.history.lines("finished", outcome="ok"))
    for step in range(1, count + 1):
        wanted = before + step
        wait_until(lambda: len(stage.history.lines("finished", outcome="ok")) >= wanted, "work goes on",  # noqa: B023
                   stage.history.tail)  # fmt: skip


def end(stage: Stage, cluster: Cluster, database: str, sources: list[Child], drains: list[Child]) -> None:
    """Let all come to their end, and look whether every promise was kept."""
    stage.announce_the_end()
    for child in sources:
        child.wait_until_done()
    # A servant may have found the queue empty, and ended, just before a producer's last item came.
    for child in [*drains, stage.start("serve", settings=SETTINGS, patience=PATIENCE)]:
        child.wait_until_done()
    effects = [(int(number), int(fence)) for number, fence in cluster.wait_until_equal(
        "SELECT number, fence FROM effects ORDER BY number, fence", database=database
    )]  # fmt: skip
    interruptions = len(stage.history.lines("finished", outcome="retry"))  # the database went away under a task
    assert violations(stage.history.lines(), effects, kills=interruptions) == []
    assert cluster.wait_until_equal("SELECT COUNT(*) FROM taskqueue_item", database=database) == [(0,)]
    assert len(effects) >= 40, f"too little happened: {len(effects)} done"


def test_given_producers_and_runners_when_the_writer_is_killed_and_hangs_then_others_take_over(
    stage: Stage, cluster: Cluster, database: str
) -> None:
    sources, drains = start_all(stage, producers=2, runners=3)
    wait_for_more(stage)
    for _ in range(ROUNDS):
        killed = writer(cluster)
        killed.kill()
        wait_for_more(stage)
        hangs = writer(cluster)
        assert hangs is not killed
        killed.start()
        killed.wait_until_synced()
        hangs.pause()
        threading.Event().wait(HANGS)  # the fault itself: nothing tells how the others get on meanwhile
        hangs.go_on()
        hangs.wait_until_synced()
        wait_for_more(stage)
    end(stage, cluster, database, sources, drains)


def test_given_work_in_hand_when_all_nodes_are_killed_and_recovered_then_nothing_acknowledged_is_lost(
    stage: Stage, cluster: Cluster, database: str
) -> None:
    sources, drains = start_all(stage, producers=1, runners=2)
    for _ in range(ROUNDS):
        wait_for_more(stage)
        for node in cluster.nodes:
            node.pause()  # so that none tells another
        for node in cluster.nodes:
            node.kill()
        cluster.recover()
    wait_for_more(stage)
    end(stage, cluster, database, sources, drains)


# --- several writers, each on a node of its own --------------------------------------------------


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


def claims_across(here: BatchQueue, there: BatchQueue, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    """What one node claims of its own new head, while the claim of another one waits at its commit; and that one."""
    here.create_item("late", weight=2)
    there.create_item("first", weight=0)
    first = there.claim_item()  # so that nothing is written for the first time below
    assert first is not None
    there.delete_item(first)
    is_at_commit, may_commit = threading.Event(), threading.Event()
    claiming: list[int] = []

    def hold_back(sql: str, commits: bool, send: Any) -> Any:
        if sql == "COMMIT" and claiming == [threading.get_ident()] and not is_at_commit.is_set():
            is_at_commit.set()
            may_commit.wait(DEADLINE)
        return send()

    def claim() -> Any:
        claiming.append(threading.get_ident())
        return here.claim_item()

    with monkeypatch.context() as patched, ThreadPoolExecutor(1) as pool:
        tap(patched, hold_back)
        claimed = pool.submit(claim)
        try:
            assert is_at_commit.wait(DEADLINE)
            there.create_item("early", weight=1)
            other = there.claim_item()
        finally:
            may_commit.set()
        return other, claimed.result()


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
