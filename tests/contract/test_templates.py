"""Templates: queues whose options others take over."""

from __future__ import annotations

import pytest

from taskqueue import QueueService, SpecError
from tests.contract.backends import Backend
from tests.contract.conftest import MakeQueue


def test_a_queue_takes_type_and_options_of_its_template(
    service: QueueService, make_queue: MakeQueue, backend: Backend
) -> None:
    template = make_queue("pattern", is_template=True, agent="server", error="delete", retry_limit=3)
    assert template.spec.is_template

    child = service.create(None, "child", template="pattern")

    assert child.spec.type == backend.type
    assert (child.spec.agent, child.spec.error, child.spec.retry_limit) == ("server", "delete", 3)
    assert (child.spec.template, child.spec.is_template) == ("pattern", False)
    assert child.status == "active"


def test_what_is_given_wins_over_the_template(service: QueueService, make_queue: MakeQueue) -> None:
    make_queue("pattern", is_template=True, error="delete", retry_limit=3)

    child = service.create(None, "child", template="pattern", status="draft", retry_limit=1)

    assert (child.status, child.spec.error, child.spec.retry_limit) == ("draft", "delete", 1)


def test_the_status_is_not_inherited(service: QueueService, make_queue: MakeQueue) -> None:
    make_queue("pattern", is_template=True, status="paused")

    assert service.create(None, "child", template="pattern").status == "active"


def test_a_child_does_not_follow_later_changes(service: QueueService, make_queue: MakeQueue) -> None:
    pattern = make_queue("pattern", is_template=True, retry_limit=3)
    child = service.create(None, "child", template="pattern")

    pattern.update(retry_limit=9)

    assert child.spec.retry_limit == 3


def test_a_template_must_exist_and_be_one(service: QueueService, make_queue: MakeQueue) -> None:
    make_queue("plain")

    with pytest.raises(SpecError, match="'nowhere' does not exist"):
        make_queue("child", template="nowhere")
    with pytest.raises(SpecError, match="'plain' is no template"):
        make_queue("child", template="plain")
    assert not service.exists("child")
