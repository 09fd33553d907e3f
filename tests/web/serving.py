"""The service of the workers in these tests: a dead one is noticed in a test's time.

``taskqueue --app tests.web.serving:service work QUEUE``
"""

from __future__ import annotations

from taskqueue import QueueService
from tests.web import tasks

service = QueueService(allow=[tasks.__name__], heartbeat=0.4, stale_after=2, lease_slice=2)
