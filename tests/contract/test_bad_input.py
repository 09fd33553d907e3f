"""What a caller may get wrong: refused with a sentence, and nothing is stored."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from taskqueue import BatchQueue, CallbackError, QueueService, Runner, SpecError, Task
from tests.contract import tasks
from tests.contract.backends import Backend
from tests.names import shown

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    "arguments, reason",
    [
        ({"weight": 2**31}, "weight must be a whole number of at most 32 bits"),
        ({"weight": -(2**31) - 1}, "weight"),
        ({"weight": 1.5}, "weight"),
        ({"weight": True}, "weight"),
        ({"weight": "1"}, "weight"),
        ({"weight": None}, "weight"),
        ({"delay": float("inf")}, "delay must be seconds or a timedelta"),
        ({"delay": float("nan")}, "delay"),
        ({"delay": "60"}, "delay"),
        ({"delay": True}, "delay"),
        ({"delay": 10**12}, "a hundred years"),
        ({"delay": timedelta.max}, "a hundred years"),
        ({"delay": 1, "release_time": NOW}, "delay or release_time, not both"),
        ({"release_time": NOW.replace(tzinfo=None)}, "release_time must be a datetime with a time zone"),
        ({"release_time": 1234567890}, "release_time"),
        ({"release_time": "tomorrow"}, "release_time"),
        ({"dedup_key": ""}, "dedup_key must be 1 to 191 printable characters"),
        ({"dedup_key": "k" * 192}, "dedup_key"),
        ({"dedup_key": "a\nb"}, "dedup_key"),
        ({"dedup_key": "a\0b"}, "dedup_key"),
        ({"dedup_key": "\ud800"}, "dedup_key"),
        ({"dedup_key": 7}, "dedup_key"),
    ],
    ids=shown,
)
def test_an_item_with_bad_arguments_is_refused(queue: BatchQueue, arguments: dict[str, Any], reason: str) -> None:
    with pytest.raises(SpecError, match=reason):
        queue.create_item("x", **arguments)

    assert queue.number_of_items() == 0


@pytest.mark.parametrize("weight", [-(2**31), 2**31 - 1])
def test_the_outermost_weights_are_kept(queue: BatchQueue, weight: int) -> None:
    item = queue.create_item("x", weight=weight)

    assert queue.fetch_item(item.id) == item


@pytest.mark.parametrize("weight", [1.5, 2**31, None])
def test_many_items_with_a_bad_weight_are_refused(queue: BatchQueue, weight: Any) -> None:
    with pytest.raises(SpecError, match="weight"):
        queue.create_items("ab", weight=weight)

    assert queue.number_of_items() == 0


@pytest.mark.parametrize("lease_time", [0, -1, float("nan"), float("inf"), "60", True, timedelta(0)], ids=shown)
def test_a_bad_lease_time_is_refused(queue: BatchQueue, lease_time: Any) -> None:
    queue.create_item("x")
    item = queue.claim_item()
    assert item is not None

    for attempt in (
        lambda: queue.claim_item(lease_time),
        lambda: queue.claim_items(1, lease_time),
        lambda: queue.steal_item(lease_time),
        lambda: queue.extend_lease(item, lease_time),
    ):
        with pytest.raises(SpecError, match="lease_time"):
            attempt()

    assert queue.fetch_item(item.id) == item


@pytest.mark.parametrize("limit", [0, -1, 1.5, True, "3", None])
def test_a_bad_limit_is_refused(queue: BatchQueue, limit: Any) -> None:
    queue.create_item("x")

    with pytest.raises(SpecError, match="limit must be a whole number of at least 1"):
        queue.claim_items(limit)

    assert queue.statistics()["ready"] == 1


@pytest.mark.parametrize("delay", [float("nan"), "5", True, float("inf")])
def test_a_release_with_a_bad_delay_is_refused(queue: BatchQueue, delay: Any) -> None:
    queue.create_item("x")
    item = queue.claim_item()
    assert item is not None

    with pytest.raises(SpecError, match="delay"):
        queue.release_item(item, delay)

    assert queue.statistics()["leased"] == 1


@pytest.mark.parametrize("ids", ["12", 12, [None], ["1"], [1.0], [-1], [2**63], [True]], ids=shown)
def test_what_is_no_list_of_ids_is_refused(queue: BatchQueue, ids: Any) -> None:
    for attempt in (queue.fetch_items, queue.revive_items, queue.delete_dead_items):
        with pytest.raises(SpecError, match="id"):
            attempt(ids)


@pytest.mark.parametrize("item_id", [None, "1", 1.0, -1, 2**63, True], ids=shown)
def test_what_is_no_id_is_refused(queue: BatchQueue, item_id: Any) -> None:
    for attempt in (queue.fetch_item, queue.revive_item):
        with pytest.raises(SpecError, match="an item id is a whole number"):
            attempt(item_id)


@pytest.mark.parametrize("item_id", [None, "1", 1.0, -1, 2**63, True], ids=shown)
def test_the_outcome_of_what_is_no_id_is_refused(queue: BatchQueue, item_id: Any) -> None:
    with pytest.raises(SpecError, match="an item id is a whole number"):
        queue.outcome_of(item_id)


@pytest.mark.parametrize(
    "name",
    ["", " ", "a b", "mail ", " mail", "mail\n", "m\tail", "a/b", "a\\b", "naïve", "ma\u0301il", "メール", "😀",
     "a\0", "a'; --", "%s", "x" * 129, None, 5, b"mail", "\ud800"],
    ids=ascii,
)  # fmt: skip
def test_what_cannot_name_a_queue_is_refused(service: QueueService, backend: Backend, name: Any) -> None:
    for attempt in (
        lambda: service.create(backend.type, name),
        lambda: service.load(name),
        lambda: service.exists(name),
        lambda: service.delete(name),
    ):
        with pytest.raises(SpecError, match="cannot name a queue"):
            attempt()


@pytest.mark.parametrize("name", ["x", "x" * 128, "0", "-", "a.b:c_d-E"])
def test_what_can_name_a_queue_is_kept_exactly(service: QueueService, backend: Backend, name: str) -> None:
    service.create(backend.type, name).create_item("a")

    assert [queue.name for queue in service.queues()] == [name]
    assert service.load(name).number_of_items() == 1


def test_reset_must_be_said_plainly(service: QueueService, backend: Backend) -> None:
    with pytest.raises(SpecError, match="reset must be True or False"):
        service.create(backend.type, "jobs", reset="no")  # type: ignore[arg-type]


@pytest.mark.parametrize("callback", [lambda ctx: None, "os", "no.such.module:x", 7, None, tasks.Holder], ids=shown)
def test_what_cannot_be_stored_as_a_callback_is_refused(queue: BatchQueue, callback: Any) -> None:
    with pytest.raises(CallbackError):
        queue.enqueue(callback)

    assert queue.number_of_items() == 0


@pytest.mark.parametrize(
    "arguments, reason",
    [
        ({"error_mode": "abort"}, r"error_mode must be ErrorMode\.ABORT"),
        ({"buttons": ("retry", "explode")}, "buttons must be some of retry, skip, abort"),
        ({"buttons": "retry"}, "buttons"),
        ({"on_end": lambda ctx: None}, "lambda"),
    ],
    ids=shown,
)
def test_a_runner_with_bad_arguments_is_refused(queue: BatchQueue, arguments: dict[str, Any], reason: str) -> None:
    with pytest.raises((SpecError, CallbackError), match=reason):
        Runner(queue, **arguments)


@pytest.mark.parametrize("wait", [-1, "5", True, float("nan")], ids=shown)
def test_a_run_with_a_bad_wait_is_refused(queue: BatchQueue, wait: Any) -> None:
    with pytest.raises(SpecError, match="wait must be seconds or None"):
        Runner(queue).run_all(wait=wait)


def test_a_task_reports_in_numbers(queue: BatchQueue) -> None:
    queue.create_item(tasks.step(lambda ctx: ctx.report("half")))  # type: ignore[arg-type]

    assert isinstance(Runner(queue).run_all().exception, SpecError)


def test_a_runner_takes_a_queue() -> None:
    with pytest.raises(SpecError, match=r"service\.create"):
        Runner("jobs")  # type: ignore[arg-type]


def test_a_bad_item_among_many_leaves_nothing_behind(queue: BatchQueue) -> None:
    with pytest.raises(ValueError, match="data"):
        queue.create_items([1, 2, Task(tasks.note), object()])

    assert queue.number_of_items() == 0
