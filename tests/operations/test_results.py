"""What an operation returns: the same for whoever waits for it and whoever fetches it later."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel, Field, SecretStr

from taskqueue import PayloadError, SerializationError, SpecError
from taskqueue.operations import File, OperationFailed, Operations
from taskqueue.operations.results import MAX_BYTES, decoded, encoded, plain
from tests.operations.conftest import drain


class Colour(enum.Enum):
    RED = "red"


class Part(BaseModel):
    name: str = Field(serialization_alias="partName")
    price: Decimal = Decimal("1.50")
    weight: float = math.nan
    raw: bytes = b"ab"


@dataclass
class Order:
    parts: list[Part]
    colour: Colour = Colour.RED
    at: datetime = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)


def both(ops: Operations, value: Any) -> Any:
    """What a direct and a deferred call give, which is the same."""
    ops.operation("give", queueable=True, idempotent=True)(lambda ctx, data: value)
    found = ops.call("give")
    assert repr(ops.call("give", key="k")) == repr(found)
    call = ops.defer("give")
    drain(ops)
    assert ops.get(call.id).state == "succeeded"
    later = ops.result(call.id)
    assert repr(later) == repr(found)
    assert type(later) is type(found)
    return later


# --- values ---


@pytest.mark.parametrize(
    ("value", "given"),
    [
        (None, None),
        (False, False),
        (0, 0),
        (1.0, 1.0),
        (2**70, 2**70),
        ("", ""),
        (Part(name="ä"), {"partName": "ä", "price": "1.50", "weight": None, "raw": "ab"}),
        (
            Order([Part(name="x", weight=1.5)]),
            {"parts": [{"partName": "x", "price": "1.50", "weight": 1.5, "raw": "ab"}], "colour": "red",
             "at": "2026-01-02T03:04:05Z"},
        ),
        (Decimal("1.10"), "1.10"),
        (date(2026, 1, 2), "2026-01-02"),
        (timedelta(hours=1), "PT1H"),
        (UUID(int=7), "00000000-0000-0000-0000-000000000007"),
        ({"a": b"\xff"}, {"a": "_w=="}),
        ((1, (2,)), [1, [2]]),
        ({3}, [3]),
        (frozenset({"a"}), ["a"]),
        (Colour.RED, "red"),
        ({Colour.RED: 1, 2: "x"}, {"red": 1, "2": "x"}),
        ([math.nan, math.inf, {"a": -math.inf}], [None, None, {"a": None}]),
        (math.nan, None),
        ({"$bytes": "x", "a": {"$$int": 1}}, {"$bytes": "x", "a": {"$$int": 1}}),
        ({"$file": 1}, {"$file": 1}),
        ({"file": {"content": "x"}}, {"file": {"content": "x"}}),
        (SecretStr("hunter2"), "**********"),
        (b"abc", File(b"abc")),
        (bytearray(b"abc"), File(b"abc")),
        pytest.param(memoryview(b"abc"), File(b"abc"), id="memoryview"),
    ],
    ids=lambda value: repr(value)[:25],
)  # fmt: skip
def test_direct_and_deferred_calls_give_the_same(ops: Operations, value: Any, given: Any) -> None:
    assert both(ops, value) == given


def test_a_tree_deeper_than_data_may_be_is_a_result(ops: Operations) -> None:
    value: Any = "leaf"
    for _ in range(150):
        value = {"child": value}
    assert both(ops, value) == value


@pytest.mark.parametrize("value", [object(), {"a": object()}, {"a": {"b": lambda: 1}}, {"text": "\ud800"}],
                         ids=["object", "inside", "function", "surrogate"])  # fmt: skip
def test_what_is_no_json_ends_dead_at_the_first_attempt_and_writes_nothing(ops: Operations, value: Any) -> None:
    done = []
    ops.operation("give", queueable=True)(lambda ctx, data: done.append(1) or value)
    call = ops.defer("give")
    drain(ops)
    found = ops.get(call.id)
    assert (found.state, found.attempts, done) == ("dead", 1, [1])
    [letter] = ops.service.load("operations").dead_items()
    assert "result" in letter.error or "returned" in letter.error


def test_a_direct_call_is_told_what_is_no_json(ops: Operations) -> None:
    ops.operation("give")(lambda ctx, data: object())
    with pytest.raises(SerializationError, match="the result is no JSON: Unable to serialize"):
        ops.call("give")


# --- sizes ---


def test_the_largest_result() -> None:
    frame = len(encoded(""))
    assert decoded(encoded("x" * (MAX_BYTES - frame - 4))) == "x" * (MAX_BYTES - frame - 4)
    for value in (
        "x" * (MAX_BYTES - frame + 1),
        "ä" * (MAX_BYTES // 2),
        '"' * (MAX_BYTES // 3),
        File(b"x" * MAX_BYTES),
    ):
        with pytest.raises(SerializationError, match=rf"result takes \d+ bytes .*at most {MAX_BYTES} can be stored"):
            encoded(value)


@pytest.mark.parametrize("value", ["x" * (MAX_BYTES - 100), '"' * 3_900_000, "\\" * 3_900_000, "'" * 7_800_000,
                                   "ä" * 7_800_000, File(b"\xff" * 11_700_000)],
                         ids=["plain", "quotes", "backslashes", "apostrophes", "umlauts", "file"])  # fmt: skip
def test_the_largest_results_fit_into_each_database(ops: Operations, value: Any) -> None:
    ops.operation("give", queueable=True)(lambda ctx, data: value)
    call = ops.defer("give")
    drain(ops)
    assert ops.get(call.id).state == "succeeded"
    assert ops.result(call.id) == value


def test_one_that_is_too_large_ends_dead_at_once(ops: Operations) -> None:
    ops.operation("give", queueable=True)(lambda ctx, data: '"' * 7_000_000)
    call = ops.defer("give")
    drain(ops)
    found = ops.get(call.id)
    assert (found.state, found.attempts) == ("dead", 1)
    [letter] = ops.service.load("operations").dead_items()
    assert "return a File" in letter.error


# --- files ---


@pytest.mark.parametrize(
    "file",
    [
        File(b""),
        File(b"\0\xff", "application/pdf", "ä ö/😀.pdf"),
        File(b"a", "text/csv; charset=utf-8; header=present", "a.csv"),
        File(b"a", 'application/x; name="a b"', "x" * 200),
        File(b"a", "application/vnd.oasis.opendocument.text"),
        File(b"a", "image/svg+xml", 'quo"te.svg'),
    ],
    ids=str,
)
def test_a_file_comes_as_it_was_given(ops: Operations, file: File) -> None:
    assert both(ops, file) == file


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"content": "text"}, "the content of a File is bytes, not 'text'"),
        ({"content": bytearray(b"x")}, "the content of a File is bytes"),
        ({"media_type": ""}, "media_type of a File is a text such as 'application/pdf', not ''"),
        ({"media_type": "pdf"}, "media_type of a File"),
        ({"media_type": "text/html\r\nX-Evil: 1"}, "media_type of a File"),
        ({"media_type": "text/ä"}, "media_type of a File"),
        ({"media_type": "text/plain;"}, "media_type of a File"),
        ({"media_type": None}, "media_type of a File"),
        ({"media_type": "a/" + "b" * 200}, "media_type of a File"),
        ({"name": ""}, "name of a File is a text of 1 to 200 characters in one line, not ''"),
        ({"name": "a\nb"}, "name of a File"),
        ({"name": "a\0"}, "name of a File"),
        ({"name": "\ud800"}, "name of a File"),
        ({"name": "a\u202egpj.exe"}, "name of a File"),
        ({"name": "x" * 201}, "name of a File"),
        ({"name": 5}, "name of a File"),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_a_file_that_no_browser_could_be_sent_is_refused(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(SpecError, match=told):
        File(**{"content": b"", **fields})


@pytest.mark.parametrize("text", ["", "{}", '{"v":1}', '{"value":1,"file":2}', '{"file":{"content":"x"}}', "[1]", "nul",
                                  '{"file":{"content":1,"media_type":"a/b","name":null}}', '{"file":1}'])  # fmt: skip
def test_a_stored_result_that_is_none_of_ours_is_said_to_be_so(text: str) -> None:
    with pytest.raises(PayloadError):
        decoded(text)


def test_nothing_is_none() -> None:
    assert (decoded(None), decoded(encoded(None)), plain(None)) == (None, None, None)


# --- errors ---


class Odd:
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("details", "stored"),
    [
        ({"at": date(2026, 1, 2), "n": [Decimal("1.0"), math.nan]}, {"at": "2026-01-02", "n": ["1.0", None]}),
        ({(1, 2): {"a"}}, {"1,2": ["a"]}),
        ({"x": "\0\ud800"}, {"x": "\0\ud800"}),
        ("text", "text"),
        (0, 0),
        ([], []),
        (Odd(), None),
        ("x" * 70_000, None),
        (ValueError("plain"), "plain"),
    ],
    ids=lambda value: ascii(type(value)),
)
def test_the_details_of_an_error_are_stored_as_json_whatever_they_are(
    ops: Operations, details: Any, stored: Any
) -> None:
    @ops.operation("refuse", queueable=True)
    def refuse(ctx: Any, data: Any) -> None:
        raise OperationFailed("n\0o 😀", code="odd", details=details)

    call = ops.defer("refuse")
    drain(ops)
    expected = {"code": "odd", "message": "n\ufffdo 😀", **({} if stored is None else {"details": stored})}
    assert ops.get(call.id).error == expected
    with pytest.raises(OperationFailed, match="o 😀") as caught:
        ops.call("refuse")
    assert caught.value.facts() == expected


@pytest.mark.parametrize("code", ["", "no such thing", "ä", 5, "x" * 200])
def test_the_code_of_an_error_is_one_word(code: Any) -> None:
    with pytest.raises(SpecError, match="the code of an error is one word for programs"):
        OperationFailed("no", code=code)
