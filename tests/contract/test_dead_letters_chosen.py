"""Which dead letters are listed, revived and thrown away: by id, error, callback and time."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from taskqueue import BatchQueue, SpecError, Task, travel
from tests.contract import tasks
from tests.contract.conftest import MakeQueue
from tests.contract.letters import kill
from tests.contract.store import overwrite

NOTE, FAIL = "tests.contract.tasks:note", "tests.contract.tasks:fail"


@pytest.fixture
def queue(make_queue: MakeQueue) -> BatchQueue:
    """A queue whose items are claimed many at a time."""
    return make_queue(batch_limit=1000)


def ids(queue: BatchQueue, *args: Any, **filters: Any) -> list[int]:
    found = [letter.id for letter in queue.dead_items(*args, **filters)]
    assert [letter.id for letter in queue.dead_letters(*args, **filters)] == found
    assert list(queue.dead_ids(*args, **filters)) == found
    assert queue.count_dead_items(*args, **filters) == len(found)
    return found


def test_by_id(queue: BatchQueue) -> None:
    first, second, third = kill(queue, "abc")

    assert ids(queue) == [first, second, third]
    assert ids(queue, [third, first, third, 10**12]) == [first, third]
    assert ids(queue, []) == []


def test_by_a_text_in_the_error_in_capitals_or_not(queue: BatchQueue) -> None:
    timeout = kill(queue, "a", "TimeoutError: Größe of 100%_x")
    kill(queue, "b", "ValueError: no such customer")

    assert ids(queue, error="timeout") == ids(queue, error="GRÖSSE") == ids(queue, error="100%_x") == timeout
    assert ids(queue, error="%") == timeout  # no pattern, just a text
    assert ids(queue, error="nothing like that") == []


def test_by_callback_or_the_module_that_it_is_in(queue: BatchQueue) -> None:
    note, fail, _data = kill(queue, [Task(tasks.note, [FAIL]), Task(tasks.fail), {"callback": NOTE}])

    assert ids(queue, callback=NOTE) == [note]
    assert ids(queue, callback=FAIL) == [fail]
    assert ids(queue, callback="tests.contract.tasks") == ids(queue, callback="tests") == [note, fail]
    assert ids(queue, callback="tests.contract.task") == ids(queue, callback="note") == []


def test_by_the_time_of_death(queue: BatchQueue) -> None:
    early = kill(queue, "a")
    with travel(3600):
        late = kill(queue, "b")
    born, died = (letter.dead_time for letter in queue.dead_items())

    assert ids(queue, since=died) == late
    assert ids(queue, until=died) == early
    assert ids(queue, since=born, until=died + timedelta(milliseconds=1)) == [*early, *late]
    assert ids(queue, since=died.astimezone(timezone(timedelta(hours=-7)))) == late
    assert ids(queue, since=died + timedelta(microseconds=1)) == []
    assert ids(queue, until=died + timedelta(microseconds=1)) == [*early, *late]


def test_all_that_is_given_must_be_met(queue: BatchQueue) -> None:
    first = kill(queue, [Task(tasks.note)], "one")
    kill(queue, [Task(tasks.note)], "two")
    kill(queue, [Task(tasks.fail)], "one")

    assert ids(queue, callback=NOTE, error="one") == first
    assert ids(queue, first, error="two") == []
    assert len(ids(queue, error=None, callback=None, since=None, until=None)) == 3


def test_those_that_match_are_revived_or_thrown_away(queue: BatchQueue) -> None:
    one = kill(queue, "abc", "one")
    two = kill(queue, "de", "two")

    assert queue.delete_dead_items(error="two", item_ids=two[:1]) == 1
    assert queue.revive_items(error="one") == 3
    assert [item.id for item in queue.items()] == one
    assert ids(queue) == two[1:]
    assert queue.revive_items(error="one") == 0


def test_what_cannot_be_read_is_of_no_callback_and_in_nobodys_way(queue: BatchQueue) -> None:
    broken = queue.create_item("a")
    overwrite(queue, broken, "{")
    kill(queue, [Task(tasks.note)])

    assert len(ids(queue)) == 2
    assert len(ids(queue, callback=NOTE)) == 1
    assert queue.dead_items()[0].callback is None


@pytest.mark.parametrize(
    ("filters", "problem"),
    [
        ({"eror": "x"}, "unknown filter 'eror'.* 'error'"),
        ({"error": ""}, "error must be text"),
        ({"error": 7}, "error must be text"),
        ({"callback": b"x"}, "callback must be text"),
        ({"since": "2026-01-01"}, "since must be a datetime with a time zone"),
        ({"until": datetime(2026, 1, 1)}, "until must be a datetime with a time zone"),
    ],
)
def test_what_is_no_filter_is_refused(queue: BatchQueue, filters: dict[str, Any], problem: str) -> None:
    kill(queue, "a")

    for attempt in (queue.dead_items, queue.dead_letters, queue.count_dead_items, queue.revive_items,
                    queue.delete_dead_items):  # fmt: skip
        with pytest.raises(SpecError, match=problem):
            attempt(**filters)

    assert queue.get_statistic("dead") == 1
