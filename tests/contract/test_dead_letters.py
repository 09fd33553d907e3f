"""Dead letters: items that used up their attempts, kept for a human."""

from __future__ import annotations

import pytest

from taskqueue import BatchQueue, DeadItem, ItemNotFound, QueueItem, Runner
from tests.contract import tasks
from tests.contract.conftest import MakeQueue


@pytest.fixture
def queue(make_queue: MakeQueue) -> BatchQueue:
    """A queue that keeps what fails."""
    return make_queue(error="dead", retry_limit=1)


@pytest.fixture
def dead(queue: BatchQueue) -> DeadItem:
    """An item that has failed twice."""
    queue.enqueue(tasks.fail, "broken", title="Hopeless", weight=5)
    Runner(queue).run_all()
    (found,) = queue.dead_items()
    return found


def test_a_dead_letter_tells_what_it_was_and_why_it_died(queue: BatchQueue, dead: DeadItem) -> None:
    assert (dead.title, dead.callback) == ("Hopeless", "tests.contract.tasks:fail")
    assert (dead.args, dead.kwargs, dead.attempts) == (("broken",), {}, 2)
    assert dead.data.title == "Hopeless"
    assert (dead.queue_name, dead.weight) == ("jobs", 5)
    assert (dead.run_count, dead.failures) == (2, 2)
    assert dead.error == "ValueError: broken"
    assert dead.dead_time >= dead.submit_time


def test_a_dead_letter_of_plain_data_calls_nothing(queue: BatchQueue) -> None:
    queue.create_item({"plain": "data"})
    Runner(queue).run_all()

    (letter,) = queue.dead_items()

    assert (letter.callback, letter.args, letter.kwargs) == (None, (), {})
    assert (letter.title, letter.data) == ("{'plain': 'data'}", {"plain": "data"})


def test_a_dead_letter_is_out_of_the_way(queue: BatchQueue, dead: DeadItem) -> None:
    assert queue.number_of_items() == 0
    assert queue.statistics() == {"total": 0, "ready": 0, "blocked": 0, "leased": 0, "delayed": 0, "dead": 1}
    assert queue.claim_item() is None
    assert queue.fetch_item(dead.id) is None
    assert queue.outcome_of(dead.id) == "dead"


def test_a_revived_item_stands_in_its_place_with_fresh_attempts(queue: BatchQueue, dead: DeadItem) -> None:
    before = queue.create_item("before", weight=4)

    item = queue.revive_item(dead.id)

    assert (item.id, item.weight, item.failures, item.interruptions) == (dead.id, 5, 0, 0)
    assert item.release_time is None
    assert item.last_error == "ValueError: broken"
    assert item.data == dead.data
    assert [found.id for found in queue.items()] == [before.id, dead.id]
    assert queue.dead_items() == []
    assert queue.outcome_of(dead.id) == "waiting"


def test_the_last_holder_of_a_revived_item_is_fenced_off(queue: BatchQueue) -> None:
    holders: list[QueueItem | None] = []
    queue.create_item(tasks.step(lambda ctx: holders.append(ctx.item) or False))
    Runner(queue).run_all()
    last = holders[-1]
    assert last is not None

    revived = queue.revive_item(last.id)

    assert revived.fence > last.fence
    assert queue.delete_items([last]) == [last]
    assert queue.number_of_items() == 1


def test_a_revived_item_is_executed_as_often_as_a_new_one(
    queue: BatchQueue, dead: DeadItem, effects: list[str]
) -> None:
    queue.revive_item(dead.id)

    Runner(queue).run_all()

    assert effects == ["attempt 1", "attempt 2", "attempt 1", "attempt 2"]
    assert [again.id for again in queue.dead_items()] == [dead.id]


def test_what_is_no_dead_letter_cannot_be_revived(queue: BatchQueue, dead: DeadItem) -> None:
    living = queue.create_item("a")

    for item_id in (living.id, 10**12):
        with pytest.raises(ItemNotFound, match=str(item_id)):
            queue.revive_item(item_id)

    assert queue.revive_items([living.id, 10**12]) == 0
    assert queue.delete_dead_items([living.id]) == 0
    assert queue.number_of_items() == 1


def test_all_or_some_are_revived_or_thrown_away(queue: BatchQueue) -> None:
    for _ in range(4):
        queue.enqueue(tasks.fail)
    Runner(queue).run_all()
    first, second, third, fourth = queue.dead_items()
    assert first.id < second.id < third.id < fourth.id

    assert queue.revive_items([second.id]) == 1
    assert queue.delete_dead_items([first.id]) == 1
    assert queue.outcome_of(first.id) == "delete"
    assert queue.revive_items() == 2
    assert queue.delete_dead_items() == 0
    assert [item.id for item in queue.items()] == [second.id, third.id, fourth.id]


def test_the_dead_letters_of_another_queue_are_not_ours(
    queue: BatchQueue, dead: DeadItem, make_queue: MakeQueue
) -> None:
    other = make_queue("other")

    assert other.dead_items() == []
    assert other.revive_items([dead.id]) == 0
    assert len(queue.dead_items()) == 1


def test_a_reset_throws_dead_letters_away(queue: BatchQueue, dead: DeadItem) -> None:
    queue.reset()

    assert queue.dead_items() == []
    assert queue.get_statistic("dead") == 0


def test_a_poison_that_was_revived_can_die_again(queue: BatchQueue, dead: DeadItem) -> None:
    for _ in range(2):
        queue.revive_items()
        Runner(queue).run_all()

    assert [again.id for again in queue.dead_items()] == [dead.id]
