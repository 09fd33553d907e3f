"""A statement that the server refuses to read, because it is larger than ``max_allowed_packet``."""

from __future__ import annotations

from typing import Any

import pytest

from taskqueue.errors import DatabaseError
from taskqueue.storage import database
from tests.servers import Server
from tests.storage.conftest import MakeService


@pytest.mark.parametrize("database_url", ["mariadb"], indirect=True)
def test_given_a_statement_larger_than_the_server_reads_then_it_is_not_sent_for_ever_and_the_queue_goes_on(
    make_service: MakeService, server: Server, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    seen: list[Any] = []
    judge = database.classify
    monkeypatch.setattr(database, "classify", lambda error, **more: (seen.append(error), judge(error, **more))[1])
    make_service(database_url).create("SqlParallel", "mail")
    server.execute("SET GLOBAL max_allowed_packet = 65536")  # for new connections
    service = make_service(database_url)
    service.database._patience = 0.5
    queue = service.load("mail")
    try:
        # when: the server says so, or just closes the connection while it is being sent
        with pytest.raises(DatabaseError):
            queue.create_item("x" * 900_000)
        queue.create_item("short")
    finally:
        server.execute("SET GLOBAL max_allowed_packet = 16777216")
    # then
    assert {error.args[0] for error in seen} <= {1153, 2006, 2013}
    assert len(seen) < 30
    assert [item.data for item in queue.items()] == ["short"]
