"""The database's time: whatever hour a server or a session shows, what is stored is the same moment."""

from __future__ import annotations

import time

import pytest
from sqlalchemy import create_engine, event

from taskqueue.storage.database import Database
from taskqueue.storage.dialects import DIALECTS
from tests.faketime import Clock
from tests.faults.history import wait_until
from tests.servers import SERVER_DATABASES, Server

pytestmark = pytest.mark.chaos

#: In this hour the clocks of Berlin show 02:00 to 03:00 for the first time, and in the next one again.
AUTUMN = 1729987200 + 900
SET_ZONE = {"mariadb": "SET time_zone = '+01:00'", "postgresql": "SET TIME ZONE 'Europe/Berlin'"}


@pytest.mark.parametrize("database_url", SERVER_DATABASES, indirect=True)
def test_given_a_session_that_shows_local_time_when_the_database_is_asked_then_its_time_is_right(
    database_url: str, request: pytest.FixtureRequest
) -> None:
    # given
    engine = create_engine(database_url)
    zone = SET_ZONE[request.node.callspec.params["database_url"]]
    event.listen(engine, "connect", lambda connection, _record: connection.cursor().execute(zone))
    # when
    database = Database(engine)
    told = database.statement(lambda tx: int(tx.row("SELECT {now}")[0]), write=False) / 1000
    # then
    assert told == pytest.approx(time.time(), abs=60)
    engine.dispose()


def test_given_a_server_in_the_doubled_hour_when_an_hour_passes_then_its_time_goes_on_by_an_hour(
    server_by_clock: Server, servers_clock: Clock
) -> None:
    # given
    dialect = DIALECTS["mysql" if server_by_clock.name == "mariadb" else "postgresql"]

    def told() -> float:
        return int(server_by_clock.execute(f"SELECT {dialect.now}")[0][0]) / 1000

    for moment in (AUTUMN, AUTUMN + 3600):  # 02:15 in summer time, and in winter time
        # when
        servers_clock.set(moment - time.time())
        # then
        wait_until(lambda now=moment: abs(told() - now) < 60, f"the server goes by {moment}", lambda: str(told()))  # type: ignore[misc]
    servers_clock.set(0)
