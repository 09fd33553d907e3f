"""Fixtures of the fault tests."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from taskqueue import QueueService
from tests import faketime, galera
from tests.conftest import require
from tests.faketime import Clock
from tests.faults.child import make_service, recording
from tests.faults.clocked import Clocked, Start
from tests.faults.disk import Disk, mounted
from tests.faults.interleaved import gated
from tests.faults.stage import Stage
from tests.faults.theatre import Theatre
from tests.galera import Cluster
from tests.servers import SERVERS, Server
from tests.storage.tapped import tap

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


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """An empty disk that forgets at a cut what was not synced."""
    folder = tmp_path / "disk"
    folder.mkdir()
    with mounted(folder) as disk:
        yield disk


@pytest.fixture
def start(stage: Stage, tmp_path: Path) -> Iterator[Start]:
    """Starts a process with a given clock, or with one of its own that is so much ahead."""
    faketime.require()
    started: list[Clocked] = []

    def begin(clock: Clock | float, role: str, **script: object) -> Clocked:
        if not isinstance(clock, Clock):
            clock = Clock(tmp_path / f"clock-{len(started)}", clock)
        started.append(Clocked(stage, clock, role, **script))
        return started[-1]

    yield begin
    for process in started:
        process.kill()


@pytest.fixture(scope="session")
def servers_clock() -> Iterator[Clock]:
    """The clock of the servers, which run under accounts of their own."""
    faketime.require()
    folder = Path(tempfile.mkdtemp(prefix="taskqueue-clock-", dir="/tmp" if os.access("/tmp", os.W_OK) else None))
    folder.chmod(0o755)
    yield Clock(folder / "ahead")
    shutil.rmtree(folder)


@pytest.fixture(scope="module", params=SERVERS.values(), ids=SERVERS)
def server_by_clock(request: pytest.FixtureRequest, servers_clock: Clock) -> Iterator[Server]:
    """A server with that clock, which shows the time of Berlin."""
    require(request.param)
    with request.param({**servers_clock.environment, "TZ": "Europe/Berlin"}) as server:
        yield server


@pytest.fixture
def stage_by_clock(server_by_clock: Server, servers_clock: Clock, tmp_path: Path) -> Iterator[Stage]:
    """A stage on that server, whose clock is right."""
    server_by_clock.create_database("moving")
    stage = Stage(server_by_clock.url("moving"), tmp_path)
    try:
        servers_clock.wait_until_known()  # the test before may have just set it right again
        with recording(stage.history):
            yield stage
    finally:
        servers_clock.set(0)
        stage.close()
        server_by_clock.drop_database("moving")


@pytest.fixture
def theatre(database_url: str, type: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Theatre]:
    """A theatre on the test's database."""
    tap(monkeypatch, gated)
    theatre = Theatre(database_url, type)
    yield theatre
    theatre.close()
