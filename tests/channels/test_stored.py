"""What stands in the database is read with care: it may have been written by others."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from taskqueue import QueueService
from taskqueue.channels import Channels
from tests.channels.conftest import get, got, rows, send, waits

KEY = "a key that nobody else knows"


@pytest.fixture
def signed(make_service: Callable[..., QueueService]) -> Channels:
    return Channels(make_service(secret_key=KEY))


def change(channels: Channels, statement: str, **values: Any) -> None:
    assert channels.queue_service.database.statement(lambda tx: tx.change(statement, **values)) > 0


def dead(channels: Channels, queue: str = "channel:orders:billing") -> list[str]:
    return [letter.error for letter in channels.queue_service.load(queue).dead_items()]


def test_signed_messages_come_through(signed: Channels) -> None:
    send(signed, "x", expires="1h")
    rejected = signed.reject(get(signed), "bad")  # type: ignore[arg-type]
    send(signed, "y")

    assert got(signed) == ["y"]
    found = signed.get("invalid", consumer="billing")
    assert found is not None
    assert (found.id, found.data) == (rejected.id, "x")


@pytest.mark.parametrize("way", ["get", "peek", "receive"])
def test_an_altered_message_is_never_delivered_and_holds_nothing_up(
    signed: Channels, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    altered = send(signed, "pay 10", sequence=-1)
    send(signed, "fine")
    change(signed, "UPDATE {item} SET data = REPLACE(data, 'pay 10', 'pay 99') WHERE id = :id", id=altered.id)

    if way == "peek":
        assert waits(signed)
    if way == "receive":
        with signed.receive("orders", consumer="billing") as message:
            assert message is not None
            assert message.data == "fine"
    else:
        assert got(signed) == ["fine"]

    (error,) = dead(signed)
    assert "carries no valid signature" in error
    (record,) = caplog.records
    assert record.getMessage().startswith(
        f"message {altered.id} of queue channel:orders:billing is a dead letter now: "
    )
    assert rows(signed.queue_service) == 0


def test_in_a_transaction_an_altered_message_is_passed_by(signed: Channels, caplog: pytest.LogCaptureFixture) -> None:
    altered = send(signed, "pay 10", sequence=-1)
    send(signed, "fine")
    change(signed, "UPDATE {item} SET data = REPLACE(data, 'pay 10', 'pay 99') WHERE id = :id", id=altered.id)

    with signed.queue_service.engine.begin() as connection:
        assert got(signed, session=connection) == ["fine"]
    assert (dead(signed), rows(signed.queue_service), caplog.records) == ([], 1, [])


def test_a_message_that_was_moved_to_another_consumer_is_refused(signed: Channels) -> None:
    send(signed, consumer="stock")
    send(signed, "x")
    change(
        signed, "UPDATE {item} SET queue_name = :new WHERE queue_name = :old",
        old="channel:orders:stock", new="channel:orders:billing",
    )  # fmt: skip

    assert got(signed) == ["x"]
    assert len(dead(signed)) == 1


def test_an_unsigned_message_is_refused(signed: Channels, channels: Channels) -> None:
    send(channels, "x")

    assert get(signed) is None
    assert len(dead(signed)) == 1


def stored(**parts: Any) -> str:
    return json.dumps({"v": 1, "data": {"producer": "shop", "data": 1, **parts}})


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("{", "."),
        (json.dumps({"v": 1, "data": [1]}), "no message of a channel"),
        (json.dumps({"v": 1, "data": {"data": 1}}), "no message of a channel"),
        (json.dumps({"v": 1, "data": {"producer": "shop"}}), "no message of a channel"),
        (json.dumps({"v": 1, "callback": "os:system", "args": []}), "no message of a channel"),
        (stored(lasts="5"), "lasts is '5'"),
        (stored(lasts=True), "lasts is True"),
        (stored(is_published=1), "is_published is 1"),
        (stored(reason=5), "reason is 5"),
        (stored(window={"start": "22:00"}), "its window is"),
    ],
    ids=repr,
)
def test_damaged_messages_become_dead_letters(channels: Channels, data: str, said: str) -> None:
    damaged = send(channels, sequence=-1)
    send(channels, "fine", expires="1h")
    change(channels, "UPDATE {item} SET data = :data WHERE id = :id", data=data, id=damaged.id)

    assert channels.expire() == 0
    assert got(channels) == ["fine"]

    (error,) = dead(channels)
    assert said in error


@pytest.mark.parametrize(
    "data", [json.dumps({"v": 99}), stored(window={"start": "22:00", "end": "06:00", "timezone": "Mars/Olympus",
                                                   "saturday": True, "sunday": True})], ids=["format", "zone"],
)  # fmt: skip
def test_what_only_others_can_read_is_left_to_them(channels: Channels, data: str) -> None:
    newer = send(channels, sequence=-1)
    send(channels, "fine")
    change(channels, "UPDATE {item} SET data = :data WHERE id = :id", data=data, id=newer.id)

    assert got(channels) == ["fine"]

    assert dead(channels) == []
    assert rows(channels.queue_service) == 1


def test_dates_that_no_calendar_has_do_no_harm(channels: Channels) -> None:
    odd = send(channels)
    change(channels, "UPDATE {item} SET data = :data WHERE id = :id", data=stored(delay=2**62, lasts=2**62), id=odd.id)

    message = get(channels)
    assert message is not None
    assert message.deliver_after.year == 9999
