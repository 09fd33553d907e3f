"""What becomes of texts, by what a schema expects."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, BeforeValidator, Field

from taskqueue.operations import Operation
from taskqueue.web.webservice_data import data_of


class Colour(str, Enum):
    """Words."""

    RED = "red"


class Tree(BaseModel):
    """Refers to itself."""

    leaves: list[Tree] = []
    size: int = 0
    name: str = ""


class Named(BaseModel):
    """What clients send is called otherwise than the attribute."""

    inner: Annotated[dict[str, Any] | None, Field(alias="element")] = None


class Odd(BaseModel):
    """Has a part of which JSON schema knows nothing."""

    part: Annotated[Any, BeforeValidator(str)] = None


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        (int, "5", 5), (float, "1.5", 1.5), (bool, "true", True), (list[int], "[1]", [1]), (dict, '{"a": 1}', {"a": 1}),
        (int | None, "5", 5), (int | None, "null", None), (Tree, '{"size": 1}', {"size": 1}), (list[Tree], "[]", []),
        (Literal[1, 2], "2", 2), (int | bool, "false", False),
        # A text may stand there.
        (str, "5", "5"), (int | str, "5", "5"), (str | None, "null", "null"), (Any, "5", "5"), (Colour, "1", "1"),
        (Literal["a", 1], "1", "1"), (dict | str, "{}", "{}"), (object, "[]", "[]"),
        # Not what is expected: the schema will say so, or knows better.
        (int, "x", "x"), (int, "true", "true"), (bool, "1", "1"), (list[int], "{}", "{}"), (dict, "[", "["),
        (dict, "[" * 10_000, "[" * 10_000), (int, "NaN", "NaN"), (float, "1" * 5000, "1" * 5000), (dict, '"x"', '"x"'),
    ],
)  # fmt: skip
def test_a_text(kind: Any, text: str, expected: Any) -> None:
    model = type("Model", (BaseModel,), {"__annotations__": {"part": kind}})
    found = data_of(_taking(model), {"part": text, "other": text})
    assert found == {"part": expected, "other": text}
    assert type(found["part"]) is type(expected)


def test_what_is_no_text_stays() -> None:
    assert data_of(_taking(Tree), {"size": [1], "name": 5}) == {"size": [1], "name": 5}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (Tree, {"leaves": [], "size": 5, "name": "5"}),
        (Tree | Named, {"leaves": [], "size": 5, "name": "5"}),
        (dict[str, int], {"leaves": "[]", "size": 5, "name": 5}),
        (dict, {"leaves": "[]", "size": "5", "name": "5"}),
        (Any, {"leaves": "[]", "size": "5", "name": "5"}),
        (int, {"leaves": "[]", "size": "5", "name": "5"}),
    ],
)
def test_kinds_of_schemas(schema: Any, expected: Any) -> None:
    assert data_of(_taking(schema), {"leaves": "[]", "size": "5", "name": "5"}) == expected


def test_a_property_is_known_by_the_name_that_clients_use() -> None:
    assert data_of(_taking(Named), {"element": "{}"}) == {"element": {}}


def test_a_part_of_which_the_schema_says_nothing() -> None:
    assert data_of(_taking(Odd), {"part": "5"}) == {"part": "5"}


def test_without_fields() -> None:
    assert data_of(_taking(type(None)), {}) is None
    assert [data_of(_taking(kind), {}) for kind in (Any, Tree, dict | None, int)] == [{}] * 4


def _taking(schema: Any) -> Operation:
    return Operation("o", lambda ctx, data: None, schema=schema)
