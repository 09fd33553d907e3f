"""The status of a queue, and the hooks around it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from taskqueue import BatchQueue, SpecError, signals
from tests.contract.backends import only_sql
from tests.contract.conftest import MakeQueue


@pytest.fixture
def heard() -> Iterator[list[tuple[str, str]]]:
    """The changes of status that were announced."""
    changes: list[tuple[str, str]] = []

    def listen(sender: BatchQueue, status: str) -> None:
        changes.append((sender.name, status))

    with signals.queue_status.connected_to(listen):
        yield changes


def test_a_queue_is_active_unless_asked_otherwise(queue: BatchQueue) -> None:
    assert queue.status == "active"
    assert queue.is_active()


@pytest.mark.parametrize("status", ["active", "draft", "paused", "completed", "aborted"])
def test_a_queue_may_begin_with_any_status(make_queue: MakeQueue, heard: list[tuple[str, str]], status: str) -> None:
    queue = make_queue(status=status)

    assert queue.status == status
    assert queue.is_active() == (status == "active")
    assert heard == []  # nothing has changed


def test_a_change_is_announced_once(queue: BatchQueue, heard: list[tuple[str, str]]) -> None:
    queue.set_status("paused")
    queue.set_status("paused")
    queue.set_status("active")

    assert heard == [("jobs", "paused"), ("jobs", "active")]


def test_a_change_that_another_process_has_made_before_is_not_announced_again(
    queue: BatchQueue, other: BatchQueue, heard: list[tuple[str, str]]
) -> None:
    other.set_status("paused")
    queue.set_status("paused")

    assert heard == [("jobs", "paused")]


def test_an_update_may_change_the_status(queue: BatchQueue, heard: list[tuple[str, str]]) -> None:
    queue.update(status="draft", retry_limit=3)

    assert (queue.status, queue.spec.retry_limit) == ("draft", 3)
    assert heard == [("jobs", "draft")]


def test_an_unknown_status_is_refused_and_the_nearest_named(queue: BatchQueue) -> None:
    with pytest.raises(SpecError, match="did you mean 'paused'"):
        queue.set_status("pausd")

    assert queue.status == "active"


def test_a_receiver_that_fails_does_not_undo_the_change(queue: BatchQueue, caplog: pytest.LogCaptureFixture) -> None:
    def fail(sender: BatchQueue, status: str) -> None:
        raise OSError("no mail server")

    with signals.queue_status.connected_to(fail, queue):
        queue.set_status("paused")

    assert queue.status == "paused"
    assert "no mail server" in caplog.text


def test_a_receiver_may_hold_an_active_queue_back(queue: BatchQueue) -> None:
    with signals.queue_active.connected_to(lambda sender: False, queue):
        assert not queue.is_active()
        assert queue.status == "active"

    assert queue.is_active()


def test_a_receiver_cannot_make_a_paused_queue_active(queue: BatchQueue) -> None:
    queue.set_status("paused")

    with signals.queue_active.connected_to(lambda sender: True, queue):
        assert not queue.is_active()


@only_sql
def test_all_processes_see_the_status(queue: BatchQueue, other: BatchQueue) -> None:
    queue.set_status("aborted")

    assert other.status == "aborted"
    assert not other.is_active()
