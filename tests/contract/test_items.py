"""Items: what they are when they come in, and how they are found again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import FrozenInstanceError
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from taskqueue import BatchQueue, SerializationError, Task, clock
from taskqueue.storage.items import Items
from tests.contract import tasks
from tests.contract.backends import only_sql
from tests.contract.conftest import MakeQueue


class Lazy:
    """Text that is only known when it is asked for, as a translation is."""

    def __str__(self) -> str:
        return "Überschrift"


def test_a_new_item_tells_where_it_stands(queue: BatchQueue) -> None:
    before = clock.now_ms()

    item = queue.create_item({"x": 1}, weight=7)

    assert (item.queue_name, item.data, item.weight) == ("jobs", {"x": 1}, 7)
    assert (item.run_count, item.fence, item.failures, item.interruptions) == (0, 0, 0, 0)
    assert item.release_time is None
    assert item.last_error is None
    assert item.submit_time.utcoffset() == timedelta(0)
    assert abs(clock.moment_ms(item.submit_time) - before) < 5000


def test_a_new_item_is_the_one_that_is_found_afterwards(queue: BatchQueue) -> None:
    created = queue.create_item("x", weight=-3, delay=60)

    found = queue.fetch_item(created.id)

    assert found == created
    assert found is not None
    assert found.data == "x"


def test_an_item_does_not_change_when_the_queue_does(queue: BatchQueue) -> None:
    item = queue.create_item("x")

    queue.claim_item()

    assert item.run_count == 0
    with pytest.raises(FrozenInstanceError):
        item.weight = 5  # type: ignore[misc]


@pytest.mark.parametrize("delay", [60, 60.0, timedelta(minutes=1)], ids=str)
def test_a_delay_hides_an_item_for_so_long(queue: BatchQueue, delay: Any) -> None:
    item = queue.create_item("x", delay=delay)

    assert item.release_time is not None
    assert item.release_time - item.submit_time == timedelta(minutes=1)


def test_a_release_time_is_kept_to_the_millisecond(queue: BatchQueue) -> None:
    moment = datetime(2037, 5, 6, 7, 8, 9, 123_000, timezone(timedelta(hours=5)))

    item = queue.create_item("x", release_time=moment)

    assert item.release_time == moment
    found = queue.fetch_item(item.id)
    assert found is not None
    assert found.release_time == moment


@pytest.mark.parametrize(
    "when",
    [
        {"delay": 0},
        {"delay": -5},
        {"release_time": datetime(1999, 1, 1, tzinfo=timezone.utc)},
        {"release_time": datetime(1, 1, 1, tzinfo=timezone.utc)},
    ],
    ids=str,
)
def test_the_past_means_now(queue: BatchQueue, when: dict[str, Any]) -> None:
    item = queue.create_item("x", **when)

    assert item.release_time is None
    assert queue.claim_item() is not None


def test_the_present_moment_is_no_delay(queue: BatchQueue) -> None:
    created = queue.create_item("x")

    item = queue.create_item("y", weight=-1, release_time=created.submit_time)

    assert item.release_time is None


def test_a_call_is_enqueued_as_a_task(queue: BatchQueue) -> None:
    item = queue.enqueue(tasks.note, "a", 2, title="Write it down", weight=4, delay=9)

    assert item.data == Task(tasks.note, ("a", 2), "Write it down")
    assert item.title == "Write it down"
    assert item.weight == 4
    assert item.release_time is not None


def test_a_lazy_title_is_text_once_it_is_stored(queue: BatchQueue) -> None:
    item = queue.create_item(Task(tasks.note, (), Lazy()))

    assert item.data.title == "Überschrift"


def test_only_items_of_the_queue_itself_are_found(make_queue: MakeQueue) -> None:
    here, there = make_queue("here"), make_queue("there")
    mine = here.create_item("mine")
    for _ in range(2):  # so that the id is none of "here", wherever ids are counted from
        theirs = there.create_item("theirs")

    assert here.fetch_item(theirs.id) is None
    assert here.fetch_items([theirs.id]) == []
    assert here.fetch_item(10**9) is None
    assert [item.id for item in here.items()] == [mine.id]


def test_items_are_listed_in_the_order_of_the_queue_whatever_their_state(queue: BatchQueue) -> None:
    held = queue.create_item("held", weight=-1)
    assert queue.claim_item() is not None
    late = queue.create_item("late", weight=9, delay=60)
    second = queue.create_item("second", delay=60)
    third = queue.create_item("third")

    expected = [held.id, second.id, third.id, late.id]
    assert [item.id for item in queue.items()] == expected
    assert [item.id for item in queue.fetch_items(reversed(expected))] == expected
    assert queue.number_of_items() == 4


def test_many_items_are_created_in_their_order(queue: BatchQueue) -> None:
    count = queue.create_items(range(2500), weight=2)

    assert count == 2500
    found = list(queue.items())
    assert [item.data for item in found] == list(range(2500))
    assert {item.weight for item in found} == {2}


@pytest.mark.parametrize("number", [1, 49, 50, 51, 149, 1000, 1001, 2500])
def test_many_are_however_many_each_with_an_uid_of_its_own(queue: BatchQueue, number: int) -> None:
    assert queue.create_items(range(number)) == number

    found = list(queue.items())
    assert [item.data for item in found] == list(range(number))
    assert len({item.uid for item in found}) == number


def test_an_end_inside_an_item_is_no_end_of_the_items(queue: BatchQueue) -> None:
    class Title:
        def __str__(self) -> str:
            return next(iter(()))

    source = [Task(tasks.note, title=title) for title in ("first", Title(), "last")]
    with pytest.raises(RuntimeError):
        queue.create_items(source)

    assert queue.number_of_items() == 0


def test_many_can_be_none(queue: BatchQueue) -> None:
    assert queue.create_items([]) == 0
    assert queue.number_of_items() == 0


@pytest.mark.parametrize("good", [0, 5, 2200])
def test_a_source_that_fails_leaves_nothing_behind(queue: BatchQueue, good: int) -> None:
    def source() -> Iterator[int]:
        yield from range(good)
        raise OSError("the file ended")

    with pytest.raises(OSError, match="the file ended"):
        queue.create_items(source())

    assert queue.number_of_items() == 0
    assert queue.claim_item() is None


@pytest.mark.parametrize("good", [0, 1500])
def test_an_item_that_cannot_be_stored_leaves_nothing_of_a_long_source_behind(queue: BatchQueue, good: int) -> None:
    with pytest.raises(SerializationError, match="data is of type object"):
        queue.create_items([*range(good), object(), *range(10)])

    assert queue.number_of_items() == 0
    assert queue.create_items(range(3)) == 3


def test_each_item_of_a_source_that_gives_one_object_again_and_again_is_stored_as_it_was_then(
    queue: BatchQueue,
) -> None:
    def source() -> Iterator[dict[str, int]]:
        row = {}
        for number in range(3):
            row["number"] = number
            yield row

    assert queue.create_items(source()) == 3

    assert [item.data["number"] for item in queue.items()] == [0, 1, 2]


@only_sql
def test_a_source_is_read_as_it_is_stored(queue: BatchQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    read, read_at_write = 0, []
    insert_many = Items.insert_many

    def watched(self: Items, tx: Any, *rows: Any) -> None:
        read_at_write.append(read)
        insert_many(self, tx, *rows)
        assert read == read_at_write[-1], "the source runs while the database is being fed"

    def source() -> Iterator[int]:
        nonlocal read
        while read < 5000:
            read += 1
            yield read

    monkeypatch.setattr(Items, "insert_many", watched)

    assert queue.create_items(source()) == 5000

    assert read_at_write[0] <= 1000
    assert read_at_write[-1] == 5000


def test_ids_never_come_back(queue: BatchQueue) -> None:
    item = queue.create_item("a")
    queue.reset()

    again = queue.create_item("b")

    assert again.id > item.id
