"""What it costs to look whether a queue is looked after."""

from __future__ import annotations

import pytest

from taskqueue.metrics import troubles
from taskqueue.queues.sql_base import SqlBase
from tests.costs.stands import BIG_ONES, Stand, Stands


@pytest.mark.parametrize("stand", BIG_ONES, ids=str)
def test_given_much_in_a_queue_when_its_health_is_asked_for_then_no_more_is_examined_than_where_there_is_little(
    stands: Stands, stand: Stand
) -> None:
    few = _look(stands, stands.small(stand))

    many = _look(stands, stands.queues[stand])

    assert many <= stands.most(few)


def _look(stands: Stands, queue: SqlBase) -> int:
    """What a look lets the database go through; not the first, by which PostgreSQL marks what has left its place."""
    troubles(stands.service, [queue.name])
    return stands.examined.by(lambda: troubles(stands.service, [queue.name]))
