"""An item as it was when it was read."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import pytest

from taskqueue.errors import PayloadError
from taskqueue.item import QueueItem, optional_time
from taskqueue.task import Task
from tests.unit import callables

MOMENT = datetime(2024, 2, 29, tzinfo=timezone.utc)


def an_item(unpack: Callable[[], Any]) -> QueueItem:
    return QueueItem(1, "jobs", 0, MOMENT, None, 0, 0, uid="u", _unpack=unpack)


def unreadable() -> Any:
    raise PayloadError("damaged")


@pytest.mark.parametrize(
    "data, title",
    [
        (Task(callables.function, (), "Do it"), "Do it"),
        (Task(callables.function), "tests.unit.callables:function"),
        ({"a": 1}, "{'a': 1}"),
        ({"service": "flights", "event": "reserve", "kind": "call"}, "flights.reserve"),
        (None, "None"),
        ("x" * 500, "'" + "x" * 198 + "…"),
        (Task(callables.function, (), "x" * 200), "x" * 200),
        (Task(callables.function, (), "x" * 201), "x" * 199 + "…"),
    ],
)
def test_every_item_has_a_title(data: Any, title: str) -> None:
    assert an_item(lambda: data).title == title


def test_an_unreadable_item_has_a_title_too() -> None:
    item = an_item(unreadable)

    assert item.title == "(unreadable item)"
    with pytest.raises(PayloadError, match="damaged"):
        _ = item.data


def test_data_is_unpacked_when_it_is_first_asked_for_and_then_kept() -> None:
    calls: list[int] = []

    def unpack() -> list[int]:
        calls.append(1)
        return [7]

    item = an_item(unpack)
    assert calls == []

    assert item.data is item.data
    assert calls == [1]


def test_items_are_equal_when_their_facts_are() -> None:
    assert an_item(lambda: 1) == an_item(lambda: 2)
    assert hash(an_item(lambda: 1)) == hash(an_item(lambda: 2))


def test_neither_data_nor_uid_are_shown() -> None:
    text = repr(an_item(lambda: "secret"))

    assert "secret" not in text
    assert "uid" not in text


def test_no_time_is_none() -> None:
    assert optional_time(0) is None
    assert optional_time(1000) == datetime(1970, 1, 1, 0, 0, 1, tzinfo=timezone.utc)
