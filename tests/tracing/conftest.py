"""What the tests of traces share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from taskqueue import BatchQueue, QueueService
from tests.tracing.collected import Collected


@pytest.fixture
def made() -> Iterator[Collected]:
    """What is traced."""
    collected = Collected()
    yield collected
    collected.close()


@pytest.fixture
def queue() -> BatchQueue:
    """An empty queue in memory, which keeps what died."""
    return QueueService().create("Memory", "jobs", error="dead")
