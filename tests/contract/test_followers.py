"""A payload handler may decide for its items: how long to pause, what is told of a failure, and what follows them."""

from __future__ import annotations

import os
from typing import Any

import pytest

from taskqueue import ErrorMode, QueueService, Runner
from taskqueue.queues.base import NewItem
from taskqueue.queues.batch import BatchQueue
from taskqueue.settings import Handler


@pytest.fixture
def queue(service: QueueService, backend: Any) -> BatchQueue:
    return service.create(backend.type, "letters", payload="ruled", error="dead", reset=True)


def install(queue: BatchQueue, executed: list[str], **rules: Any) -> None:
    def handle(ctx: Any, data: str) -> None:
        executed.append(data)
        if data == "bad":
            raise ValueError("no good")

    queue.settings.handlers["ruled"] = Handler(handle, **rules)


def follower_of(queue: BatchQueue, text: str) -> NewItem:
    uid = os.urandom(16).hex()
    return NewItem(uid, 0, queue.settings.codec.pack(text, queue.name, uid))


def test_given_attempts_used_up_when_an_item_dies_then_its_follower_is_executed(queue: BatchQueue) -> None:
    executed: list[str] = []
    install(queue, executed, pause=lambda item, _error: 0.0 if item.failures < 2 else None,
            follow=lambda item, error: [follower_of(queue, f"after {item.data}: {error}")])  # fmt: skip
    queue.create_item("bad")

    Runner(queue, error_mode=ErrorMode.CONTINUE).run_all()

    assert executed == ["bad"] * 3 + ["after bad: no good"]
    assert [letter.data for letter in queue.dead_items()] == ["bad"]


def test_given_what_shall_be_told_when_an_item_fails_then_nothing_else_is_stored(queue: BatchQueue) -> None:
    install(queue, [], tell=lambda item, error: (type(error).__name__, None))
    queue.create_item("bad")

    Runner(queue, error_mode=ErrorMode.CONTINUE).run_all()

    (letter,) = queue.dead_items()
    assert letter.error == "ValueError"
    assert letter.traceback is None


def test_given_a_success_when_it_ends_then_nothing_follows(queue: BatchQueue) -> None:
    executed: list[str] = []
    install(queue, executed, follow=lambda item, _error: [follower_of(queue, "after")])
    queue.create_item("good")

    Runner(queue).run_all()

    assert executed == ["good"]
