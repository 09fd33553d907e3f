"""An application with operations of all kinds, and the clients who call them."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from flask import Flask, request
from flask.testing import FlaskClient
from pydantic import BaseModel, ConfigDict, Field
from werkzeug.test import TestResponse

from taskqueue import QueueService
from taskqueue.operations import File, Limits, OperationContext, OperationError, OperationFailed, Operations, User
from taskqueue.web import OperationsApi
from tests.operations.conftest import contacts

USERS = {
    "alice": User("alice", frozenset({"sales"})),
    "bob": User("bob"),
    "admin": User("root", is_admin=True),
    "gone": User("gone", is_active=False),
}
#: What must not come out of the program.
SECRET = "s3cr3t of the program"


class Model(BaseModel):
    """What the published schema says is all that is taken."""

    model_config = ConfigDict(strict=True, extra="forbid")


class Address(Model):
    street: str = Field(max_length=50)
    zip: str = Field(pattern=r"^[0-9]{5}$")


class Contact(Model):
    name: Annotated[str, Field(min_length=1, max_length=100)]
    born: date | None = None
    addresses: list[Address] = Field(default_factory=list, max_length=3)
    rating: Literal["hot", "cold"] | None = None


class Cat(Model):
    kind: Literal["cat"]
    lives: int = Field(ge=0, le=9)


class Dog(Model):
    kind: Literal["dog"]
    name: str = Field(max_length=20)


class Zoo(Model):
    animals: list[Annotated[Cat | Dog, Field(discriminator="kind")]] = Field(max_length=3)


class Tree(Model):
    name: str = Field(max_length=10)
    children: list[Tree] = Field(default_factory=list, max_length=2)


class Created(BaseModel):
    id: int
    name: str


class Conflict(OperationError):
    status = 409
    usual_code = "conflict"


def register(ops: Operations) -> None:
    """Give ``ops`` its operations."""

    @ops.operation("create_contact", queueable=True, idempotent=True, roles={"sales"}, aliases=["new_contact"])
    def create_contact(ctx: OperationContext, data: Contact) -> Created:
        """Adds a contact.

        No more of this is shown.
        """
        done = ctx.session.execute(contacts.insert().values(name=data.name))
        return Created(id=(done.inserted_primary_key or [0])[0], name=data.name)

    @ops.operation("echo", queueable=True, idempotent=True)
    def echo(ctx: OperationContext, data: Any) -> Any:
        """Returns what it is given."""
        return data

    @ops.operation("now")
    def now(ctx: OperationContext, data: None) -> str:
        """Cannot be deferred."""
        return "now"

    @ops.operation("zoo", queueable=True)
    def zoo(ctx: OperationContext, data: Zoo) -> dict[str, int]:
        return {"animals": len(data.animals)}

    @ops.operation("tree")
    def tree(ctx: OperationContext, data: Tree) -> Tree:
        return data

    @ops.operation("text:document", queueable=True)
    def document(ctx: OperationContext, data: Annotated[str, Field(pattern="^[ -~]{1,50}$")] | None) -> File:
        return File(b"<script>alert(1)</script>", "text/html", data)

    @ops.operation("raw", queueable=True)
    def raw(ctx: OperationContext, data: Annotated[str, Field(max_length=100, strict=True)]) -> bytes:
        return data.encode()

    @ops.operation("conflict", queueable=True, idempotent=True)
    def conflict(ctx: OperationContext, data: Any) -> None:
        raise Conflict("somebody else has changed it")

    @ops.operation("few", queueable=True, limits=Limits(pending=1))
    def few(ctx: OperationContext, data: Any) -> None:
        """At most one at a time."""

    @ops.operation("private", queueable=True, permit=lambda user, data: not data.startswith("s"))
    def private(ctx: OperationContext, data: str) -> str:
        return data


def register_failing(ops: Operations) -> None:
    """Give ``ops`` those that never return anything."""

    @ops.operation("refuse", queueable=True, idempotent=True)
    def refuse(ctx: OperationContext, data: Any) -> None:
        raise OperationFailed("there is one already", code="duplicate", details={"at": ["name"]})

    @ops.operation("crash", queueable=True, idempotent=True, retry=1)
    def crash(ctx: OperationContext, data: Any) -> None:
        raise ValueError(SECRET)


def user() -> User | None:
    """Who calls."""
    return USERS.get(request.headers.get("Authorization", "").removeprefix("Bearer "))


def create_app(service: QueueService, *, with_failing: bool = True, **options: Any) -> Flask:
    """An application; who calls says so in the header Authorization."""
    ops = Operations(service)
    register(ops)
    if with_failing:
        register_failing(ops)
    app = Flask("tests")
    app.secret_key = "only for tests"
    security = {"type": "http", "scheme": "bearer"}
    usual: dict[str, Any] = {"identity": user, "security": security}
    OperationsApi(app, ops, **{**usual, **options})
    app.extensions["tests"] = ops
    return app


class Client:
    """Somebody who calls operations."""

    def __init__(self, app: Flask, name: str | None = "alice") -> None:
        self.client: FlaskClient = app.test_client()
        self.name = name

    def get(self, path: str, **headers: str) -> TestResponse:
        return self.send("GET", path, **headers)

    def delete(self, path: str, **headers: str) -> TestResponse:
        return self.send("DELETE", path, **headers)

    def post(self, path: str, data: Any = None, options: Any = None, **headers: str) -> TestResponse:
        """Call an operation."""
        body = {"data": data, **({"options": options} if options is not None else {})}
        return self.send("POST", path, json=body, **headers)

    def defer(self, name: str, data: Any = None, **options: Any) -> str:
        """Defer a call; where it is found."""
        answer = self.post(f"/ops/{name}", data, {"defer": True, **options})
        assert answer.status_code == 202, answer.text
        assert answer.location is not None
        return answer.location

    def retry(self, path: str, **headers: str) -> TestResponse:
        return self.send("POST", f"{path}/retry", json={}, **headers)

    def send(self, method: str, path: str, *, json: Any = None, body: bytes | None = None, kind: str | None = None,
             **headers: str) -> TestResponse:  # fmt: skip
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.name is not None:
            sent["Authorization"] = f"Bearer {self.name}"
        if json is not None:
            return self.client.open(path, method=method, headers=sent, json=json)
        return self.client.open(path, method=method, headers=sent, data=body, content_type=kind)
