"""Who a task runs as, and who runs what is no task."""

from __future__ import annotations

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
