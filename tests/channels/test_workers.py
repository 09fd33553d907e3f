"""The queues of channels are for their consumers: workers and runners leave them alone."""

from __future__ import annotations

import pytest

from taskqueue import ConfigurationError, QueueService, Runner, Worker
from taskqueue.channels import Channels
from tests.channels.conftest import got, send


def test_workers_leave_messages_alone(channels: Channels, service: QueueService) -> None:
    send(channels, "x")

    report = Worker(service, threads=1).drain()

    assert report.executed == 0
    assert service.load("channel:orders:billing").dead_items() == []
    assert got(channels) == ["x"]


def test_whoever_runs_such_a_queue_is_told(channels: Channels, service: QueueService) -> None:
    send(channels, "x")

    with pytest.raises(ConfigurationError, match=r"messages of a channel are taken by their consumers, with Channels"):
        Runner(service.load("channel:orders:billing")).run_all()

    assert got(channels) == ["x"]
