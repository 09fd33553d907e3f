"""A message in hand is removed at the end of the block, and comes back when its consumer fails."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from taskqueue import LeaseLost, QueueService, SpecError, travel
from taskqueue.channels import Channels
from taskqueue.channels.queue import ChannelQueue
from tests.channels.conftest import get, got, rows, send, waits
from tests.faults.history import wait_until

#: Moves the clocks past the lease of a consumer that is gone.
AFTER_THE_LEASE = 31


def take(channels: Channels, **options: Any) -> Any:
    return channels.receive("orders", consumer="billing", **options)


def test_it_is_removed_at_the_end_of_the_block(channels: Channels) -> None:
    send(channels, "x")
    with take(channels) as message:
        assert (message.data, message.attempts) == ("x", 1)
        assert not waits(channels)
        assert get(channels) is None
        assert rows(channels.queue_service) == 1

    assert rows(channels.queue_service) == 0


def test_there_may_be_none(channels: Channels) -> None:
    with take(channels) as message:
        assert message is None


def test_others_get_the_next_one_meanwhile(channels: Channels, others: Channels) -> None:
    send(channels, "one")
    send(channels, "two")
    with take(channels) as first, take(others) as second:
        assert (first.data, second.data) == ("one", "two")


def test_an_error_gives_it_back(channels: Channels) -> None:
    send(channels, "x")
    for attempt in (1, 2):
        with pytest.raises(KeyError, match="boom"), take(channels) as message:
            assert message.attempts == attempt
            raise KeyError("boom")

    history = channels.queue_service.load("channel:orders:billing").history_of(message.id)
    assert [(one.outcome, one.error) for one in history] == [("retry", "KeyError: 'boom'")] * 2
    assert "test_receiving" in (history[0].traceback or "")
    assert got(channels) == ["x"]


def test_it_may_wait_before_it_comes_back_and_holds_nothing_up(channels: Channels) -> None:
    send(channels, "bad")
    send(channels, "good")
    with pytest.raises(KeyError), take(channels, pause="1m"):
        raise KeyError

    assert got(channels) == ["good"]
    with travel(61):
        assert got(channels) == ["bad"]


def test_at_last_it_is_put_on_the_invalid_channel(channels: Channels) -> None:
    send(channels, "bad")
    for _ in range(2):
        assert waits(channels)
        with pytest.raises(KeyError), take(channels, max_failures=2):
            raise KeyError("boom")

    assert not waits(channels)
    message = channels.get("invalid", consumer="billing")
    assert message is not None
    assert (message.data, message.reason) == ("bad", "orders::KeyError: 'boom'")


def test_what_is_invalid_stays_so_however_often_it_fails(channels: Channels) -> None:
    send(channels, "bad")
    message = get(channels)
    assert message is not None
    channels.reject(message, "reason")
    for _ in range(2):
        with pytest.raises(KeyError), channels.receive("invalid", consumer="billing", max_failures=1):
            raise KeyError

    found = channels.get("invalid", consumer="billing")
    assert found is not None
    assert found.reason == "orders::reason"


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_interrupt_gives_it_back_uncounted(channels: Channels, interrupt: type[BaseException]) -> None:
    send(channels, "x")
    with pytest.raises(interrupt), take(channels, pause="1h", max_failures=1):
        raise interrupt

    with take(channels) as message:
        assert message.attempts == 1


def test_a_break_out_of_a_loop_ends_the_block(channels: Channels) -> None:
    send(channels, "x")
    while True:
        with take(channels):
            break

    assert rows(channels.queue_service) == 0


def test_it_comes_back_when_its_consumer_is_lost(channels: Channels, others: Channels) -> None:
    send(channels, "x")
    with pytest.raises(LeaseLost), take(channels), travel(AFTER_THE_LEASE):
        assert waits(others)
        with take(others) as message:
            assert message.attempts == 2
        # What the one that was thought to be lost does at its end changes nothing any more.
    assert rows(channels.queue_service) == 0


def test_a_lost_consumer_cannot_reject_what_others_have(channels: Channels, others: Channels) -> None:
    send(channels, "x")
    lost, meanwhile = pytest.raises(LeaseLost), travel(AFTER_THE_LEASE)
    with (
        lost,
        take(channels) as message,
        meanwhile,
        take(others),
        pytest.raises(LeaseLost, match="nothing was changed"),
    ):
        channels.reject(message, "bad")

    assert rows(channels.queue_service) == 0


def test_one_that_loses_its_consumers_is_put_on_the_invalid_channel(channels: Channels, service: QueueService) -> None:
    send(channels, "poison")
    send(channels, "x", sequence=1)
    queue = service.load("channel:orders:billing")
    for lost in range(1, 4):
        assert queue.claim_item() is not None  # and nothing more is heard of who did
        with travel(lost * 3_700):
            assert waits(channels)

    with travel(12_000):
        assert got(channels) == ["x"]
        message = channels.get("invalid", consumer="billing")
    assert message is not None
    assert (message.data, message.reason) == ("poison", "orders::consumer lost 3 times")


def test_a_hold_is_renewed_for_as_long_as_the_block_lasts(make_service: Callable[..., QueueService]) -> None:
    channels = Channels(make_service(lease_slice=0.6, heartbeat=0.05))
    queue = channels._queues.of(send(channels, "x").address)
    with take(channels) as message:
        ends = {_end(queue, message.id)}

        def is_renewed() -> bool:
            ends.add(_end(queue, message.id))
            return len(ends) > 3  # what was claimed, what was adopted, and by beats

        wait_until(is_renewed, "the lease is renewed by a beat")
    assert rows(channels.queue_service) == 0


def _end(queue: ChannelQueue, item_id: int) -> datetime | None:
    item = queue.fetch_item(item_id)
    assert item is not None
    return item.release_time


def test_one_that_was_cancelled_is_not_delivered_again(channels: Channels, service: QueueService) -> None:
    send(channels, "one")
    send(channels, "two")
    queue = service.load("channel:orders:billing")
    with pytest.raises(KeyError), take(channels) as message:
        assert queue.cancel_item(message.id) == "stopping"
        raise KeyError
    assert got(channels) == ["two"]

    send(channels, "three")
    send(channels, "four")
    held = queue.claim_item()
    assert held is not None
    assert queue.cancel_item(held.id) == "stopping"
    with travel(3_700):
        assert got(channels) == ["four"]
    assert queue.history_of(held.id)[-1].outcome == "cancelled"


@pytest.mark.parametrize("number", [0, -1, "2", 1.0, True])
def test_max_failures_is_a_number(channels: Channels, number: Any) -> None:
    with pytest.raises(SpecError, match="max_failures must be a whole number of at least 1, or None"):
        take(channels, max_failures=number)
