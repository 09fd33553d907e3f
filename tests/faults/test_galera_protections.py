"""Each protection on a cluster is switched off on purpose: what it keeps from happening then happens, and is seen."""

from __future__ import annotations

import os

import pytest

from taskqueue import QueueService
from taskqueue.storage.dialects import MySQL
from tests.faults.across import claims_across
from tests.faults.checks import violations
from tests.faults.child import make_service
from tests.faults.conftest import CLUSTER_SETTINGS
from tests.faults.stage import Stage
from tests.galera import Cluster

pytestmark = pytest.mark.chaos


@pytest.fixture
def database_url(cluster_url: str) -> str:
    """The URL that names all nodes."""
    return cluster_url


def test_given_a_lock_that_writes_nothing_when_two_nodes_claim_then_a_sequential_queue_has_two_holders(
    pinned: list[QueueService], monkeypatch: pytest.MonkeyPatch
) -> None:
    # at times the servers' own locks are in each other's way, and hide what is to be seen
    assert any(have_both(pinned, f"mail-{number}", monkeypatch) for number in range(20))


def have_both(pinned: list[QueueService], name: str, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether two nodes get an item of one sequential queue at the same time."""
    here, there = (service.create("Sql", name) for service in pinned[:2])
    for service in pinned:
        service.database.dialect.is_cluster = False
    try:
        return None not in claims_across(here, there, monkeypatch)
    finally:
        for service in pinned:
            service.database.dialect.is_cluster = True


def test_given_readers_that_do_not_wait_then_what_was_committed_on_another_node_is_missed(
    cluster: Cluster, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MySQL, "session_setup", "SET SESSION tx_isolation = 'READ-COMMITTED'")
    services = [make_service(node.url(database), **CLUSTER_SETTINGS) for node in cluster.nodes[:2]]
    here, there = (service.create("SqlParallel", "mail") for service in services)
    missed = 0
    for number in range(1, 3001):
        here.create_item(number)
        missed += there.number_of_items() < number
        if missed:
            break
    for service in services:
        service.close()
    assert missed


@pytest.mark.skipif(not os.environ.get("SOAK_SECONDS"), reason="takes a recovery of all nodes: in the long form")
def test_given_nodes_that_do_not_flush_when_all_are_killed_then_the_loss_is_reported(
    stage: Stage, cluster: Cluster
) -> None:
    for node in cluster.nodes:  # both last as long as the node runs
        node.execute("SET GLOBAL innodb_flush_log_at_timeout = 2700")
        node.execute("SET GLOBAL innodb_flush_log_at_trx_commit = 0")
    queue = stage.create("SqlParallel")
    for number in range(200):
        stage.history.write("sent", number=number)
        queue.create_item(number)
        stage.history.write("acknowledged", number=number)
    for node in cluster.nodes:
        node.pause()
    for node in cluster.nodes:
        node.kill()
    cluster.recover()

    try:
        kept = [(item.data, 1) for item in stage.queue.items()]
    except Exception:  # nor is the table there
        kept = []

    broken = [one for one in violations(stage.history.lines(), kept, kills=0) if "is lost" in one]
    assert broken
    print(f"{len(broken)} of 200 acknowledged items lost")
