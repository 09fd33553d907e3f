"""Several `taskqueue db upgrade` at the same moment: one does it, the others find it done, and all end well."""

from __future__ import annotations

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from taskqueue.storage.database import Database
from taskqueue.storage.migrations import configuration, upgrade
from taskqueue.storage.schema import REVISION
from tests.faults.stage import Stage
from tests.galera import Cluster
from tests.servers import ALL_DATABASES

pytestmark = pytest.mark.chaos
PROCESSES = 4
#: What the database is before: empty, of the first release, or of one in between.
BEFORE = pytest.mark.parametrize("before", ["", "0001", "0003"], ids=["empty", "first-release", "later-release"])


@pytest.mark.parametrize("database_url", ALL_DATABASES, indirect=True)
@BEFORE
def test_given_an_older_database_when_four_processes_upgrade_it_at_the_same_moment_then_all_succeed(
    stage: Stage, before: str
) -> None:
    prepare(stage.url, before)

    all_upgrade(stage, [stage.url] * PROCESSES)

    assert_is_whole(stage.url)


def prepare(url: str, before: str) -> None:
    """Give it the tables of that revision."""
    if before:
        database = Database(url)
        with database.engine.begin() as connection:
            command.upgrade(configuration(database, connection), before)
        database.close()


def all_upgrade(stage: Stage, urls: list[str]) -> None:
    """The command line, at each of these addresses at the same moment; each must end with exit code 0."""
    children = [stage.start("command", url=url, arguments=("db", "upgrade"), is_gated=True) for url in urls]
    stage.history.wait_for("ready", count=len(children))
    stage.gate.let_through(len(children))
    for child in children:
        child.wait_until_done()


def assert_is_whole(url: str) -> None:
    """One revision is noted, the tables are those of this release, and they work."""
    database = Database(url)
    with database.engine.connect() as connection:
        assert connection.execute(text("SELECT version_num FROM taskqueue_version")).all() == [(REVISION,)]
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differences = list(compare_metadata(context, database.tables.metadata))
    assert differences == []
    assert "up to date" in upgrade(database)
    database.close()


class TestOnTwoNodes:
    """The same on two nodes of a cluster, whose locks do not reach each other."""

    @pytest.fixture
    def database_url(self, cluster: Cluster, database: str) -> str:
        """The URL of the first node."""
        return cluster.nodes[0].url(database)

    @BEFORE
    def test_given_a_cluster_when_four_processes_upgrade_it_on_two_nodes_then_all_succeed(
        self, stage: Stage, cluster: Cluster, database: str, before: str
    ) -> None:
        prepare(stage.url, before)

        all_upgrade(stage, [node.url(database) for node in cluster.nodes[:2]] * (PROCESSES // 2))

        for node in cluster.nodes:
            assert_is_whole(node.url(database))
