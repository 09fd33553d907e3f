"""Fixtures of the fault tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from taskqueue import QueueService
from tests import galera
from tests.faults.child import make_service, recording
from tests.faults.stage import Stage
from tests.galera import Cluster

#: Leases on a cluster outlast the time that it needs to notice that a node is gone, as the guide says.
CLUSTER_SETTINGS = {"lease_slice": 25.0, "heartbeat": 3.0}
_numbers = count(1)


@pytest.fixture
def stage(database_url: str, tmp_path: Path) -> Iterator[Stage]:
    """A stage on the database of the test; this process takes part in the history too."""
    stage = Stage(database_url, tmp_path)
    try:
        with recording(stage.history):
            yield stage
    finally:
        stage.close()


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Three nodes of Galera."""
    if reason := galera.missing():
        if os.environ.get("CI"):
            pytest.fail(f"{reason}; under CI that is a failure", pytrace=False)
        pytest.skip(f"{reason}; `make test` installs it where it may")
    with Cluster() as cluster:
        yield cluster


@pytest.fixture
def database(cluster: Cluster) -> str:
    """The name of an empty database of the cluster; a test that failed half way must not fail all others."""
    cluster.heal()
    name = f"galera_{next(_numbers)}"
    cluster.execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    return name


@pytest.fixture
def cluster_url(cluster: Cluster, database: str) -> str:
    """The URL that names all nodes."""
    hosts = "&".join(f"host={host}" for host in cluster.hosts)
    return f"mysql+pymysql://root@/{database}?{hosts}&charset=utf8mb4"


@pytest.fixture
def pinned(cluster: Cluster, database: str, cluster_url: str) -> Iterator[list[QueueService]]:
    """One service for each node, which speaks to no other."""
    services = [make_service(node.url(database), **CLUSTER_SETTINGS) for node in cluster.nodes]
    yield services
    for service in services:
        service.close()
