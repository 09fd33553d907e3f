"""The hooks of the service that make a process somebody else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from taskqueue import QueueService
from taskqueue.operations import AccessDenied, Operations, User
from tests.operations.conftest import clear, contacts, drain, metadata, names


class Hooks:
    def __init__(self) -> None:
        self.seen: list[tuple[str, Any]] = []
        self.answer: Any = None

    def identity(self, run_as: Mapping[str, Any]) -> Any:
        self.seen.append(("identity", dict(run_as)))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    @contextmanager
    def switch_user(self, run_as: Mapping[str, Any]) -> Iterator[None]:
        self.seen.append(("in", run_as["user"]))
        yield
        self.seen.append(("out", run_as["user"]))


@pytest.fixture
def hooks() -> Hooks:
    return Hooks()


@pytest.fixture
def hooked(url: str, hooks: Hooks) -> Iterator[Operations]:
    """Operations of a service that switches users."""
    service = QueueService(url, identity=hooks.identity, switch_user=hooks.switch_user)
    clear(service)
    metadata.create_all(service.engine)
    ops = Operations(service)

    @ops.operation("create", queueable=True, idempotent=True, retry=1)
    def create(ctx: Any, data: Any) -> None:
        hooks.seen.append(("call", ctx.user.id))
        ctx.session.execute(contacts.insert().values(name="Ann"))

    yield ops
    clear(service)
    service.close()


@pytest.mark.parametrize("way", ["direct", "key", "deferred"])
def test_a_call_is_made_as_its_user(hooked: Operations, hooks: Hooks, way: str) -> None:
    user = User("ann", claims={"tenant": "t1"})
    if way == "deferred":
        hooked.defer("create", user=user)
        assert hooks.seen == []
        drain(hooked)
    else:
        hooked.call("create", user=user, key="k" if way == "key" else None)
    assert hooks.seen == [
        ("identity", {"tenant": "t1", "user": "ann"}), ("in", "ann"), ("call", "ann"), ("out", "ann")
    ]  # fmt: skip


def test_nobody_in_particular_is_not_switched_to(hooked: Operations, hooks: Hooks) -> None:
    hooked.call("create")
    assert hooks.seen == [("call", None)]


def test_a_user_whom_the_service_refuses_is_denied(hooked: Operations, hooks: Hooks) -> None:
    call = hooked.defer("create", user="ann")
    hooks.answer = False
    with pytest.raises(AccessDenied, match="the identity hook refused this user"):
        hooked.call("create", user="ann")
    drain(hooked)
    assert (hooked.get(call.id).error or {})["code"] == "access_denied"
    assert ("call", "ann") not in hooks.seen
    assert names(hooked.service) == []


def test_an_identity_hook_that_fails_ends_dead(hooked: Operations, hooks: Hooks) -> None:
    call = hooked.defer("create", user="ann")
    hooks.answer = ValueError("secret of the program")
    drain(hooked)
    found = hooked.get(call.id)
    assert (found.state, (found.error or {})["code"]) == ("dead", "internal_error")
    assert "secret" not in str(found.error)
    assert ("call", "ann") not in hooks.seen
