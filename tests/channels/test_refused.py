"""Bad arguments are told in one sentence, and nothing is stored."""

from __future__ import annotations

from typing import Any

import pytest

from taskqueue import ConfigurationError, QueueService, SerializationError, SpecError, TaskQueueError
from taskqueue.channels import Channels
from tests.channels.conftest import get, rows, send

NAMES = ["", "a b", "a:b", "ä", "*", "x" * 51, None, 5, b"a", "a\n"]


@pytest.mark.parametrize("name", NAMES, ids=repr)
@pytest.mark.parametrize("what", ["channel", "consumer", "producer"])
def test_names_are_checked(channels: Channels, what: str, name: Any) -> None:
    given = {"channel": "orders", "consumer": "billing", "producer": "shop", what: name}
    calls: list[Any] = [lambda: channels.send(data=1, **given)]
    if what != "consumer":
        calls.append(lambda: channels.publish(given["channel"], 1, producer=given["producer"]))
    if not (what == "producer" and name is None):
        calls += [lambda call=call: call(**given) for call in
                  (channels.get, channels.peek, channels.is_waiting, channels.receive, channels.subscribe,
                   channels.unsubscribe)]  # fmt: skip
    for call in calls:
        with pytest.raises(SpecError, match=f"cannot name a {what}: use 1 to 50 ASCII letters"):
            call()
    assert rows(channels.queue_service) == 0


def test_who_writes_a_star_for_any_producer_is_told(channels: Channels) -> None:
    with pytest.raises(SpecError, match=r"\(None means any producer\)"):
        get(channels, producer="*")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"kind": None}, "kind must be a text of at most 191 printable characters, not None"),
        ({"kind": "x" * 192}, "kind must be a text"),
        ({"kind": "a\x00"}, "kind must be a text"),
        ({"user": 7}, "user must be a text of at most 191 printable characters, not 7"),
        ({"user": ""}, "user must not be empty"),
        ({"sequence": "1"}, "sequence must be a whole number of at most 32 bits, not '1'"),
        ({"sequence": 2**31}, "sequence must be a whole number"),
        ({"delay": "soon"}, "delay must be seconds, a timedelta, or a text"),
        ({"delay": -1}, "delay must be seconds"),
        ({"delay": float("inf")}, "delay must be seconds"),
        ({"expires": 0}, "expires must be more than 0 seconds"),
        ({"expires": "1 year"}, "expires must be seconds"),
        ({"window": "22:00"}, "window must be a Window, not '22:00'"),
    ],
    ids=repr,
)
def test_options_are_checked(channels: Channels, options: Any, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        send(channels, **options)
    with pytest.raises(SpecError, match=said):
        channels.publish("orders", 1, **{"producer": "shop", **options})
    assert rows(channels.queue_service) == 0


def test_data_that_cannot_be_stored_is_named(channels: Channels) -> None:
    channels.subscribe("orders", consumer="billing")
    with pytest.raises(SerializationError, match=r'message\["data"\]\["x"\]\[1\]'):
        send(channels, {"x": [1, object()]})
    with pytest.raises(SerializationError, match=r"can be stored|allows"):
        send(channels, "x" * 2**20)
    with pytest.raises(SerializationError, match=r"can be stored|allows"):
        channels.publish("orders", "x" * 2**20, producer="shop")
    assert rows(channels.queue_service) == 0


def test_nothing_is_sent_to_the_invalid_channel(channels: Channels) -> None:
    for call in (
        lambda: channels.send("invalid", 1, producer="shop", consumer="billing"),
        lambda: channels.publish("invalid", 1, producer="shop"),
    ):
        with pytest.raises(SpecError, match="channel 'invalid' is for what was rejected or has expired"):
            call()


@pytest.mark.parametrize("reason", ["", " ", None, 5], ids=repr)
def test_a_reason_is_a_text(channels: Channels, reason: Any) -> None:
    message = send(channels)
    with pytest.raises(SpecError, match="the reason of a rejection must be a text that is not empty"):
        channels.reject(message, reason)
    assert get(channels) is not None


def test_only_messages_are_rejected(channels: Channels) -> None:
    with pytest.raises(SpecError, match=r"a message is rejected as .* gave it, not NoneType"):
        channels.reject(None, "bad")  # type: ignore[arg-type]


def test_a_queue_of_that_name_that_is_none_of_a_channel(channels: Channels, service: QueueService) -> None:
    service.create("SqlParallel", "channel:orders:billing")

    with pytest.raises(ConfigurationError, match="'channel:orders:billing' exists, and is none of a channel"):
        send(channels)
    assert channels.overview() == []
    assert rows(service) == 0


def test_channels_stand_on_a_service() -> None:
    with pytest.raises(SpecError, match="Channels takes a QueueService, not 'sqlite"):
        Channels("sqlite:///x.db")  # type: ignore[arg-type]


def test_the_invalid_channel_has_a_name(service: QueueService) -> None:
    with pytest.raises(TaskQueueError, match="cannot name a channel"):
        Channels(service, invalid="in valid")
