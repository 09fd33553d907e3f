"""Counts of a queue."""

from __future__ import annotations

import pytest

from taskqueue import BatchQueue, Runner, SpecError, travel
from tests.contract import tasks
from tests.contract.conftest import MakeQueue


def test_an_empty_queue_counts_nothing(queue: BatchQueue) -> None:
    assert queue.statistics() == {"total": 0, "ready": 0, "blocked": 0, "leased": 0, "delayed": 0, "dead": 0}


def test_each_item_counts_by_its_state(make_queue: MakeQueue) -> None:
    queue = make_queue(error="dead", batch_limit=2)
    queue.enqueue(tasks.fail)
    Runner(queue).run_all()
    queue.create_items("abcd")
    queue.claim_items(2)
    queue.create_item("later", weight=9, delay=60)

    expected = {"total": 5, "ready": 2, "blocked": 3, "leased": 2, "delayed": 1, "dead": 1}
    assert queue.statistics() == expected
    assert {name: queue.get_statistic(name) for name in expected} == expected
    assert queue.number_of_items() == 5


def test_a_lease_or_delay_that_is_over_counts_as_ready(queue: BatchQueue) -> None:
    queue.create_item("held")
    queue.claim_item(10)
    queue.create_item("later", delay=10)
    assert queue.statistics()["blocked"] == 2

    with travel(11):
        assert queue.statistics()["ready"] == 2


def test_what_stands_behind_a_held_head_counts_as_ready(queue: BatchQueue) -> None:
    queue.create_items("ab")

    queue.claim_item()

    assert queue.get_statistic("ready") == 1


def test_only_the_items_of_the_queue_itself_count(make_queue: MakeQueue) -> None:
    make_queue("other").create_items("abc")

    assert make_queue().statistics()["total"] == 0


def test_an_unknown_statistic_is_refused_and_the_nearest_named(queue: BatchQueue) -> None:
    with pytest.raises(SpecError, match="did you mean 'ready'"):
        queue.get_statistic("raedy")
