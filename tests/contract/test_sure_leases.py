"""How long a holder may be sure, by its own clock, that nobody else has had its item."""

from __future__ import annotations

import time

import pytest

from taskqueue import BatchQueue
from taskqueue.execution.holding import Holding
from tests.contract.backends import once_per_database

pytestmark = once_per_database


def test_a_holder_is_sure_until_the_end_of_its_latest_lease(queue: BatchQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    queue.create_item("x")
    with Holding(queue) as holding:
        began = time.monotonic()
        (item,) = holding.lease(1)
        moment = [began]
        monkeypatch.setattr("taskqueue.execution.holding.time.monotonic", lambda: moment[0])
        lease = queue.settings.lease_slice

        moment[0] = began + lease - 1
        assert holding.is_sure(item.id)
        moment[0] = began + lease + 1
        assert not holding.is_sure(item.id)

        assert holding._renew(list(holding._holds.values()))
        assert holding.is_sure(item.id), "renewed a moment ago"


def test_a_holder_is_not_sure_of_what_it_never_had(queue: BatchQueue) -> None:
    queue.create_item("x")
    with Holding(queue) as holding:
        (item,) = holding.lease(1)
        assert not holding.is_sure(item.id + 1)


def test_a_renewal_that_finds_nothing_says_nothing_about_who_has_ended_the_item(queue: BatchQueue) -> None:
    # The answer to our own completion was lost, and the heartbeat comes before it is asked for again.
    queue.create_item("x")
    with Holding(queue) as holding:
        (item,) = holding.lease(1)
        queue.delete_item(item)
        assert not holding._renew(list(holding._holds.values()))
        assert holding.is_sure(item.id)
