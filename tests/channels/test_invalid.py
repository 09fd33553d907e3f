"""Rejected messages go to the invalid channel, with the reason and all they carried."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from taskqueue import LeaseLost, QueueService, SpecError, travel
from taskqueue.channels import Channels, Window
from tests.channels.conftest import NOON, at, get, rows, send, waits

WINDOW = Window("08:00", "20:00", timezone="Europe/Berlin", saturday=False)


def test_a_rejected_message_carries_its_origin_the_reason_and_its_window(channels: Channels) -> None:
    with at(NOON):
        send(channels, {"n": 1}, kind="Data", user="7", sequence=2, expires="1h", window=WINDOW)
        message = get(channels)
        assert message is not None
        rejected = channels.reject(message, "no such customer")
        assert rows(channels.queue_service) == 1
        assert not waits(channels)

    with at(NOON + timedelta(days=3)):  # a Saturday: whoever looks after invalid ones may have them at any time
        found = channels.get("invalid", consumer="billing")
    assert found is not None
    assert (found.id, found.reason, found.window) == (rejected.id, "orders::no such customer", WINDOW)
    assert (found.data, found.kind, found.user, found.sequence) == ({"n": 1}, "Data", "7", 2)
    assert (found.channel, found.consumer, found.producer, found.origin) == ("invalid", "billing", "shop", "orders")
    assert (found.sent, found.deliver_after, found.expires) == (message.sent, message.deliver_after, message.expires)
    assert (message.is_invalid, found.is_invalid) == (False, True)
    assert rows(channels.queue_service) == 0


def test_a_reason_may_contain_what_separates_it(channels: Channels) -> None:
    send(channels)
    message = get(channels)
    assert message is not None

    rejected = channels.reject(message, "a::b")

    assert (rejected.origin, rejected.reason) == ("orders", "orders::a::b")


def test_a_message_in_hand_is_rejected_and_gone(channels: Channels) -> None:
    send(channels, "x")
    with channels.receive("orders", consumer="billing") as message:
        assert message is not None
        channels.reject(message, "bad")
        assert rows(channels.queue_service) == 1

    assert rows(channels.queue_service) == 1
    assert waits(channels, "invalid")
    assert not waits(channels)


def test_an_error_after_a_rejection_gives_nothing_back(channels: Channels) -> None:
    send(channels, "x")
    with pytest.raises(KeyError), channels.receive("orders", consumer="billing") as message:
        assert message is not None
        channels.reject(message, "bad")
        raise KeyError

    assert rows(channels.queue_service) == 1
    assert not waits(channels)


def test_one_that_was_only_looked_at_is_taken_from_its_channel(channels: Channels) -> None:
    send(channels, "x")
    seen = channels.peek("orders", consumer="billing")
    assert seen is not None

    channels.reject(seen, "bad")

    assert not waits(channels)
    assert rows(channels.queue_service) == 1


def test_one_that_was_only_looked_at_may_be_somebody_elses_by_now(channels: Channels, others: Channels) -> None:
    send(channels, "x")
    seen = channels.peek("orders", consumer="billing")
    assert seen is not None
    with others.receive("orders", consumer="billing"), pytest.raises(LeaseLost, match="it was taken"):
        channels.reject(seen, "bad")

    with pytest.raises(LeaseLost, match="nothing was changed"):
        channels.reject(seen, "bad")
    assert rows(channels.queue_service) == 0


def test_nothing_is_rejected_twice(channels: Channels) -> None:
    send(channels)
    message = get(channels)
    assert message is not None
    rejected = channels.reject(message, "bad")

    with pytest.raises(SpecError, match="was rejected or acknowledged before"):
        channels.reject(message, "bad")
    with pytest.raises(SpecError, match="is on the invalid channel already: orders::bad"):
        channels.reject(rejected, "worse")
    assert rows(channels.queue_service) == 1


def test_what_is_as_large_as_it_may_be_can_be_rejected_and_expire(make_service: Callable[..., QueueService]) -> None:
    channels = Channels(make_service(max_bytes=2_000, secret_key="k" * 32))
    send(channels, "x" * 1_900, expires=5)
    send(channels, "y" * 1_900)
    with travel(6):
        assert channels.expire() == 1
    message = get(channels)
    assert message is not None

    channels.reject(message, "\x1f🐟" * 1_000)

    reasons = []
    while (found := channels.get("invalid", consumer="billing")) is not None:
        reasons.append(found.reason)
    assert reasons == ["orders::Expired", "orders::" + "\x1f🐟" * 250]


def test_the_invalid_channel_may_have_another_name(service: QueueService) -> None:
    channels = Channels(service, invalid="cbINVALID")
    send(channels)
    message = get(channels)
    assert message is not None

    assert channels.reject(message, "bad").channel == "cbINVALID"
    assert waits(channels, "cbINVALID")


def test_invalid_messages_can_be_subscribed_to(channels: Channels) -> None:
    channels.subscribe("invalid", consumer="billing", callback="alarm")
    send(channels)
    message = get(channels)
    assert message is not None
    assert channels.wake_ups() == []

    channels.reject(message, "bad")

    assert [one.callback for one in channels.wake_ups()] == ["alarm"]
