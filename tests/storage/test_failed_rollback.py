"""A rollback that fails, because the server is gone or has left its cluster, hides nothing and keeps nothing."""

from __future__ import annotations

from typing import Any

import pymysql
import pytest

from taskqueue import QueueService
from taskqueue.errors import DatabaseUnavailable


@pytest.mark.parametrize("database_url", ["mariadb"], indirect=True)
@pytest.mark.parametrize("is_lost", [True, False], ids=["lost", "mistake"])
def test_given_a_rollback_that_fails_then_the_error_before_it_is_raised_and_the_connection_is_thrown_away(
    service: QueueService, monkeypatch: pytest.MonkeyPatch, is_lost: bool
) -> None:
    # given
    service.queues()
    engine = service.engine
    first = pymysql.err.OperationalError(1180, "Error while appending") if is_lost else ValueError("a mistake")
    wanted: Any = DatabaseUnavailable if is_lost else ValueError
    rolled_back: list[Any] = []

    def fail(connection: Any) -> None:
        rolled_back.append(connection)
        raise pymysql.err.OperationalError(1047, "WSREP has not yet prepared node for application use")

    # when
    with pytest.raises(wanted), service.database.session_scope() as session:
        session.connection().exec_driver_sql("SELECT 1")
        monkeypatch.setattr(engine.dialect, "do_rollback", fail)
        raise first
    monkeypatch.undo()
    # then
    assert rolled_back, "nothing was to be rolled back"
    assert engine.pool.checkedout() == 0  # type: ignore[attr-defined]
    with engine.connect() as connection:
        assert connection.connection.driver_connection is not rolled_back[0].driver_connection
