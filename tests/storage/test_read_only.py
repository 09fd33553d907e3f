"""Where nothing may be written, reading works and writing says why it does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from taskqueue.errors import DatabaseReadOnly
from taskqueue.queues.batch import BatchQueue
from tests.servers import ALL_DATABASES, Server
from tests.storage.conftest import MakeService

WRITES: dict[str, Callable[[BatchQueue], object]] = {
    "create_item": lambda queue: queue.create_item("y"),
    "create_items": lambda queue: queue.create_items(range(3)),
    "claim_item": lambda queue: queue.claim_item(),
    "delete_item": lambda queue: queue.delete_item(next(iter(queue.items()))),
    "set_status": lambda queue: queue.set_status("paused"),
}


@pytest.fixture
def read_only_url(request: pytest.FixtureRequest, make_service: MakeService, database_url: str) -> Iterator[str]:
    """A database with a queue and an item, open for reading only."""
    make_service(database_url).create("SqlParallel", "mail").create_item("x")
    kind = request.node.callspec.params["database_url"]
    if kind == "sqlite":
        yield database_url.replace("sqlite:///", "sqlite:///file:") + "?mode=ro&uri=true"
        return
    server: Server = request.getfixturevalue(f"{kind}_server")
    name = database_url.rpartition("/")[2].partition("?")[0]
    if kind == "mariadb":
        server.execute("CREATE OR REPLACE USER reader@'127.0.0.1'")
        server.execute(f"GRANT SELECT ON {name}.* TO reader@'127.0.0.1'")
        yield database_url.replace("root@", "reader@")
    else:
        server.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        yield database_url


@pytest.mark.parametrize("database_url", ALL_DATABASES, indirect=True)
@pytest.mark.parametrize("write", WRITES)
def test_given_a_read_only_database_when_written_then_the_error_says_so_and_reading_goes_on(
    make_service: MakeService, read_only_url: str, write: str
) -> None:
    queue = make_service(read_only_url).load("mail")

    with pytest.raises(DatabaseReadOnly, match="cannot be written"):
        WRITES[write](queue)

    assert [item.data for item in queue.items()] == ["x"]
    assert queue.statistics()["ready"] == 1
