"""Secrets among the data are never stored: an operation that takes some cannot be deferred, which it is told early."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import pydantic
import pytest
from pydantic import BaseModel, Field, SecretBytes, SecretStr

from taskqueue import SpecError
from taskqueue.operations import InvalidData, NotQueueable, Operations
from taskqueue.operations.definition import Operation
from taskqueue.operations.registry import Registry


class Login(BaseModel):
    user: str
    password: SecretStr


@dataclass
class Nested:
    logins: dict[str, list[Login]]


class Marked(BaseModel):
    pin: str = Field(json_schema_extra={"writeOnly": True})


class Tree(BaseModel):
    key: SecretBytes | None = None
    below: list[Tree] = []


class Harmless(BaseModel):
    """Names alone say nothing: "token" may be a word of a text, "password" a flag."""

    token: str
    password: bool
    writeOnly: bool = True


@pytest.mark.parametrize(
    ("schema", "place"),
    [(Login, "password"), (Nested, "password"), (Marked, "pin"), (Tree, "key"), (SecretStr, "its data"),
     (list[SecretBytes], "its data"), (Annotated[SecretStr, Field(min_length=3)], "its data")],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("marks", [{"queueable": True}, {"idempotent": True}], ids=str)
def test_an_operation_that_takes_a_secret_can_neither_be_deferred_nor_take_keys(
    schema: Any, place: str, marks: dict[str, bool]
) -> None:
    registry = Registry()
    with pytest.raises(SpecError, match=rf"operation 'x' takes a secret \({place}\), which a queue must not store"):
        registry.operation("x", schema=schema, **marks)(lambda ctx, data: None)
    registry.operation("x", schema=schema)(lambda ctx, data: None)


def test_names_alone_are_no_secrets() -> None:
    Operation("x", lambda ctx, data: None, queueable=True, idempotent=True, schema=Harmless)


def test_a_direct_call_gets_the_secret_and_stores_nothing(ops: Operations) -> None:
    seen = []

    @ops.operation("login")
    def login(ctx: Any, data: Login) -> str:
        seen.append(data.password.get_secret_value())
        return f"{data.user} is in"

    assert ops.call("login", {"user": "ann", "password": "hunter2"}) == "ann is in"
    assert seen == ["hunter2"]
    with pytest.raises(NotQueueable):
        ops.defer("login", {"user": "ann", "password": "hunter2"})
    assert ops.calls() == []


def test_a_masked_secret_is_never_taken_for_the_secret(ops: Operations) -> None:
    done = []
    ops.operation("login", schema=Login)(lambda ctx, data: done.append(data))
    ops.operation("any", queueable=True)(lambda ctx, data: done.append(data))
    login = Login(user="ann", password=SecretStr("hunter2"))
    nested = Nested({"a": [login]})
    for name, data in (("login", login), ("any", login), ("any", nested), ("any", {"a": [SecretBytes(b"x")]})):
        with pytest.raises(InvalidData, match="asterisks only: give its value, as a client sends it") as caught:
            ops.call(name, data)
        assert "hunter2" not in str(caught.value)
    with pytest.raises(InvalidData):
        ops.defer("any", nested)
    assert (done, ops.calls()) == ([], [])


@pytest.mark.skipif(not hasattr(pydantic, "Secret"), reason="this pydantic has none")
def test_a_secret_that_the_schema_does_not_tell_is_not_stored_either(ops: Operations) -> None:
    class Pin(BaseModel):
        pin: pydantic.Secret[int]

    ops.operation("x", queueable=True, idempotent=True, schema=Pin)(lambda ctx, data: data.pin.get_secret_value())
    for make in (lambda: ops.defer("x", {"pin": 4711}), lambda: ops.call("x", {"pin": 4711}, key="k")):
        with pytest.raises(SpecError, match="as its data show, which a queue must not store"):
            make()
    assert ops.calls() == []


def test_what_is_shown_of_a_call_has_none_of_its_data(ops: Operations) -> None:
    ops.operation("note", queueable=True)(lambda ctx, data: None)
    call = ops.defer("note", {"password": "hunter2"})
    assert "hunter2" not in f"{call} {call.facts()} {ops.calls()}"
    assert "hunter2" not in str([*ops.service.load("operations").items()])
