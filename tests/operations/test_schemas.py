"""What an operation says of its results."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator, BaseModel, Field
from typing_extensions import TypedDict

from taskqueue.operations import File
from taskqueue.operations.definition import Operation


class Part(BaseModel):
    name: str = Field(serialization_alias="partName")


class Row(TypedDict):
    name: str


def _of(annotation: Any) -> Callable[..., Any]:
    def give(ctx: Any, data: Any) -> Any: ...

    give.__annotations__["return"] = annotation
    return give


@pytest.mark.parametrize(
    ("annotation", "schema"),
    [
        (int, {"type": "integer"}),
        ("int", {"type": "integer"}),
        (list[int], {"type": "array", "items": {"type": "integer"}}),
        (dict[str, bool], {"type": "object", "additionalProperties": {"type": "boolean"}}),
        (Row, {"type": "object", "title": "Row", "required": ["name"],
               "properties": {"name": {"title": "Name", "type": "string"}}}),
        (int | None, {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        (Annotated[int, Field(ge=1)], {"type": "integer", "minimum": 1}),
        (datetime, {"type": "string", "format": "date-time"}),
        (None, {}), (Any, {}), ("None", {}), ("Unheard", {}), (object, {}), (Callable, {}), (5, {}),
        (File, {}), (bytes, {}), (File | None, {}), (Part | File, {}), (Annotated[bytes, "x"], {}), (bytearray, {}),
    ],
    ids=str,
)  # fmt: skip
def test_the_schema_of_a_result_is_that_of_the_annotation(annotation: Any, schema: dict[str, Any]) -> None:
    assert Operation("give", _of(annotation)).gives == schema


@pytest.mark.parametrize(
    ("annotation", "kind"),
    [(File, "file"), (bytes, "file"), (File | bytes, "file"), (Annotated[File, "x"], "file"), (File | None, "any"),
     (Any, "any"), ("Unheard", "any"), (Part | File, "any"), (None, "json"), (Part, "json"), (dict[str, bytes], "json"),
     (int | str, "json")],
    ids=str,
)  # fmt: skip
def test_what_kind_of_result_is_announced(annotation: Any, kind: str) -> None:
    assert Operation("give", _of(annotation)).result_kind == kind


def test_whether_data_are_needed() -> None:
    def checked(value: Any) -> Any:
        raise KeyError(value)

    for schema, nothing in (
        (int, False),
        (int | None, True),
        (Any, True),
        (Annotated[Any, AfterValidator(checked)], False),
    ):
        assert Operation("x", lambda ctx, data: None, schema=schema).takes_nothing is nothing


def test_the_schema_of_models_is_that_of_what_is_sent() -> None:
    found = Operation("give", _of(list[Part])).gives
    assert found["items"] == {"$ref": "#/components/schemas/Part"}
    assert "partName" in found["$defs"]["Part"]["properties"]

    async def give(ctx: Any, data: Any) -> list[int]: ...  # type: ignore[empty-body]

    assert Operation("give", give).gives == {"type": "array", "items": {"type": "integer"}}
