"""The service of the workers in these tests: a dead one is noticed long before its lease ends.

``taskqueue --app tests.web.dashboard.serving:service work QUEUE``
"""

from __future__ import annotations

from taskqueue import QueueService
from tests.web import tasks
from tests.web.setups import TIMES

service = QueueService(
    allow=[tasks.__name__],
    heartbeat=TIMES["TASKQUEUE_HEARTBEAT"],
    stale_after=TIMES["TASKQUEUE_STALE_AFTER"],
    lease_slice=TIMES["TASKQUEUE_LEASE_SLICE"],
)
