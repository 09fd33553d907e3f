"""Data: validated as JSON when a call is made, and again when it is executed."""

from __future__ import annotations

import dataclasses
import enum
import json
import math
import re
from datetime import date, datetime, timezone
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

import pytest
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from taskqueue import SpecError
from taskqueue.operations import InvalidData, Operations
from taskqueue.operations.definition import Operation
from tests.operations.conftest import drain

MOMENT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=timezone.utc)
NAME = UUID(int=7)


class Colour(enum.Enum):
    RED = "red"


class Model(BaseModel):
    at: datetime
    id: UUID
    price: Decimal
    colour: Colour
    sizes: tuple[int, int]
    tags: set[str] = set()
    by_number: dict[int, str] = {}


class Strict(Model):
    model_config = ConfigDict(strict=True)


@dataclasses.dataclass
class Data:
    at: datetime
    id: UUID
    price: Decimal
    colour: Colour
    sizes: tuple[int, int]
    tags: set[str] = dataclasses.field(default_factory=set)
    by_number: dict[int, str] = dataclasses.field(default_factory=dict)


class Typed(TypedDict):
    at: datetime
    id: UUID
    price: Decimal
    colour: Colour
    sizes: tuple[int, int]


class Tree(BaseModel):
    name: str
    children: list[Tree] = []


class Aliased(BaseModel):
    model_config = ConfigDict(extra="forbid")
    first: str = Field(alias="firstName")
    size: int = 7


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]


def operation(schema: Any, **marks: Any) -> Operation:
    return Operation("check", lambda ctx, data: data, schema=schema, **marks)


def refused(schema: Any, data: Any) -> InvalidData:
    checked = operation(schema)
    with pytest.raises(InvalidData) as caught:
        checked.validated(checked.plain(data))
    assert (caught.value.code, caught.value.status) == ("invalid_data", 422)
    return caught.value


# --- kinds of schemas ---


SENT = {
    "at": "2026-03-04T05:06:07Z", "id": str(NAME), "price": "1.50", "colour": "red", "sizes": [1, 2], "tags": ["a"],
    "by_number": {"1": "one"},
}  # fmt: skip
MEANT = {
    "at": MOMENT, "id": NAME, "price": Decimal("1.50"), "colour": Colour.RED, "sizes": (1, 2), "tags": {"a"},
    "by_number": {1: "one"},
}  # fmt: skip


@pytest.mark.parametrize("schema", [Model, Strict, Data])
def test_what_a_client_sends_becomes_what_the_function_takes(schema: Any) -> None:
    checked = operation(schema)
    found = checked.validated(checked.plain(SENT))
    assert found == schema(**MEANT)
    # A caller in Python may give the thing itself, of which the same JSON is made.
    assert checked.validated(checked.plain(schema(**MEANT))) == found


def test_a_typed_dict_is_a_schema() -> None:
    checked, sent = operation(Typed), {name: SENT[name] for name in Typed.__annotations__}
    assert checked.validated(checked.plain(sent)) == {name: MEANT[name] for name in Typed.__annotations__}
    assert checked.takes["required"] == [*Typed.__annotations__]


def test_a_strict_schema_takes_no_text_for_a_number() -> None:
    class Lax(BaseModel):
        size: int

    class Exact(Lax):
        model_config = ConfigDict(strict=True)

    assert operation(Lax).validated({"size": "5"}) == Lax(size=5)
    assert [one["kind"] for one in refused(Exact, {"size": "5"}).details] == ["int_type"]


def test_aliases_and_defaults() -> None:
    checked = operation(Aliased)
    assert checked.validated({"firstName": "Ann"}) == Aliased(firstName="Ann", size=7)
    assert [(one["at"], one["kind"]) for one in refused(Aliased, {"first": "Ann"}).details] == [
        (["firstName"], "missing"), (["first"], "extra_forbidden"),
    ]  # fmt: skip
    assert "firstName" in checked.takes["properties"]


def test_a_union_names_the_place_in_each_of_its_kinds() -> None:
    found = refused(Cat | Dog, {"kind": "cat"})
    assert [(one["at"], one["kind"]) for one in found.details] == [
        (["Cat", "lives"], "missing"), (["Dog", "kind"], "literal_error"),
    ]  # fmt: skip


def test_problems_have_their_place_a_sentence_and_a_kind() -> None:
    found = refused(Tree, {"name": "a", "children": [{"name": "b"}, {"name": 5}]})
    assert found.details == [
        {"at": ["children", 1, "name"], "message": "Input should be a valid string", "kind": "string_type"}
    ]
    assert found.message == "the data of check do not fit its schema"
    assert str(found) == f"{found.message}: children.1.name: Input should be a valid string"
    json.dumps(found.facts())


def test_of_very_many_problems_fifty_are_told_and_none_twice() -> None:
    found = refused(list[int], ["x"] * 1000)
    assert len(found.details) == 50
    assert [part.split(":")[0] for part in str(found).split("; ")[1:]] == ["1", "2", "and 47 more"]
    assert refused(dict[str, int], {"x" * 90 + str(number): "no" for number in range(3)}).details == [
        {"at": ["x" * 80], "kind": "int_parsing",
         "message": "Input should be a valid integer, unable to parse string as an integer"}
    ]  # fmt: skip


# --- what no JSON, or no database, holds ---


def _deep(levels: int) -> Any:
    data: Any = []
    for _ in range(levels - 1):
        data = [data]
    return data


def _round() -> list[Any]:
    data: list[Any] = []
    data.append(data)
    return data


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (math.nan, "is the float nan"),
        ({"a": [1, -math.inf]}, r'data\["a"\]\[1\] is the float -inf'),
        ({"a": "\ud800"}, r'data\["a"\] contains a lone surrogate'),
        ({"a\ud800": 1}, "surrogates not allowed"),
        ({"a": "b\0"}, r'data\["a"\] contains a NUL'),
        ({"a\0": 1}, "contains a NUL"),
        (10**5000, "an int of more than 14284 bits"),
        (_deep(32), "nested deeper than the 31 levels allowed"),
        (_deep(1000), "depth exceeded|nested deeper"),
        (_deep(100_000), "depth exceeded|nested deeper"),
        (_round(), "Circular reference"),
        ({"a": object()}, "Unable to serialize unknown type: <class 'object'>"),
        ({"a": b"\xff"}, "invalid utf-8"),
        (lambda: 1, "Unable to serialize unknown type"),
    ],
    ids=lambda value: str(value)[:20] if isinstance(value, str) else "",
)
@pytest.mark.parametrize("schema", [None, Any, Tree], ids=["none", "any", "tree"])
def test_what_cannot_be_sent_as_json_is_invalid(schema: Any, data: Any, told: str) -> None:
    error = refused(schema, data)
    assert error.details is None
    assert re.search(told, error.message)
    assert error.__cause__ is None


@pytest.mark.parametrize("data", [_deep(31), 2**63, -(2**200), 1e308, 10**4000, "ä😀 ", {"$int": "x"}, {"$$": 1}, "",
                                  None, {"": ""}], ids=lambda value: str(value)[:10])  # fmt: skip
def test_what_can_be_stored_reaches_the_function_as_it_is(ops: Operations, data: Any) -> None:
    seen = []
    ops.operation("note", queueable=True)(lambda ctx, data: seen.append(data))
    ops.call("note", data)
    ops.defer("note", data)
    drain(ops)
    assert seen == [data, data]


def test_keys_that_are_no_texts_become_texts(ops: Operations) -> None:
    seen = []
    ops.operation("note", queueable=True)(lambda ctx, data: seen.append(data))
    for make in (ops.call, ops.defer):
        make("note", {1: "a", None: "b"})
    drain(ops)
    assert seen == [{"1": "a", "None": "b"}] * 2


def test_data_that_are_too_large_to_be_stored_are_invalid_when_they_would_be(ops: Operations) -> None:
    ops.operation("size", queueable=True, idempotent=True)(lambda ctx, data: len(data))
    large = "x" * 1_100_000
    assert ops.call("size", large) == len(large)
    for make in (lambda: ops.defer("size", large), lambda: ops.call("size", large, key="k")):
        with pytest.raises(InvalidData, match=r"the data are too large to be stored: .* at most 1048576"):
            make()
    assert ops.calls() == []


# --- at both times ---


def test_invalid_data_are_refused_at_once_and_nothing_is_recorded(ops: Operations) -> None:
    done = []
    ops.operation("create", queueable=True, schema=Tree)(lambda ctx, data: done.append(data))
    for make in (ops.call, ops.defer):
        with pytest.raises(InvalidData):
            make("create", {"nam": "x"})
    assert (ops.calls(), drain(ops), done) == ([], 0, [])


def test_data_that_a_later_release_does_not_take_any_more_have_failed(ops: Operations) -> None:
    class Later(BaseModel):
        name: str
        mail: str

    done = []
    ops.operation("create", queueable=True, schema=Tree)(lambda ctx, data: done.append(data))
    call = ops.defer("create", {"name": "hunter2"})
    ops._operations.clear()
    ops.operation("create", queueable=True, schema=Later)(lambda ctx, data: done.append(data))
    assert drain(ops) == 1
    found = ops.get(call.id)
    assert (found.state, found.attempts, done) == ("failed", 1, [])
    assert found.error == {
        "code": "invalid_data", "message": "the data of create do not fit its schema",
        "details": [{"at": ["mail"], "message": "Field required", "kind": "missing"}],
    }  # fmt: skip


def test_data_are_validated_anew_so_that_nobody_changes_those_of_others(ops: Operations) -> None:
    seen = []

    @ops.operation("create", queueable=True, schema=Tree, permit=lambda user, data: data.children.clear() is None)
    def create(ctx: Any, data: Tree) -> None:
        seen.append(data.name)
        data.name = "changed"

    given = {"name": "a", "children": [{"name": "b"}]}
    ops.call("create", given)
    call = ops.defer("create", given)
    drain(ops)
    assert ops.get(call.id).state == "succeeded"
    assert (seen, given) == (["a", "a"], {"name": "a", "children": [{"name": "b"}]})


def test_dates_of_a_caller_in_python_are_those_of_the_function(ops: Operations) -> None:
    seen = []
    ops.operation("note", queueable=True, schema=dict[str, date])(lambda ctx, data: seen.append(data))
    ops.defer("note", {"on": date(2026, 2, 3)})
    drain(ops)
    assert seen == [{"on": date(2026, 2, 3)}]


def test_a_schema_may_refuse_itself_only_when_it_is_declared() -> None:
    with pytest.raises(SpecError):
        operation(5)
