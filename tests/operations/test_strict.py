"""Data as JSON has them, and moments at the edge of time."""

from __future__ import annotations

from datetime import date, datetime, timezone
from typing import Annotated, Any
from uuid import UUID

import pytest
from pydantic import BaseModel, ConfigDict, Field

from taskqueue.operations import InvalidData, Operations
from tests.operations.conftest import drain


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)
    day: date
    number: int
    ids: tuple[UUID, ...] = ()


def test_a_strict_model_takes_what_json_can_say(ops: Operations) -> None:
    @ops.operation("note", queueable=True)
    def note(ctx: Any, data: Strict) -> list[str]:
        return [type(data.day).__name__, type(data.ids[0]).__name__]

    data = {"day": "2030-01-31", "number": 1, "ids": ["12345678123456781234567812345678"]}
    assert ops.call("note", data) == ["date", "UUID"]
    call = ops.defer("note", Strict(day=date(2030, 1, 31), number=1, ids=(UUID(int=1),)))
    drain(ops)
    assert ops.result(call.id) == ["date", "UUID"]
    with pytest.raises(InvalidData) as caught:
        ops.call("note", {**data, "number": "1"})
    assert [one["at"] for one in caught.value.details] == [["number"]]


@pytest.mark.parametrize("value", [10**5000, "\ud800"], ids=["number", "half of a character"])
def test_what_json_cannot_carry_is_refused(ops: Operations, value: Any) -> None:
    ops.operation("note")(lambda ctx, data: data)
    with pytest.raises(InvalidData):
        ops.call("note", value)


@pytest.mark.parametrize("expires", [0, 0.0001, datetime(1960, 1, 1, tzinfo=timezone.utc)], ids=str)
def test_an_end_of_time_that_is_over_is_no_lack_of_one(ops: Operations, expires: Any) -> None:
    ops.operation("note", queueable=True)(lambda ctx, data: None)
    call = ops.defer("note", expires=expires)
    drain(ops, 1)
    assert ops.get(call.id).state == "expired"


def test_a_moment_before_all_clocks_is_now(ops: Operations) -> None:
    ops.operation("note", queueable=True)(lambda ctx, data: None)
    call = ops.defer("note", release_time=datetime(1, 1, 1, tzinfo=timezone.utc))
    assert drain(ops) == 1
    assert ops.get(call.id).state == "succeeded"


def test_what_is_annotated_counts(ops: Operations) -> None:
    @ops.operation("note")
    def note(ctx: Any, data: Annotated[str, Field(max_length=3)]) -> str:
        return data

    assert ops.named("note").takes == {"type": "string", "maxLength": 3}
    assert ops.call("note", "abc") == "abc"
    with pytest.raises(InvalidData):
        ops.call("note", "abcd")
