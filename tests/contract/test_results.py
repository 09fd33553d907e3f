"""What tasks returned, on queues that keep it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from taskqueue import BatchQueue, PayloadError, QueueItem, Runner, SerializationError, Task, TaskContext, travel
from taskqueue.queues import settlement
from tests.contract import tasks
from tests.contract.backends import Backend, only_sql
from tests.contract.conftest import MakeQueue, MakeService
from tests.contract.records import sql

RICH = {"when": datetime(2026, 2, 28, tzinfo=timezone.utc), "sum": Decimal("1.50"), "pair": (1, b"2"), "none": None}


@pytest.fixture
def queue(make_queue: MakeQueue) -> BatchQueue:
    """A queue that keeps results for a minute."""
    return make_queue(keep_result=60)


def claimed(queue: BatchQueue) -> QueueItem:
    queue.create_item("work")
    item = queue.claim_item()
    assert item is not None
    return item


def finish(queue: BatchQueue, value: Any) -> QueueItem:
    """Let an item end with a result, as an execution does."""
    item = claimed(queue)
    done = replace(settlement.DONE, result=queue.pack_result(item, value))
    assert queue.settle([item], done) == []
    return item


@pytest.mark.parametrize("value", [None, 0, "text", [1, 2], RICH], ids=repr)
def test_a_result_comes_back_as_it_was(queue: BatchQueue, value: Any) -> None:
    item = finish(queue, value)

    result = queue.result_of(item.id)

    assert result is not None
    assert (result.item_id, result.value, type(result.value)) == (item.id, value, type(value))
    assert timedelta(0) <= result.end_time - item.submit_time < timedelta(seconds=60)
    assert queue.fetch_item(item.id) is None
    assert queue.outcome_of(item.id) == "ok"


def test_a_result_is_gone_after_its_time(queue: BatchQueue) -> None:
    item = finish(queue, 1)

    with travel(59):
        assert queue.result_of(item.id) is not None
    with travel(61):
        assert queue.result_of(item.id) is None


def test_who_has_lost_the_lease_stores_no_result(queue: BatchQueue) -> None:
    item = claimed(queue)
    queue.steal_item()

    lost = queue.settle([item], replace(settlement.DONE, result=queue.pack_result(item, "late")))

    assert lost == [item]
    assert queue.result_of(item.id) is None


def test_the_result_of_another_queue_is_not_ours(queue: BatchQueue, make_queue: MakeQueue) -> None:
    other = make_queue("other", keep_result=60)
    for item_id in (finish(queue, 1).id, finish(queue, 2).id):
        assert other.result_of(item_id) is None


def test_what_cannot_be_stored_is_named(queue: BatchQueue) -> None:
    item = claimed(queue)

    with pytest.raises(SerializationError, match=r"""result\["x"\]\[1\] is of type object"""):
        queue.pack_result(item, {"x": [1, object()]})


def test_a_result_may_be_stored_after_the_end(queue: BatchQueue, caplog: pytest.LogCaptureFixture) -> None:
    item = claimed(queue)
    queue.delete_item(item)

    assert queue.store_result(item, "first")
    assert queue.store_result(item, "second")  # and changes nothing
    assert not queue.store_result(item, object())

    result = queue.result_of(item.id)
    assert result is not None and result.value == "first"
    assert "its result was not kept: result is of type object" in caplog.text


def test_a_queue_that_keeps_no_results_stores_none(make_queue: MakeQueue) -> None:
    queue = make_queue("forgetful")
    item = claimed(queue)
    queue.delete_item(item)

    assert not queue.store_result(item, 1)
    assert queue.result_of(item.id) is None


# --- of tasks that are executed ---


def test_what_a_task_returns_is_kept(queue: BatchQueue) -> None:
    items = [queue.create_item(tasks.step(lambda ctx, value=value: value)) for value in (RICH, None)]  # type: ignore[misc]

    assert Runner(queue).run_all()

    assert [_value(queue, item) for item in items] == [RICH, None]


def test_without_keep_result_a_task_may_return_anything(make_queue: MakeQueue) -> None:
    queue = make_queue("forgetful")
    item = queue.create_item(tasks.step(lambda ctx: object()))

    assert Runner(queue).run_all()
    assert queue.result_of(item.id) is None


def test_a_task_that_returns_what_cannot_be_stored_has_failed(queue: BatchQueue) -> None:
    queue.update(error="dead")
    item = queue.create_item(tasks.step(lambda ctx: {"x": object()}))

    Runner(queue).run_all()

    (letter,) = queue.dead_items()
    assert 'result["x"] is of type object, which cannot be stored' in letter.error
    assert queue.result_of(item.id) is None


def test_a_task_that_fails_leaves_no_result(queue: BatchQueue) -> None:
    queue.update(error="delete")
    item = queue.create_item(tasks.step(lambda ctx: False))

    Runner(queue).run_all()

    assert queue.result_of(item.id) is None


@only_sql
def test_what_a_task_returns_after_its_transaction_is_kept_too(queue: BatchQueue) -> None:
    def work(ctx: TaskContext) -> str:
        with ctx.transaction():
            return "after the commit"

    item = queue.create_item(tasks.step(work))

    assert Runner(queue).run_all()
    assert _value(queue, item) == "after the commit"


def _value(queue: BatchQueue, item: QueueItem) -> Any:
    result = queue.result_of(item.id)
    assert result is not None
    return result.value


# --- of others ---


@only_sql
def test_a_signed_result_cannot_be_altered_moved_or_executed(make_service: MakeService, backend: Backend) -> None:
    queue = make_service(secret_key="a key of this test").create(backend.type, "jobs", keep_result=60)
    first, second = finish(queue, Task("tests.contract.tasks:note")), finish(queue, 2)
    texts = dict(_stored_results(queue))

    _write(queue, first.id, texts[second.id])
    _write(queue, second.id, texts[second.id].replace("2", "3", 1))

    for item in (first, second):
        result = queue.result_of(item.id)
        assert result is not None
        with pytest.raises(PayloadError, match="signature"):
            _ = result.value
    with pytest.raises(PayloadError, match="belongs to another item"):
        queue.settings.codec.unpack(texts[first.id], "jobs", first.uid)


def _stored_results(queue: BatchQueue) -> list[tuple[int, str]]:
    rows = sql(queue).database.transaction(lambda tx: tx.rows("SELECT item_id, data FROM {result}"))
    return [(row[0], row[1]) for row in rows]


def _write(queue: BatchQueue, item_id: int, text: str) -> None:
    change = "UPDATE {result} SET data = :data WHERE item_id = :id"
    sql(queue).database.transaction(lambda tx: tx.change(change, data=text, id=item_id))
