"""What is claimed to be executed is unpacked in a row, for a moment."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from taskqueue import QueueItem, QueueService, Runner
from taskqueue.execution import ahead
from taskqueue.execution.ahead import LeaseAhead
from taskqueue.execution.holding import Holding
from taskqueue.payload import Codec
from taskqueue.queues.batch import BatchQueue
from tests.costs.tasks import nothing
from tests.servers import ALL_DATABASES

each_database = pytest.mark.parametrize("database_url", ALL_DATABASES, indirect=True)
each_type = pytest.mark.parametrize("type_name", ["Sql", "SqlParallel"])
NUMBER = 20
#: Seconds that a task is said to take, so that many are leased ahead.
QUICK = 0.001


@pytest.fixture
def queue(service: QueueService, type_name: str) -> BatchQueue:
    queue = service.create(type_name, "mail", error="dead")
    queue.create_items(range(NUMBER))
    return queue


def is_read(item: QueueItem) -> bool:
    return "data" in vars(item)


@each_database
@each_type
def test_given_items_when_leased_ahead_then_they_are_unpacked_at_once(queue: BatchQueue) -> None:
    with Holding(queue) as holding:
        assert LeaseAhead(holding, QUICK).next() is not None
        held = [hold.item for hold in holding._holds.values()]
        assert [is_read(item) for item in held] == [True] * NUMBER


@each_database
@each_type
def test_given_data_that_take_long_to_unpack_when_leased_ahead_then_the_first_item_does_not_wait_for_all(
    queue: BatchQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = count()

    class Clock:
        @staticmethod
        def monotonic() -> float:
            return next(moments) * ahead._READING  # at each look as much has passed as there is in all

    with Holding(queue) as holding:
        leased = LeaseAhead(holding, QUICK)
        monkeypatch.setattr(ahead, "time", Clock)
        assert leased.next() is not None
        assert 1 <= sum(is_read(hold.item) for hold in holding._holds.values()) <= 3


@each_database
@each_type
def test_given_an_interrupt_while_items_are_unpacked_when_it_passes_on_then_all_are_given_back(
    queue: BatchQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, unpack = count(1), Codec.unpack

    def interrupted(codec: Codec, *given: Any, **more: Any) -> Any:
        if next(calls) == NUMBER // 2:
            raise KeyboardInterrupt
        return unpack(codec, *given, **more)

    monkeypatch.setattr(Codec, "unpack", interrupted)
    with pytest.raises(KeyboardInterrupt), Holding(queue) as holding:
        LeaseAhead(holding, QUICK).next()
    monkeypatch.undo()

    assert queue.count_states() == (NUMBER, 0, 0)  # type: ignore[attr-defined]


@each_database
@each_type
def test_given_an_item_that_was_interrupted_when_leased_then_nothing_is_unpacked_beside_it(
    queue: BatchQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.database.statement(lambda tx: tx.change("UPDATE {item} SET interruptions = 1"))  # type: ignore[attr-defined]
    unpacked: list[str] = []
    monkeypatch.setattr(Codec, "unpack", lambda _codec, text, *_given: unpacked.append(text))
    with Holding(queue) as holding:
        assert LeaseAhead(holding, QUICK).next() is not None
        assert unpacked == []


@each_database
@each_type
def test_given_an_item_that_cannot_be_read_when_it_is_leased_with_others_then_those_run_and_it_is_a_dead_letter(
    service: QueueService, type_name: str
) -> None:
    queue = service.create(type_name, "mail", error="dead")
    items = [queue.enqueue(nothing) for _ in range(NUMBER)]
    broken = items[NUMBER // 2]
    queue.database.statement(  # type: ignore[attr-defined]
        lambda tx: tx.change("UPDATE {item} SET data = :data WHERE id = :id", data='{"v":1,"call', id=broken.id)
    )

    result = Runner(queue).run_all()

    assert (result.completed, result.failed) == (NUMBER - 1, 1)
    assert [letter.id for letter in queue.dead_letters()] == [broken.id]
