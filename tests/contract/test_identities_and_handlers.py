"""Who a task runs as, and who runs what is no task."""

from __future__ import annotations

import contextvars
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from taskqueue import BatchQueue, ConfigurationError, Runner, Task, TaskContext
from tests.contract import tasks
from tests.contract.backends import Backend
from tests.contract.conftest import MakeQueue, MakeService


def test_an_identity_is_checked_before_the_call(
    make_service: MakeService, backend: Backend, effects: list[Any]
) -> None:
    asked: list[Any] = []
    service = make_service(identity=lambda run_as: asked.append(dict(run_as)))
    queue = service.create(backend.type, "jobs")
    task = Task(tasks.note, ("a",))
    task.run_as = {"contact_id": 7, "domain_id": 1}
    queue.create_item(task)
    queue.enqueue(tasks.note, "b")

    assert Runner(queue).run_all()
    assert asked == [{"contact_id": 7, "domain_id": 1}]
    assert effects == ["a", "b"]


def refuse_by_error(run_as: Any) -> None:
    raise PermissionError("not you")


@pytest.mark.parametrize("identity", [lambda run_as: False, refuse_by_error], ids=["answer", "error"])
def test_a_refused_identity_is_a_failure(
    make_service: MakeService, backend: Backend, identity: Any, effects: list[Any]
) -> None:
    queue = make_service(identity=identity).create(backend.type, "jobs")
    queue.create_item(Task(tasks.note, ("a",), run_as={"contact_id": 7}))

    result = Runner(queue).run_all()

    assert not result
    assert effects == []
    assert result.number_of_items == 1


def test_an_identity_that_nobody_can_check_is_a_failure(queue: BatchQueue, effects: list[Any]) -> None:
    queue.create_item(Task(tasks.note, ("a",), run_as={"contact_id": 7}))

    result = Runner(queue).run_all()

    assert isinstance(result.exception, ConfigurationError)
    assert effects == []


# --- switch_user ---

user: contextvars.ContextVar[str] = contextvars.ContextVar("user", default="nobody")


@contextmanager
def be(run_as: Any) -> Iterator[None]:
    """Become somebody else."""
    if run_as["user"] == "root":
        raise PermissionError("nobody may be root")
    token = user.set(run_as["user"])
    try:
        yield
    finally:
        tasks.effects.append(f"no longer {user.get()}")
        user.reset(token)


def say_who(ctx: TaskContext) -> None:
    tasks.effects.append(user.get())


async def say_who_later(ctx: TaskContext) -> None:
    tasks.effects.append(user.get())


def fail_as(ctx: TaskContext) -> None:
    raise ValueError(f"not as {user.get()}")


@pytest.mark.parametrize("callback", [say_who, say_who_later])
def test_a_task_is_called_as_whom_it_asks_for(
    make_service: MakeService, backend: Backend, callback: Any, effects: list[Any]
) -> None:
    queue = make_service(switch_user=be).create(backend.type, "jobs")
    for name in ("anne", None, "ben"):
        queue.create_item(Task(callback, run_as={"user": name} if name else None))

    assert Runner(queue).run_all()
    assert effects == ["anne", "no longer anne", "nobody", "ben", "no longer ben"]
    assert user.get() == "nobody"


def test_the_identity_is_checked_before_the_switch(
    make_service: MakeService, backend: Backend, effects: list[Any]
) -> None:
    queue = make_service(identity=lambda run_as: run_as["user"] != "ben", switch_user=be).create(
        backend.type, "jobs", error="delete"
    )
    for name in ("anne", "ben"):
        queue.create_item(Task(say_who, run_as={"user": name}))

    result = Runner(queue).run_all()

    assert (result.completed, result.failed) == (1, 1)
    assert effects == ["anne", "no longer anne"]


def test_after_a_failure_the_user_is_switched_back(
    make_service: MakeService, backend: Backend, effects: list[Any]
) -> None:
    queue = make_service(switch_user=be).create(backend.type, "jobs", error="delete")
    queue.create_item(Task(fail_as, run_as={"user": "anne"}))

    result = Runner(queue).run_all()

    assert str(result.exception) == "not as anne"
    assert effects == ["no longer anne"]


def test_a_switch_that_is_refused_is_a_failure(make_service: MakeService, backend: Backend, effects: list[Any]) -> None:
    queue = make_service(switch_user=be).create(backend.type, "jobs", error="delete")
    queue.create_item(Task(say_who, run_as={"user": "root"}))

    result = Runner(queue).run_all()

    assert (str(result.exception), effects) == ("nobody may be root", [])


# --- handlers ---


def test_a_handler_runs_items_of_its_payload(make_service: MakeService, backend: Backend, effects: list[Any]) -> None:
    service = make_service()

    @service.handler("thumbnail")
    def make_thumbnail(ctx: TaskContext, data: Any) -> None:
        tasks.effects.append(data)

    queue = service.create(backend.type, "thumbs", payload="thumbnail")
    queue.create_items([{"file": "a"}, {"file": "b"}])

    assert Runner(queue).run_all()
    assert effects == [{"file": "a"}, {"file": "b"}]


def test_a_payload_without_a_handler_is_left_alone(make_queue: MakeQueue) -> None:
    queue = make_queue(payload="thumbnail")
    queue.create_item("a")

    with pytest.raises(ConfigurationError, match="no handler is registered"):
        Runner(queue).run_all()

    item = queue.claim_item()
    assert item is not None
    assert item.run_count == 1
