"""A copy for each consumer who has subscribed."""

from __future__ import annotations

import pytest

from taskqueue import SerializationError, travel
from taskqueue.channels import Channels, Subscription, Window
from tests.channels.conftest import rows


def read(channels: Channels, consumer: str) -> list[object]:
    found = iter(lambda: channels.get("news", consumer=consumer), None)
    return [message.data for message in found]


def test_each_consumer_gets_one_copy_however_often_it_has_subscribed(channels: Channels) -> None:
    channels.subscribe("news", consumer="billing", callback="one")
    channels.subscribe("news", consumer="billing", callback="two")
    channels.subscribe("news", consumer="billing", producer="shop")
    channels.subscribe("news", consumer="stock")
    channels.subscribe("other", consumer="nobody")

    assert channels.publish("news", "hello", producer="shop", kind="Event") == 2

    assert rows(channels.queue_service) == 2
    message = channels.get("news", consumer="billing")
    assert message is not None
    assert (message.data, message.producer, message.kind, message.is_published) == ("hello", "shop", "Event", True)
    assert read(channels, "billing") == []
    assert read(channels, "stock") == ["hello"]


def test_a_subscription_may_be_for_one_producer(channels: Channels) -> None:
    channels.subscribe("news", consumer="all")
    channels.subscribe("news", consumer="of-shop", producer="shop")
    channels.subscribe("news", consumer="of-web", producer="web")

    assert channels.publish("news", 1, producer="shop") == 2
    assert channels.publish("news", 2, producer="web") == 2
    assert channels.publish("news", 3, producer="Shop") == 1

    assert [read(channels, name) for name in ("all", "of-shop", "of-web")] == [[1, 2, 3], [1], [2]]


def test_without_subscriptions_nobody_gets_anything(channels: Channels) -> None:
    assert channels.publish("news", 1, producer="shop") == 0

    assert rows(channels.queue_service) == 0
    assert channels.queue_service.queues() == []


def test_copies_carry_what_a_message_may(channels: Channels) -> None:
    window = Window("00:00", "24:00", timezone="Europe/Berlin")
    channels.subscribe("news", consumer="a")
    channels.subscribe("news", consumer="b")

    channels.publish("news", 1, producer="p", sequence=2, delay=5, expires=5, user="7", window=window)

    assert not channels.is_waiting("news", consumer="a")
    with travel(6):
        for name in ("a", "b"):
            message = channels.get("news", consumer=name)
            assert message is not None
            assert (message.sequence, message.user, message.window) == (2, "7", window)
    channels.publish("news", 1, producer="p", delay=5, expires=5)
    with travel(11):
        assert channels.expire() == 2


def test_a_copy_is_rejected_by_its_own_consumer(channels: Channels) -> None:
    channels.subscribe("news", consumer="a")
    channels.subscribe("news", consumer="b")
    channels.publish("news", 1, producer="p")
    message = channels.get("news", consumer="a")
    assert message is not None

    assert channels.reject(message, "bad").is_published

    assert channels.is_waiting("invalid", consumer="a")
    assert not channels.is_waiting("invalid", consumer="b")
    assert channels.is_waiting("news", consumer="b")


def test_subscriptions_are_made_and_taken_back_once(channels: Channels, others: Channels) -> None:
    for _ in range(2):
        channels.subscribe("news", consumer="b", producer="shop", callback="call")
        channels.subscribe("news", consumer="a")
    found = [Subscription("news", "a"), Subscription("news", "b", "shop", "call")]
    assert others.subscriptions() == found

    for _ in range(2):
        others.unsubscribe("news", consumer="b")  # is another one
        others.unsubscribe("news", consumer="b", producer="shop")
        assert channels.subscriptions() == found
    for _ in range(2):
        others.unsubscribe("news", consumer="b", producer="shop", callback="call")
        assert channels.subscriptions() == found[:1]


def test_what_was_sent_before_the_end_of_a_subscription_stays(channels: Channels) -> None:
    channels.subscribe("news", consumer="a")
    channels.publish("news", 1, producer="p")
    channels.unsubscribe("news", consumer="a")
    channels.publish("news", 2, producer="p")

    assert read(channels, "a") == [1]


def test_many_consumers(channels: Channels) -> None:
    for number in range(60):
        channels.subscribe("news", consumer=f"c{number}")

    assert channels.publish("news", 1, producer="p") == 60
    assert all(read(channels, f"c{number}") == [1] for number in range(60))


def test_all_copies_are_stored_or_none(channels: Channels, monkeypatch: pytest.MonkeyPatch) -> None:
    channels.subscribe("news", consumer="a")
    channels.subscribe("news", consumer="b")
    queue = channels._queues.opened(Subscription("news", "b").address, None)

    def fail(*_args: object) -> None:
        raise SerializationError("in the middle")

    monkeypatch.setattr(queue, "insert_within", fail)
    with pytest.raises(SerializationError, match="in the middle"):
        channels.publish("news", 1, producer="p")

    assert rows(channels.queue_service) == 0
