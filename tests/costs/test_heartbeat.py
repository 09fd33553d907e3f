"""What a heartbeat costs: as much for two hundred leases as for one."""

from __future__ import annotations

import pytest

from taskqueue import QueueService, Task
from taskqueue.execution.holding import Holding
from tests.costs.meters import Counted, Meter
from tests.costs.tasks import nothing
from tests.servers import ALL_DATABASES

#: A sign of life, a look for clocks that were set back, all leases, and a look for cancelled items among those in hand.
STATEMENTS, COMMITS = 4, 2
#: MariaDB stores statistics by itself, of tables that had changed much before.
OWN_WRITES = 2


@pytest.mark.parametrize("database_url", ALL_DATABASES, indirect=True)
@pytest.mark.parametrize("type_name", ["Sql", "SqlParallel"])
@pytest.mark.parametrize("held", [1, 200])
def test_given_leases_that_are_held_when_the_heart_beats_then_one_statement_renews_all_of_them(
    service: QueueService, meter: Meter, type_name: str, held: int
) -> None:
    # given
    queue = service.create(type_name, "many")
    queue.create_items(Task(nothing) for _ in range(held))
    with queue.hold(), Holding(queue) as holding:
        items = holding.lease(held)
        assert len(items) == held and holding.begin(items[0])
        # when
        counted = _beat(service, holding, meter)
        # then
        assert counted.statements == STATEMENTS
        assert counted.commits <= COMMITS + OWN_WRITES


def _beat(service: QueueService, holding: Holding, meter: Meter) -> Counted:
    holding._beat()  # the first one makes its row
    service.database.last_beat = "", 0.0  # else it has just said that it is alive
    before = meter.read()
    holding._beat()
    return meter.read() - before
