"""Processes that are killed with -9 where it hurts most: no message is lost, none is there twice."""

from __future__ import annotations

import multiprocessing
import signal
from typing import Any

import pytest

from taskqueue import travel
from taskqueue.channels import Channels
from tests.channels import consumers as jobs
from tests.channels.conftest import get, got, rows, send, waits

pytestmark = pytest.mark.chaos
AFTER_THE_LEASE = 31


def killed(job: Any, *args: Any) -> None:
    """Run ``job`` in a process that it ends with -9."""
    process = multiprocessing.get_context("spawn").Process(target=job, args=args, daemon=True)
    process.start()
    process.join(jobs.TIMEOUT)
    assert process.exitcode == -signal.SIGKILL


@pytest.mark.parametrize("job", [jobs.kill_in_hand, jobs.kill_in_get])
def test_the_message_of_a_killed_consumer_comes_back(channels: Channels, url: str, job: Any) -> None:
    send(channels, "x")
    killed(job, url)

    assert get(channels) is None
    with travel(AFTER_THE_LEASE):
        with channels.receive("orders", consumer="billing") as message:
            assert message is not None
            assert (message.data, message.attempts) == ("x", 2)
        assert rows(channels.queue_service) == 0


def test_a_message_that_kills_its_consumers_is_put_on_the_invalid_channel(channels: Channels, url: str) -> None:
    send(channels, "poison")
    for number in range(3):
        killed(jobs.kill_in_hand, url, number * AFTER_THE_LEASE)

    with travel(3 * AFTER_THE_LEASE):
        assert get(channels) is None
        found = channels.get("invalid", consumer="billing")
    assert found is not None
    assert (found.data, found.reason) == ("poison", "orders::consumer lost 3 times")


def test_a_rejection_takes_place_or_not(channels: Channels, url: str) -> None:
    send(channels, "x")
    killed(jobs.kill_in_reject, url)

    assert not waits(channels, "invalid")
    with travel(AFTER_THE_LEASE):
        assert got(channels) == ["x"]
    assert rows(channels.queue_service) == 0


def test_what_expires_is_moved_or_not(channels: Channels, url: str) -> None:
    for number in range(5):
        send(channels, number, expires=5)
    killed(jobs.kill_in_expire, url, 6)
    assert rows(channels.queue_service) == 5

    with travel(6):
        assert channels.expire() == 5
        assert rows(channels.queue_service) == 5


def test_all_copies_are_there_or_none(channels: Channels, url: str) -> None:
    channels.subscribe("news", consumer="a")
    channels.subscribe("news", consumer="b")
    killed(jobs.kill_in_publish, url)

    assert rows(channels.queue_service) == 0
    assert channels.publish("news", 1, producer="shop") == 2


def test_the_turn_of_a_killed_caller_is_free_some_seconds_later(channels: Channels, url: str) -> None:
    called: list[object] = []
    channels.callback("call")(called.append)
    channels.subscribe("orders", consumer="billing", callback="call")
    send(channels)
    killed(jobs.kill_in_callback, url)

    assert channels.dispatch() == 0
    with travel(AFTER_THE_LEASE):
        assert channels.dispatch() == 1
    assert len(called) == 1
    assert rows(channels.queue_service) == 1


def test_a_transaction_that_was_never_committed_never_was(channels: Channels, url: str) -> None:
    send(channels, "x")
    killed(jobs.kill_in_session, url)

    assert got(channels) == ["x"]
    assert got(channels, consumer="stock") == []
