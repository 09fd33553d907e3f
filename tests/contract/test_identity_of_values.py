"""The same value is kept, exactly, or refused on each backend."""

from __future__ import annotations

import json
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from taskqueue import BatchQueue, Runner, SerializationError, Task
from taskqueue.serializer import MAX_DEPTH
from tests.contract import tasks
from tests.contract.conftest import MakeQueue
from tests.names import shown


def nested(depth: int) -> Any:
    value: Any = "core"
    for _ in range(depth):
        value = [value]
    return value


KEPT: dict[str, Any] = {
    "nothing": None,
    "truth": [True, False],
    "empty": ["", [], {}, (), set(), b""],
    "umlauts": "Größe ÄÖÜ ß",
    "combining": ["é", "e\u0301"],
    "four bytes": "😀𝔘\U0010ffff",
    "right to left": "\u202eabc \u0645\u0631\u062d\u0628\u0627",
    "not quite characters": "\ufffe\uffff\ufeff",
    "white space": " \t\r\n\x0b\u2028\u2029\u00a0 ",
    "controls": "".join(map(chr, range(1, 32))) + "\x7f\x80\x9f",
    "quotes": """'"`\\ '' "" \\' \\" \\n \\u0041""",
    "placeholders": "%s %(x)s %% :name :1 ? {now} {item} $ids {{}} {0}",
    "statements": "'); DROP TABLE taskqueue_item; --",
    "numbers": [0, -1, 2**31, 2**63 - 1, -(2**63), 2**63, -(2**64), 10**100, 10**4000 + 1],
    "floats": [0.1, -0.0, 1e-320, 1.7976931348623157e308, 5e-324],
    "bytes": bytes(range(256)),
    "times": [
        datetime(2024, 2, 29, 12, 0, 0, 1, timezone.utc),
        datetime(1, 1, 1),
        datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin")),
        date(9999, 12, 31),
        time(23, 59, 59, 999_999),
        timedelta(days=-1, microseconds=1),
    ],
    "exact": [Decimal("0.10"), Decimal("-1E+400"), UUID(int=1)],
    "containers": {"a": (1, [2, {"b": {3, "c"}}], frozenset([4]))},
    "keys": {"": 1, "$date": 2, "$$": 3, "😀": 4, "v": 5, "callback": "os:system", "data": 6},
    "depth": nested(MAX_DEPTH),
    "size": "x" * 1_000_000,
    "size in four bytes": "😀" * 250_000,
}
REFUSED: dict[str, Any] = {
    "NUL": "a\0b",
    "NUL in a key": {"a\0": 1},
    "lone surrogate": "\ud800",
    "lone surrogate in a key": {"\udfff": 1},
    "not a number": float("nan"),
    "infinite": [float("inf")],
    "too deep": nested(MAX_DEPTH + 1),
    "too long": "x" * 1_100_000,
    "too long in four bytes": "😀" * 300_000,
    "too many digits": 10**5000,
    "key of another type": {1: 2},
    "object": object(),
    "function": len,
    "generator": (number for number in ()),
    "complex": 1j,
}


def same(left: Any, right: Any) -> bool:
    """Equal and of the same types, all the way down; -0.0 is not 0.0."""
    if type(left) is not type(right) or left != right:
        return False
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    if isinstance(left, (list, tuple)):
        return all(map(same, left, right))
    return isinstance(left, (set, frozenset)) or repr(left) == repr(right)


@pytest.mark.parametrize("value", KEPT.values(), ids=KEPT)
def test_data_is_kept_exactly(queue: BatchQueue, other: BatchQueue, value: Any) -> None:
    item = queue.create_item(value)

    found = other.claim_item()

    assert found is not None
    assert found.id == item.id
    assert same(found.data, value)


@pytest.mark.parametrize("value", REFUSED.values(), ids=REFUSED)
def test_data_that_cannot_be_kept_is_refused(queue: BatchQueue, value: Any) -> None:
    with pytest.raises(SerializationError, match=r"data|bytes"):
        queue.create_item(value)
    with pytest.raises(SerializationError):
        queue.create_items(["good", value])

    assert queue.number_of_items() == 0


def test_tasks_carry_all_values(queue: BatchQueue, effects: list[Any]) -> None:
    small = {name: value for name, value in KEPT.items() if not name.startswith(("size", "depth"))}
    for value in small.values():
        queue.enqueue(tasks.note, value)

    assert Runner(queue).run_all()
    assert all(same(effect, value) for effect, value in zip(effects, small.values(), strict=True))


@pytest.mark.parametrize("value", [REFUSED["NUL"], REFUSED["not a number"], REFUSED["object"]], ids=shown)
def test_the_path_to_what_cannot_be_kept_is_named(queue: BatchQueue, value: Any) -> None:
    for make, path in (
        (lambda: Task(tasks.note, ("a", {"x": value})), r'args\[1\]\["x"\]'),
        (lambda: Task(tasks.note, kwargs={"key": value}), r'kwargs\["key"\]'),
        (lambda: Task(tasks.note, run_as={"who": value}), r'run_as\["who"\]'),
    ):
        with pytest.raises(SerializationError, match=path):
            queue.create_item(make())

    assert queue.number_of_items() == 0


@pytest.mark.parametrize("title", [KEPT["four bytes"], KEPT["placeholders"], KEPT["quotes"], "x" * 5000], ids=ascii)
def test_titles_are_kept_exactly(queue: BatchQueue, title: str) -> None:
    queue.create_item(Task(tasks.note, (), title))

    (found,) = queue.items()

    assert found.data.title == title


@pytest.mark.parametrize("title", ["a\0b", "\ud800"], ids=ascii)
def test_titles_that_cannot_be_kept_are_refused(queue: BatchQueue, title: str) -> None:
    with pytest.raises(SerializationError, match="title"):
        queue.create_item(Task(tasks.note, (), title))

    assert queue.number_of_items() == 0


ERRORS = {
    "four bytes": ("😀 Größe", "ValueError: 😀 Größe"),
    "placeholders": (KEPT["placeholders"], f"ValueError: {KEPT['placeholders']}"),
    "quotes": (KEPT["quotes"], f"ValueError: {KEPT['quotes']}"),
    "NUL": ("a\0b", "ValueError: a\ufffdb"),
    "lone surrogate": ("a\ud800b", "ValueError: a?b"),
    "empty": ("", "ValueError"),
}


@pytest.mark.parametrize("message, text", ERRORS.values(), ids=ERRORS)
@pytest.mark.parametrize("error", ["abort", "dead"])
def test_error_texts_are_kept_alike(make_queue: MakeQueue, error: str, message: str, text: str) -> None:
    queue = make_queue(error=error)

    def fail(ctx: object) -> None:
        raise ValueError(message)

    queue.create_item(tasks.step(fail))
    Runner(queue).run_all()

    found = queue.dead_items()[0].error if error == "dead" else next(queue.items()).last_error
    assert found == text


def test_long_error_texts_are_cut_alike(make_queue: MakeQueue) -> None:
    queue = make_queue(error="dead")

    def fail(ctx: object) -> None:
        raise ValueError("😀" * 100_000)

    queue.create_item(tasks.step(fail))
    Runner(queue).run_all()

    assert queue.dead_items()[0].error == "ValueError: " + "😀" * (20_000 - len("ValueError: ")) + " …"


def test_a_service_may_allow_less_than_a_mebibyte(make_service: Any, backend: Any) -> None:
    queue = make_service(max_bytes=100).create(backend.type, "jobs")

    queue.create_item("x" * (100 - len(json.dumps({"v": 1, "data": ""}, separators=(",", ":")))))

    with pytest.raises(SerializationError, match=r"100 (can be stored|that the service allows)"):
        queue.create_item("x" * 99)
