"""An application with the door, and a client as those of coreBOS are."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import md5
from typing import Any

import pytest
from flask import Flask, request
from flask.testing import FlaskClient
from pydantic import BaseModel

from taskqueue.operations import File, OperationFailed, Operations, User
from taskqueue.web import Webservice
from tests.operations.conftest import drain, ops, service, url

__all__ = ["Door", "door", "drain", "make_door", "ops", "service", "url"]

KEYS = {"admin": "k3yOfAdmin", "alice": "k3yOfAlice", "bob": "k3yOfBob"}
WAITING = {"success": True, "result": "Operation not queued or not finished yet"}


class Contact(BaseModel):
    """What the operation ``Create`` takes."""

    elementType: str
    element: dict[str, Any]
    tags: list[str] = []
    score: float | None = None
    dry: bool = False
    note: str = ""


@dataclass
class Door:
    """An application with the door, its operations, and what they were called with."""

    app: Flask
    ops: Operations
    endpoint: Webservice
    done: list[Any] = field(default_factory=list)

    def get(self, who: str | None = "alice", **fields: Any) -> dict[str, Any]:
        """The envelope that a GET request is answered with."""
        return envelope(self.client().get("/webservice", query_string=fields, headers=_as(who)))

    def post(self, who: str | None = "alice", **fields: Any) -> dict[str, Any]:
        """The envelope that a form is answered with."""
        return envelope(self.client().post("/webservice", data=fields, headers=_as(who)))

    def json(self, who: str | None = "alice", **fields: Any) -> dict[str, Any]:
        """The envelope that a JSON object is answered with."""
        return envelope(self.client().post("/webservice", json=fields, headers=_as(who)))

    def defer(self, who: str = "alice", **fields: Any) -> str:
        """Defer a call; its tracking id."""
        answer = self.post(who, cbwsOptions='{"launchfromqueue": 1}', **fields)
        assert (answer["success"], answer.keys()) == (True, {"success", "result", "moreinfo"}), answer
        tracking_id = answer["result"]["operationTrackingID"]
        assert answer == {"success": True, "result": {"operationTrackingID": tracking_id}, "moreinfo": None}
        return str(tracking_id)

    def result(self, tracking_id: Any, who: str = "alice") -> dict[str, Any]:
        """What ``getQueuedOperationResult`` answers."""
        return self.get(who, operation="getQueuedOperationResult", operationTrackingID=tracking_id)

    def inner(self, tracking_id: str, who: str = "alice") -> Any:
        """The envelope of a deferred call that has ended."""
        answer = self.result(tracking_id, who)
        assert (answer["success"], answer.keys()) == (True, {"success", "result"})
        assert isinstance(answer["result"], str)
        return json.loads(answer["result"])

    def client(self) -> FlaskClient:
        """A client without cookies."""
        return self.app.test_client(use_cookies=False)

    def login(self, username: str, key: str | None = None) -> dict[str, Any]:
        """What ``login`` answers."""
        token = self.get(None, operation="getchallenge", username=username)["result"]["token"]
        return self.post(None, operation="login", username=username, accessKey=proof(token, key or KEYS[username]))


def proof(token: str, key: str) -> str:
    """What shows that one has the access key."""
    return md5((token + key).encode(), usedforsecurity=False).hexdigest()


def envelope(answer: Any) -> dict[str, Any]:
    """The envelope in an answer, whose form is checked."""
    assert (answer.status_code, answer.mimetype) == (200, "application/json"), answer.data
    assert answer.headers["Cache-Control"] == "no-store"
    found = json.loads(answer.data, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert found["success"] in (True, False)
    if found["success"]:
        assert {"success", "result"} <= found.keys() <= {"success", "result", "moreinfo"}
    else:
        assert found.keys() == {"success", "error"}
        assert {"code", "message"} <= found["error"].keys() <= {"code", "message", "details"}
    return dict(found)


def code(answer: dict[str, Any]) -> str | None:
    """The code of the error in an envelope."""
    return None if answer["success"] else answer["error"]["code"]


def _as(who: str | None) -> dict[str, str]:
    return {"X-User": who} if who else {}


@pytest.fixture
def make_door(ops: Operations) -> Callable[..., Door]:
    """Makes an application with the door; options are those of :class:`Webservice`."""

    def make(**options: Any) -> Door:
        app = Flask("door")
        app.secret_key = "a secret of the tests"
        options = {"identity": _who, "access_key": KEYS.get, **options}
        return Door(app, ops, Webservice(app, ops, **options), _register(ops))

    return make


@pytest.fixture
def door(make_door: Callable[..., Door]) -> Door:
    """An application with the door as it is without options."""
    return make_door()


def _who() -> Any:
    name = request.headers.get("X-User")
    return User("admin", is_admin=True) if name == "admin" else name


def _register(ops: Operations) -> list[Any]:
    done: list[Any] = []

    @ops.operation("Create", queueable=True, idempotent=True, aliases=["MassCreate"])
    def create(ctx: Any, data: Contact) -> dict[str, Any]:
        done.append(data.model_dump())
        return {"id": len(done), "by": ctx.user.id, "name": data.element.get("name")}

    @ops.operation("echo", queueable=True)
    def echo(ctx: Any, data: Any) -> Any:
        done.append(data)
        return data

    @ops.operation("direct")
    def direct(ctx: Any, data: Any) -> str:
        done.append(data)
        return "now"

    @ops.operation("refuse", queueable=True)
    def refuse(ctx: Any, data: Any) -> None:
        raise OperationFailed("there is one already", code="DUPLICATE", details={"id": 7})

    @ops.operation("break", queueable=True, retry=1)
    def fail(ctx: Any, data: Any) -> None:
        raise ValueError("secret of the program")

    @ops.operation("gendoc_convert", queueable=True)
    def convert(ctx: Any, data: Any) -> File:
        return File(b"\x00\xff", "application/pdf", "ä.pdf")

    @ops.operation("onlySales", queueable=True, roles=["sales"])
    def sell(ctx: Any, data: Any) -> None:
        done.append(data)

    return done
