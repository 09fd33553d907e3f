"""The application's one service. ``taskqueue --app demo_ext.app:service`` finds it here."""

import os

from taskqueue import BatchQueue, QueueService

QUEUE = "demo-import"

service = QueueService(
    os.environ.get("TASKQUEUE_DATABASE_URL") or "sqlite:///demo.db",
    # Only what this package defines may run, whatever stands in the database.
    allow=["demo_ext"],
    # Six seconds instead of thirty: whoever tries kill -9 need not wait long for the lease of the dead to end.
    lease_slice=6,
    heartbeat=1,
)


def import_queue() -> BatchQueue:
    """The queue of the import: sequential, so that the summary really comes last."""
    return service.create("Sql", QUEUE)
