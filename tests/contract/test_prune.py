"""Removing what was kept for long enough."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from taskqueue import Batch, BatchQueue, Pruned, QueueService, Runner, SpecError, Task, travel
from taskqueue.queues import settlement
from taskqueue.storage import retention
from tests.contract import records, tasks
from tests.contract.backends import Backend, only_memory, only_sql
from tests.contract.conftest import MakeQueue, MakeService
from tests.contract.letters import kill

HOUR = 3600


@pytest.fixture
def queue(make_queue: MakeQueue) -> BatchQueue:
    """A queue that keeps all it can."""
    return make_queue(error="dead", keep_result=2 * HOUR, batch_limit=1000)


def test_old_history_goes_and_the_young_stays(service: QueueService, queue: BatchQueue) -> None:
    (old,) = kill(queue, "a")
    with travel(HOUR):
        (young,) = kill(queue, "b")

        assert service.prune(HOUR / 2) == Pruned(endings=1)
        assert (queue.history_of(old), len(queue.history_of(young))) == ([], 1)
        assert service.prune(timedelta(minutes=30)) == Pruned()


def test_dead_letters_go_only_when_that_is_said_and_on_record(service: QueueService, queue: BatchQueue) -> None:
    (old,) = kill(queue, "a")
    with travel(HOUR):
        (young,) = kill(queue, "b")
        service.prune(HOUR / 2)
        assert queue.get_statistic("dead") == 2
        assert queue.outcome_of(old) == "dead"

        assert service.prune(HOUR / 2, dead=True) == Pruned(dead_letters=1)

        assert [letter.id for letter in queue.dead_items()] == [young]
        assert queue.outcome_of(old) == "delete"
        assert [ending.outcome for ending in queue.history_of(old)] == ["delete"]


def test_results_go_when_their_own_time_is_over(service: QueueService, queue: BatchQueue) -> None:
    queue.create_item("a")
    (item,) = queue.claim_items(1)
    queue.settle([item], replace(settlement.DONE, result=queue.pack_result(item, 1)))

    with travel(HOUR):
        assert service.prune(0).results == 0
        assert queue.result_of(item.id) is not None
    with travel(3 * HOUR):
        assert service.prune(30 * HOUR) == Pruned(results=1)
        assert service.prune(30 * HOUR) == Pruned()


def test_nobody_says_ok_of_what_was_pruned(service: QueueService, make_queue: MakeQueue) -> None:
    queue = make_queue("deleting", error="delete")
    bad, good = queue.enqueue(tasks.fail), queue.enqueue(tasks.note)
    Runner(queue).run_all()
    for _ in range(2):
        with travel(HOUR):
            later = queue.enqueue(tasks.fail)
            Runner(queue).run_all()
            service.prune(HOUR / 2)

            assert [queue.outcome_of(item.id) for item in (bad, good, later)] == [None, "ok", "delete"]


def test_a_dry_run_only_counts(service: QueueService, queue: BatchQueue) -> None:
    ids = kill(queue, "abc")
    with travel(HOUR):
        expected = Pruned(endings=3, dead_letters=3)

        assert service.prune(0, dead=True, dry_run=True) == service.prune(0, dead=True, dry_run=True) == expected
        assert [letter.id for letter in queue.dead_items()] == ids
        assert service.prune(0, dead=True) == expected


def test_living_items_are_not_touched(service: QueueService, make_queue: MakeQueue) -> None:
    queue = make_queue("retrying", retry_limit=1)
    item = queue.enqueue(tasks.fail)
    Runner(queue).run_next()

    with travel(HOUR):
        assert service.prune(0) == Pruned(endings=1)
        standing = queue.fetch_item(item.id)
    assert standing is not None and (standing.failures, standing.last_error) == (1, "ValueError: failed on purpose")


def test_many_go_in_chunks(service: QueueService, queue: BatchQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "CHUNK", 2)
    kill(queue, "abcde")
    with travel(HOUR):
        assert service.prune(0, dead=True) == Pruned(endings=5, dead_letters=5)
        assert queue.get_statistic("dead") == 0


def end(queue: BatchQueue, *batches: Batch) -> None:
    """Let the items of these batches end, and all others wait."""
    ids = {batch.id for batch in batches}
    items = queue.claim_items(1000)
    queue.delete_items([item for item in items if item.batch_id in ids])
    queue.relinquish_items([item for item in items if item.batch_id not in ids])


def test_batches_that_have_ended_go_and_open_ones_stay(service: QueueService, queue: BatchQueue) -> None:
    after = Task(tasks.note)
    old, young, open_ = (queue.create_batch("ab", after) for _ in range(3))
    empty = queue.create_batch([], after)
    end(queue, old)
    with travel(HOUR):
        end(queue, young)

        assert service.prune(HOUR / 2, dry_run=True) == service.prune(HOUR / 2) == Pruned(batches=2)

        assert [queue.batch(batch.id) is None for batch in (old, empty, young, open_)] == [True, True, False, False]
        assert service.prune(HOUR / 2) == Pruned()


@only_sql
def test_what_a_deleted_queue_has_left_goes_too(service: QueueService, make_queue: MakeQueue) -> None:
    for name in ("one", "two"):
        queue = make_queue(name, error="delete")
        queue.enqueue(tasks.fail)
        Runner(queue).run_all()
    service.delete("one")

    with travel(HOUR):
        assert service.prune(0).endings == 2


@only_sql
def test_ended_runs_go_with_their_logs_and_open_ones_stay(service: QueueService, queue: BatchQueue) -> None:
    records.begin(queue)
    with travel(-HOUR):
        queue.enqueue(tasks.note)
        Runner(queue).run_all()
    before = len(records.runs_of(queue))

    assert service.prune(HOUR / 2, dry_run=True).runs == 1
    assert service.prune(HOUR / 2).runs == 1
    assert len(records.runs_of(queue)) == before - 1


@only_sql
def test_old_notes_of_what_was_done_by_hand_go_some_at_a_time(
    service: QueueService, queue: BatchQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "CHUNK", 2)
    note = "INSERT INTO {audit} (time, actor, action, detail) VALUES ({now}, 'somebody', 'retry', '')"
    for _ in range(5):
        service.database.statement(lambda tx: tx.change(note))
    with travel(HOUR):
        service.database.statement(lambda tx: tx.change(note))

        assert service.prune(HOUR / 2, dry_run=True) == service.prune(HOUR / 2) == Pruned(audit=5)
        assert service.prune(HOUR / 2) == Pruned()


@only_memory
def test_queues_in_memory_open_no_database(make_service: MakeService, backend: Backend) -> None:
    service = make_service()
    queue = service.create("Memory", "m", error="dead", batch_limit=10)
    kill(queue, "a")

    with travel(HOUR):
        assert service.prune(0, dead=True) == Pruned(endings=1, dead_letters=1)
    assert service._database is None


@pytest.mark.parametrize("age", [None, "30d", float("nan"), 10**12])
def test_what_is_no_age_is_refused(service: QueueService, age: object) -> None:
    with pytest.raises(SpecError, match="older_than must be seconds or a timedelta"):
        service.prune(age)  # type: ignore[arg-type]
