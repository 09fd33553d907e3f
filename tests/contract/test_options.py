"""Options of a registered queue: kept, warned about, changed on purpose."""

from __future__ import annotations

import pytest

from taskqueue import BatchQueue, OptionsKept, QueueService, SpecError
from tests.contract.conftest import MakeQueue


def test_other_options_are_not_taken_over_and_warned_about(make_queue: MakeQueue) -> None:
    queue = make_queue(retry_limit=2, error="delete")

    with pytest.warns(OptionsKept, match=r"error='delete' \(not 'dead'\), retry_limit=2 \(not 3\)"):
        again = make_queue(retry_limit=3, error="dead")

    assert again is queue
    assert (queue.spec.retry_limit, queue.spec.error) == (2, "delete")


def test_another_type_is_not_taken_over_and_warned_about(service: QueueService, queue: BatchQueue) -> None:
    with pytest.warns(OptionsKept, match=rf"type='{queue.spec.type}' \(not 'Bogus'\)"):
        assert service.create("Bogus", "jobs") is queue


def test_the_same_options_are_no_reason_for_a_warning(make_queue: MakeQueue) -> None:
    queue = make_queue(retry_limit=2, lease_time=60)
    queue.set_status("paused")

    assert make_queue(retry_limit=2, lease_time=60.0, status="active") is queue
    assert queue.status == "paused"


def test_a_queue_that_stands_needs_no_type(service: QueueService, queue: BatchQueue) -> None:
    assert service.create(None, "jobs") is queue
    with pytest.raises(SpecError, match="'new' is new and needs a type: one of Memory, Sql, SqlParallel"):
        service.create(None, "new")


def test_an_unknown_type_is_refused_and_the_known_ones_named(service: QueueService) -> None:
    with pytest.raises(SpecError, match=r"'SqlParalel' \(did you mean 'SqlParallel'\?\); known are Memory, Sql, Sql"):
        service.create("SqlParalel", "jobs")
    assert not service.exists("jobs")


def test_an_unknown_option_is_refused_and_the_nearest_named(make_queue: MakeQueue, service: QueueService) -> None:
    with pytest.raises(SpecError, match=r"'retry_limits' .*did you mean 'retry_limit'"):
        make_queue(retry_limits=3)
    assert not service.exists("jobs")


def test_a_queue_of_tasks_for_workers_must_say_what_becomes_of_failures(make_queue: MakeQueue) -> None:
    with pytest.raises(SpecError, match="error='abort', 'delete' or 'dead'"):
        make_queue(agent="server")

    assert make_queue(agent="server", error="delete").spec.error == "delete"
    assert make_queue("thumbs", agent="server", payload="thumbnail").spec.error is None


def test_the_old_option_runner_still_works_and_warns(make_queue: MakeQueue) -> None:
    with pytest.warns(DeprecationWarning, match="runner= is deprecated"):
        queue = make_queue(runner="task", error="delete")

    assert (queue.spec.agent, queue.spec.payload) == ("server", "task")


def test_options_are_changed_on_purpose(queue: BatchQueue, other: BatchQueue) -> None:
    queue.update(retry_limit=4, lease_time=12)

    assert (queue.spec.retry_limit, queue.spec.lease_time) == (4, 12)
    assert other.status == "active"
    assert (other.spec.retry_limit, other.spec.lease_time) == (4, 12)


def test_a_bad_change_changes_nothing(queue: BatchQueue) -> None:
    with pytest.raises(SpecError):
        queue.update(retry_limit=2, lease_time=-1)
    with pytest.raises(SpecError):
        queue.update(is_persistent=False)

    assert (queue.spec.retry_limit, queue.spec.lease_time, queue.spec.is_persistent) == (0, 3600, True)
