"""One message to one consumer: what it carries, in which order it comes, and who gets it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from taskqueue import QueueService, clock, travel
from taskqueue.channels import Channels, Window
from tests.channels.conftest import NOON, at, get, got, rows, send, waits


def test_a_message_waits_is_got_with_all_its_fields_and_is_gone(channels: Channels, service: QueueService) -> None:
    window = Window("08:00", "20:00")
    with at(NOON):
        sent = send(channels, {"n": 1}, kind="Data", sequence=3, delay=5, expires="1h", user="7", window=window)
        assert rows(service) == 1
    with at(NOON + timedelta(seconds=6)):
        assert waits(channels)
        message = get(channels)

        assert message is not None
        assert message == sent.__class__(
            sent.id, "orders", "billing", "shop", {"n": 1}, "Data", 3, "7", sent.sent, sent.sent + timedelta(seconds=5),
            sent.sent + timedelta(hours=1, seconds=5), window, False, None, 1,
        )  # fmt: skip
        assert abs(message.sent - NOON) < timedelta(seconds=3)
        assert (message.is_invalid, message.origin) == (False, "orders")
        assert rows(service) == 0
        assert not waits(channels)
        assert get(channels) is None


def test_what_need_not_be_said(channels: Channels) -> None:
    sent = send(channels)
    message = get(channels)

    assert message is not None
    assert (message.kind, message.sequence, message.user, message.expires, message.window) == ("", 0, None, None, None)
    assert message.deliver_after == message.sent == sent.sent
    assert not message.is_published


@pytest.mark.parametrize(
    "data",
    [None, 0, "Ünïcödé 🐟", b"\x00\xff", (1, {"a": [2]}), {Decimal("1.10")}, {"lasts": 1, "producer": 5}],
    ids=repr,
)
def test_whatever_the_serializer_knows_comes_back(channels: Channels, data: Any) -> None:
    send(channels, data)

    assert got(channels) == [data]


def test_the_order_is_the_sequence_then_that_of_sending(channels: Channels) -> None:
    for name, sequence in (("a", 5), ("b", -1), ("c", 5), ("d", 0), ("e", -1)):
        send(channels, name, sequence=sequence)

    assert got(channels) == ["b", "e", "d", "a", "c"]


def test_what_becomes_due_takes_its_place_by_its_sequence(channels: Channels) -> None:
    send(channels, "late but first", sequence=-1, delay=10)
    send(channels, "first sent", delay=5)
    send(channels, "second sent")

    with travel(11):
        assert got(channels) == ["late but first", "first sent", "second sent"]


def test_a_message_is_delivered_after_its_delay(channels: Channels) -> None:
    send(channels, "late", delay=5)
    send(channels, "now")

    assert got(channels) == ["now"]
    assert not waits(channels)
    with travel(4):
        assert get(channels) is None
    with travel(6):
        assert waits(channels)
        assert got(channels) == ["late"]


@pytest.mark.parametrize("delay", [90, 90.0, timedelta(seconds=90), "90s", "1.5m"], ids=repr)
def test_a_delay_is_seconds_a_timedelta_or_a_text(channels: Channels, delay: Any) -> None:
    sent = send(channels, delay=delay)

    assert sent.deliver_after - sent.sent == timedelta(seconds=90)


def test_nobody_gets_what_is_for_somebody_else(channels: Channels) -> None:
    send(channels, "for billing")
    send(channels, "for stock", consumer="stock")
    channels.send("returns", "of returns", producer="shop", consumer="billing")
    send(channels, "for Billing", consumer="Billing")

    assert got(channels) == ["for billing"]
    assert got(channels, consumer="stock") == ["for stock"]
    assert got(channels, consumer="Billing") == ["for Billing"]
    assert channels.get("returns", consumer="stock") is None
    returned = channels.get("returns", consumer="billing")
    assert returned is not None
    assert returned.data == "of returns"


def test_only_what_a_producer_has_sent_or_a_user(channels: Channels) -> None:
    for number, (producer, user) in enumerate([("shop", "1"), ("web", "2"), ("shop", "2"), ("web", "1")]):
        send(channels, number, producer=producer, user=user)

    assert waits(channels, producer="web", user="1")
    assert not waits(channels, producer="we")
    assert got(channels, producer="web", user="1") == [3]
    assert got(channels, producer="web") == [1]
    assert got(channels, user="2") == [2]
    assert got(channels) == [0]


def test_a_user_is_found_behind_any_number_of_others(channels: Channels) -> None:
    for number in range(200):
        send(channels, number, user="many", sequence=number % 3)
    send(channels, "mine", user="me", sequence=1)
    send(channels, "mine, too", user="me", sequence=9)

    assert got(channels, user="me") == ["mine", "mine, too"]


def test_looking_removes_nothing(channels: Channels) -> None:
    sent = send(channels, "here")

    for _ in range(2):
        seen = channels.peek("orders", consumer="billing")
        assert seen == sent
    assert got(channels) == ["here"]
    assert channels.peek("orders", consumer="billing") is None


def test_looking_for_what_never_was_leaves_no_trace(channels: Channels, service: QueueService) -> None:
    assert get(channels) is None
    assert not waits(channels)

    assert service.queues() == []


def test_another_process_gets_what_was_sent(channels: Channels, others: Channels) -> None:
    send(channels, "over there")

    assert got(others) == ["over there"]
    assert get(channels) is None


def test_a_queue_that_was_deleted_comes_back_when_something_is_sent(
    channels: Channels, service: QueueService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskqueue.channels.queues.TRUSTED", -1.0)
    send(channels, "lost")
    service.delete("channel:orders:billing")
    assert get(channels) is None

    send(channels, "kept")

    assert service.exists("channel:orders:billing")
    assert got(channels) == ["kept"]


def test_the_clock_of_the_host_is_not_asked(channels: Channels, monkeypatch: pytest.MonkeyPatch) -> None:
    send(channels, "late", delay=60)
    monkeypatch.setattr(clock, "_origin_ms", clock._origin_ms + 3_600_000)

    assert get(channels) is None


def test_the_overview_counts_what_stands_where(channels: Channels, make_service: Callable[..., QueueService]) -> None:
    send(channels)
    send(channels, delay=60)
    send(channels, consumer="stock")
    make_service().create("Sql", "channel:not:ours")  # by its name, but not by what it holds

    with channels.receive("orders", consumer="stock"):
        found = {(one.channel, one.consumer): (one.ready, one.held, one.later) for one in channels.overview()}

    assert found == {("orders", "billing"): (1, 0, 1), ("orders", "stock"): (0, 1, 0)}
