"""What is said of data that do not fit: enough to mend them, and nothing of what was sent."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from pydantic import BaseModel, ConfigDict, Field, HttpUrl, SecretStr, field_validator, model_validator

from taskqueue.operations import InvalidData, Operations
from taskqueue.operations.definition import Operation


class Cat(BaseModel):
    kind: Literal["cat"]


class Dog(BaseModel):
    kind: Literal["dog"]


def refused(schema: Any, data: Any) -> InvalidData:
    operation = Operation("check", lambda ctx, data: None, schema=schema)
    with pytest.raises(InvalidData) as caught:
        operation.validated(operation.plain(data))
    return caught.value


@pytest.mark.parametrize("make", [
    lambda value: ValueError(f"{value} is no password"),
    lambda value: AssertionError(f"not {value!r}"),
])  # fmt: skip
def test_where_there_are_secrets_problems_do_not_repeat_what_was_sent(make: Callable[[Any], Exception]) -> None:
    class Login(BaseModel):
        password: SecretStr
        pin: int = 0

        @field_validator("password", "pin", mode="before")
        @classmethod
        def check(cls, value: Any) -> Any:
            raise make(value)

    class Whole(BaseModel):
        password: SecretStr
        pin: int = 0

        @model_validator(mode="before")
        @classmethod
        def check(cls, data: Any) -> Any:
            raise make(f"{data['password']} {data['pin']}")

    for schema in (Login, Whole):
        error = refused(schema, {"password": "hunter'2", "pin": 4711})
        told = f"{error.facts()} {error.__cause__} {error}"
        assert "hunter" not in told
        assert "4711" not in told
        assert "…" in told


def test_without_secrets_a_validator_says_what_it_says() -> None:
    class Chosen(BaseModel):
        colour: str

        @field_validator("colour")
        @classmethod
        def check(cls, value: str) -> str:
            raise ValueError(f"there is no colour {value!r} (did you mean 'pinkish'?)")

    [problem] = refused(Chosen, {"colour": "pink"}).details
    assert problem["message"] == "Value error, there is no colour 'pink' (did you mean 'pinkish'?)"


def test_what_pydantic_says_does_not_repeat_what_was_sent() -> None:
    class Many(BaseModel):
        model_config = ConfigDict(extra="forbid")
        number: int
        at: datetime
        day: date
        id: UUID
        price: Decimal
        url: HttpUrl
        kind: Literal["a"]
        code: str = Field(pattern="^[0-9]+$")
        short: str = Field(max_length=3)

    error = refused(Many, dict.fromkeys(Many.model_fields, "hunter-2"))
    assert len(error.details) == 9
    assert "hunter" not in str(error.facts())


def test_an_unknown_tag_is_not_repeated() -> None:
    schema = Annotated[Cat | Dog, Field(discriminator="kind")]
    error = refused(schema, {"kind": "hunter2"})
    assert [one["kind"] for one in error.details] == ["union_tag_invalid"]
    assert "hunter2" not in str(error.facts())
    assert "'cat', 'dog'" in str(error.facts())


def test_much_input_is_not_searched_for_what_must_not_be_repeated() -> None:
    class Long(BaseModel):
        names: list[str]
        password: SecretStr | None = None

        @model_validator(mode="after")
        def check(self) -> Long:
            raise ValueError(f"{self.names[-1]} is wrong")

    error = refused(Long, {"names": [f"name{number}" for number in range(5000)]})
    assert error.details == [{"at": [], "message": "the value is not allowed", "kind": "value_error"}]


def test_a_validator_that_is_broken_is_no_fault_of_the_data(ops: Operations) -> None:
    class Broken(BaseModel):
        name: str

        @field_validator("name")
        @classmethod
        def check(cls, value: str) -> str:
            raise KeyError(value) if value == "Ann" else Odd

    class Odd(ValueError):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    ops.operation("x", queueable=True, schema=Broken)(lambda ctx, data: None)
    for make in (ops.call, ops.defer):
        with pytest.raises(KeyError):
            make("x", {"name": "Ann"})
        with pytest.raises(RuntimeError):
            make("x", {"name": "Bob"})
    assert ops.calls() == []


def test_a_validator_that_recurses_for_ever_makes_data_invalid() -> None:
    class Endless(BaseModel):
        name: str

        @field_validator("name")
        @classmethod
        def check(cls, value: str) -> str:
            return cls.check(value)

    refused(Endless, {"name": "x"})
