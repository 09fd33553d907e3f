"""A real queue and the model side by side: every handle that the queue ever gave out, and whether both agree.

All leases and delays end 500 s past a full thousand, and time moves by full thousands: no step ever comes
near an edge, however long the step itself takes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import count
from typing import Any, ClassVar, cast

from hypothesis.stateful import RuleBasedStateMachine, invariant

from taskqueue import Batch, QueueItem, Task, clock
from taskqueue.queues.batch import BatchQueue
from tests.model.model import Held, Model, ModelItem, places

#: Measured times may differ from the model's by the time that the steps themselves take.
TOLERANCE = 250

AFTERWARDS = Task("tests.contract.tasks:note")

Pick = Sequence[int]
#: Settles items and returns the lost ones.
Act = Callable[[list[QueueItem]], list[QueueItem]]


class Counted:
    """A queue whose operations are counted by their names."""

    def __init__(self, queue: BatchQueue, calls: Counter[str]) -> None:
        self._queue = queue
        self._calls = calls

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._queue, name)
        if callable(found):
            self._calls[name] += 1
        return found


class SideBySide(RuleBasedStateMachine):
    """One run: a fresh queue, a fresh model, and all handles that the queue ever gave out.

    ``open`` gives views of the same queue, as two processes have them; they take turns.
    """

    steps = 0
    #: How often each operation of a queue was called, looks after the steps not counted.
    calls: ClassVar[Counter[str]] = Counter()

    def __init__(self, open: Callable[[], Sequence[BatchQueue]]) -> None:
        super().__init__()
        self._open = open
        self._queues = queues = open()
        self._counted = [cast(BatchQueue, Counted(queue, self.calls)) for queue in queues]
        self._turn, self._looks, self._outcomes = count(), count(), count()
        self._numbers = count()
        self._time = ExitStack()
        self.model = Model(queues[0].is_sequential)
        self.handles: list[QueueItem] = []

    def teardown(self) -> None:
        self._time.close()
        self._queues[0].delete()

    @property
    def queue(self) -> BatchQueue:
        return self._counted[next(self._turn) % len(self._counted)]

    @property
    def seen(self) -> BatchQueue:
        """The same for looks after a step, which are not counted."""
        return self._queues[next(self._turn) % len(self._queues)]

    # --- after every step ---

    @invariant()
    def order_and_fences_agree(self) -> None:
        type(self).steps += 1
        assert [held(item) for item in self.seen.items()] == places(self.model.in_order())

    @invariant()
    def one_of_the_rest_agrees(self) -> None:
        """One after the other comes up: looking at all would take longer than everything else."""
        looks = (self._look_at_statistics, self._look_at_dead, self._look_at_status, self._look_at_batch,
                 self._look_at_outcome)  # fmt: skip
        looks[next(self._looks) % len(looks)]()

    def _look_at_statistics(self) -> None:
        assert self.seen.statistics() == self.model.statistics()
        assert self.seen.number_of_items() == len(self.model.items)

    def _look_at_dead(self) -> None:
        assert [dead.id for dead in self.seen.dead_items()] == sorted(self.model.dead)

    def _look_at_status(self) -> None:
        assert self.seen.status == self.model.status

    def _look_at_batch(self) -> None:
        if self.model.batches:
            latest = max(self.model.batches.values(), key=lambda batch: batch.id)
            expected = Batch(latest.id, latest.total, latest.pending, latest.failed)
            assert self.seen.batch(latest.id) == expected

    def _look_at_outcome(self) -> None:
        if self.handles:
            self._same_outcome(self.handles[next(self._outcomes) % len(self.handles)])

    def _handle(self, pick: int) -> QueueItem:
        return self.handles[-1 - pick % len(self.handles)]

    def _same_outcome(self, item: QueueItem) -> None:
        assert self.seen.outcome_of(item.id) in self.model.outcomes(item.id)

    def _same(self, item: QueueItem, expected: ModelItem) -> None:
        named = ("id", "weight", "data", "fence", "run_count", "failures", "interruptions", "last_error",
                 "is_cancelled", "batch_id")  # fmt: skip
        assert {name: getattr(item, name) for name in named} == {name: getattr(expected, name) for name in named}
        left = (item.release_time - clock.from_ms(clock.now_ms())).total_seconds() if item.release_time else 0
        assert abs(max(left, 0) - max(expected.until - self.model.now, 0)) < TOLERANCE

    # --- what a step gives ---

    def _created(
        self, item: QueueItem, weight: int, data: object, delay: int, key: str | None = None, until_start: bool = False
    ) -> None:
        expected = self.model.with_key(key) or self.model.create(item.id, weight, data, delay, key, until_start)
        self._same(item, expected)
        self.handles.append(item)

    def _find_callbacks(self) -> None:
        """What follows the batches that have just ended gets its id from the queue."""
        followed, self.model.followed = self.model.followed, []
        found = {item.data.kwargs["batch"]["id"]: item for item in self.seen.items() if isinstance(item.data, Task)}
        for batch in followed:
            facts = {"id": batch.id, "total": batch.total, "failed": batch.failed}
            self._created(found[batch.id], batch.weight, Task(AFTERWARDS.callback, kwargs={"batch": facts}), 0)

    def _leased(self, items: Sequence[QueueItem], expected: Sequence[ModelItem]) -> None:
        assert [(item.id, item.fence) for item in items] == places(expected)
        for item, model_item in zip(items, expected, strict=True):
            self._same(item, model_item)
        self.handles += items

    def _settled(self, chosen: Pick, act: Act, expect: Callable[..., bool], *more: object) -> None:
        items = list({item.id: item for item in map(self._handle, chosen)}.values())
        lost = act(items)
        assert [held(item) for item in lost] == [held(item) for item in items if not expect(held(item), *more)]
        self._find_callbacks()


def held(item: QueueItem) -> Held:
    return item.id, item.fence
