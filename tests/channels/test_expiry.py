"""What has expired is delivered no more, with or without anybody who clears it away."""

from __future__ import annotations

from datetime import timedelta

import pytest

from taskqueue import QueueService, travel
from taskqueue.channels import Channels, Window
from tests.channels.conftest import NOON, at, get, got, rows, send, waits


def test_delivered_after_its_delay_and_until_it_expires(channels: Channels) -> None:
    send(channels, "x", delay=5, expires=5, kind="Data", user="7", sequence=4)
    assert not waits(channels)
    with travel(6):
        assert waits(channels)
    with travel(12):
        assert not waits(channels)
        assert get(channels) is None
        assert channels.peek("orders", consumer="billing", producer="shop") is None

        assert channels.expire() == 1
        assert not waits(channels)
        assert waits(channels, "invalid")
        message = channels.get("invalid", consumer="billing")
        assert message is not None
        assert (message.reason, message.is_invalid, message.origin) == ("orders::Expired", True, "orders")
        assert (message.data, message.kind, message.user, message.sequence) == ("x", "Data", "7", 4)
        assert message.deliver_after == message.sent + timedelta(seconds=5)
        assert message.expires == message.sent + timedelta(seconds=10)
        assert channels.expire() == 0


def test_it_holds_nothing_up(channels: Channels, service: QueueService) -> None:
    for number in range(300):
        send(channels, number, expires=5, sequence=-1)
    send(channels, "lasting")
    with travel(6):
        assert got(channels) == ["lasting"]
        assert service.load("channel:orders:billing").statistics()["ready"] == 0  # nobody has to look past them again
        assert channels.expire() == 300
    assert got(channels) == []
    assert rows(service) == 300


def test_only_what_has_expired_is_cleared_away(channels: Channels) -> None:
    send(channels, "lasting", expires="1h")
    send(channels, "for ever")
    send(channels, {"lasts": 5, "data": '"lasts":'})  # looks like one that expires
    send(channels, "expired", expires=5)
    send(channels, "of stock", expires=5, consumer="stock")
    with travel(6):
        assert channels.expire() == 2
        assert got(channels) == ["lasting", "for ever", {"lasts": 5, "data": '"lasts":'}]
        assert waits(channels, "invalid")
        assert waits(channels, "invalid", consumer="stock")


def test_what_waits_for_its_window_expires_as_well(channels: Channels) -> None:
    with at(NOON):
        send(channels, "closed", expires="30m", window=Window("13:00", "14:00"))
        send(channels, "not due", delay="2h", expires="1h")
    with at(NOON + timedelta(minutes=45)):
        assert channels.expire() == 1
    with at(NOON + timedelta(minutes=150)):
        assert got(channels) == ["not due"]
    with at(NOON + timedelta(hours=4)):
        assert channels.expire() == 0


def test_a_message_in_hand_does_not_expire(channels: Channels) -> None:
    send(channels, "x", expires=5)
    with channels.receive("orders", consumer="billing") as message, travel(6):
        assert message is not None
        assert channels.expire() == 0

    assert channels.expire() == 0
    assert rows(channels.queue_service) == 0


def test_one_that_is_given_back_too_late_has_expired(channels: Channels) -> None:
    send(channels, "x", expires=5)
    with pytest.raises(KeyError), channels.receive("orders", consumer="billing"):
        raise KeyError

    assert waits(channels)
    with travel(6):
        assert get(channels) is None
        assert channels.expire() == 1


def test_another_process_clears_away_what_this_one_has_sent(channels: Channels, others: Channels) -> None:
    send(channels, expires=5)
    with travel(6):
        assert others.expire() == 1
        assert channels.expire() == 0
