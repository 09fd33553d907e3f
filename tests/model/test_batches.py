"""A stale and a fresh handle of the same item in one batch: the fresh one counts, the stale one comes back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product

import pytest

from taskqueue import QueueItem, QueueService
from taskqueue.queues import settlement
from taskqueue.queues.batch import BatchQueue
from tests.servers import ALL_DATABASES

Settle = Callable[[BatchQueue, list[QueueItem]], list[QueueItem]]
WAYS: dict[str, Settle] = {
    "delete": lambda queue, items: queue.delete_items(items),
    "release": lambda queue, items: queue.release_items(items),
    "bury": lambda queue, items: queue.settle(items, settlement.bury("no")),
}


@pytest.fixture
def service(database_url: str) -> Iterator[QueueService]:
    service = QueueService(database_url)
    yield service
    service.close()


@pytest.mark.parametrize(
    ("type_name", "database_url"),
    [("Memory", "sqlite"), *product(["Sql", "SqlParallel"], ALL_DATABASES)],
    indirect=["database_url"],
)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("stale_first", [True, False])
def test_given_two_handles_of_one_item_when_settled_together_then_only_the_stale_one_is_lost(
    service: QueueService, type_name: str, way: str, stale_first: bool
) -> None:
    # given
    queue = service.create(type_name, "mail")
    stale, other = queue.create_item("x"), queue.create_item("y")
    fresh = queue.claim_item()
    assert fresh is not None and fresh.id == stale.id
    # when
    batch = [stale, fresh, other] if stale_first else [fresh, stale, other]
    lost = WAYS[way](queue, batch)
    # then
    assert [(item.id, item.fence) for item in lost] == [(stale.id, stale.fence)]
    standing = queue.fetch_item(fresh.id)
    assert standing is None if way != "release" else standing is not None and standing.fence == fresh.fence + 1
