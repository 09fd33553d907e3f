"""The steps: each does the same to a real queue and to the model; both are compared after it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, cast

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from taskqueue import clock
from taskqueue.errors import ItemNotFound, LeaseLost
from taskqueue.queues import settlement
from taskqueue.queues.batch import BatchQueue
from taskqueue.queues.settlement import Settlement
from taskqueue.spec import STATUSES
from tests.model.side_by_side import AFTERWARDS, TOLERANCE, Act, Counted, Pick, SideBySide, held

BATCH_LIMIT = 3
DEFAULT_LEASE, DEFAULT_DELAY = 2500, 1500
OPTIONS: dict[str, Any] = {"batch_limit": BATCH_LIMIT, "lease_time": DEFAULT_LEASE, "retry_interval": DEFAULT_DELAY}

weights = st.sampled_from([0, 0, 1, -1])
delays = st.sampled_from([None, 0, 500, 1500, 3500])
leases = st.sampled_from([None, 500, 1500, 4500])
keys = st.sampled_from([None, None, "a", "b"])
#: Which of the handles: 0 is the latest. The older ones are stale more often than not.
picks = st.integers(0, 12)
several = st.lists(picks, min_size=1, max_size=4)


class QueueMachine(SideBySide):
    """All operations of a queue."""

    # --- coming in ---

    @initialize(size=st.integers(0, 6))
    def begin(self, size: int) -> None:
        self.create_many(0, size)

    @rule(delay=st.sampled_from([1500, 3500]))
    def let_the_head_wait(self, delay: int) -> None:
        self.create(-1, delay, None)
        self.claim_items(BATCH_LIMIT, 500)

    @rule(weight=weights, delay=delays, key=keys, until_start=st.booleans())
    def create(self, weight: int, delay: int | None, key: str | None, until_start: bool = False) -> None:
        number, until_start = next(self._numbers), until_start and key is not None
        until = "started" if until_start else "finished"
        item = self.queue.create_item(number, weight=weight, delay=delay, dedup_key=key, unique_until=until)
        self._created(item, weight, number, delay or 0, key, until_start)

    @rule(weight=weights, offset=st.sampled_from([-1500, 1500]))
    def create_for_a_moment(self, weight: int, offset: int) -> None:
        number = next(self._numbers)
        moment = clock.from_ms(clock.now_ms()) + timedelta(seconds=offset)
        self._created(self.queue.create_item(number, weight=weight, release_time=moment), weight, number, offset)

    @rule(weight=weights, size=st.integers(0, 3))
    def create_batch(self, weight: int, size: int) -> None:
        numbers = [next(self._numbers) for _ in range(size)]
        batch = self.queue.create_batch(iter(numbers), AFTERWARDS, weight=weight)
        expected = self.model.create_batch(batch.id, weight, size)
        for item in [item for item in self.seen.items() if item.batch_id == batch.id]:
            self.model.create(item.id, weight, item.data).batch = expected
            self.handles.append(item)
        self._find_callbacks()

    @rule(weight=weights, size=st.integers(0, 4))
    def create_many(self, weight: int, size: int) -> None:
        numbers = [next(self._numbers) for _ in range(size)]
        assert self.queue.create_items(iter(numbers), weight=weight) == size
        created = [item for item in self.seen.items() if item.id not in self.model.items]
        assert [item.data for item in created] == numbers, "ids do not follow the order of the source"
        for item in created:
            self._created(item, weight, item.data, 0)

    # --- going out ---

    @rule(lease=leases)
    def claim_item(self, lease: int | None) -> None:
        item = self.queue.claim_item(lease)
        self._leased([item] if item else [], self.model.claim(1, lease or DEFAULT_LEASE))

    @rule(limit=st.integers(1, 5), lease=leases)
    def claim_items(self, limit: int, lease: int | None) -> None:
        items = self.queue.claim_items(limit, lease)
        self._leased(items, self.model.claim(min(limit, BATCH_LIMIT), lease or DEFAULT_LEASE))

    @rule(lease=leases)
    def steal_item(self, lease: int | None) -> None:
        item = self.queue.steal_item(lease)
        stolen = self.model.steal(lease or DEFAULT_LEASE)
        self._leased([item] if item else [], [stolen] if stolen else [])

    @rule(lease=leases)
    def claim_many_and_steal(self, lease: int | None) -> None:
        """By chance alone, several leases at once would rarely meet a thief."""
        self.travel(5000)
        self.claim_items(BATCH_LIMIT, lease)
        self.steal_item(lease)

    # --- holding, also with handles that are long stale ---

    @precondition(lambda self: self.handles)
    @rule(pick=picks, lease=leases)
    def extend_lease(self, pick: int, lease: int | None) -> None:
        item = self._handle(pick)
        kept = self.model.extend(held(item), lease or DEFAULT_LEASE)
        assert _succeeds(lambda: self.queue.extend_lease(item, lease)) == kept

    @rule(lease=leases, seconds=st.sampled_from([1000, 5000]))
    def come_back_late(self, lease: int | None, seconds: int) -> None:
        self.claim_item(lease)
        self.travel(seconds)
        if self.handles:
            self.extend_lease(0, None)

    @precondition(lambda self: self.handles)
    @rule(pick=picks, delay=delays)
    def release_item(self, pick: int, delay: int | None) -> None:
        item = self._handle(pick)
        kept = self.model.release(held(item), DEFAULT_DELAY if delay is None else delay)
        assert _succeeds(lambda: self.queue.release_item(item, delay)) == kept
        self._find_callbacks()

    @precondition(lambda self: self.handles)
    @rule(pick=picks)
    def delete_item(self, pick: int) -> None:
        item = self._handle(pick)
        kept = self.model.finish(held(item), "ok")
        assert _succeeds(lambda: self.queue.delete_item(item)) == kept
        self._find_callbacks()
        self._same_outcome(item)

    @precondition(lambda self: self.handles)
    @rule(pick=picks)
    def cancel_item(self, pick: int) -> None:
        item = self._handle(pick)
        expected = self.model.cancel(item.id)
        if expected is None:
            assert not _succeeds(lambda: self.queue.cancel_item(item.id))
        else:
            assert self.queue.cancel_item(item.id) == expected
        self._find_callbacks()

    @rule(
        way=st.sampled_from(["release_items", "relinquish_items", "retry", "abort", "give_up", "bury", "delete_items"])
    )
    def cancel_what_is_held(self, way: str) -> None:
        """By chance alone, what is cancelled would rarely be held, and be settled by its holder."""
        self.travel(5000)
        self.create_batch(-1, BATCH_LIMIT - 1)
        self.claim_items(BATCH_LIMIT, 1500)
        self.cancel_item(0)
        more: dict[str, list[Any]] = {"release_items": [None], "retry": [0], "give_up": ["delete"]}
        getattr(self, way)([0, 1], *more.get(way, []))

    @precondition(lambda self: self.handles)
    @rule(chosen=several, delay=delays)
    def release_items(self, chosen: Pick, delay: int | None) -> None:
        seconds = DEFAULT_DELAY if delay is None else delay
        self._settled(chosen, lambda items: self.queue.release_items(items, delay), self.model.release, seconds)

    @precondition(lambda self: self.handles)
    @rule(chosen=several)
    def relinquish_items(self, chosen: Pick) -> None:
        self._settled(chosen, lambda items: self.queue.relinquish_items(items), self.model.relinquish)

    @precondition(lambda self: self.handles)
    @rule(chosen=several)
    def delete_items(self, chosen: Pick) -> None:
        self._settled(chosen, lambda items: self.queue.delete_items(items), self.model.finish, "ok")

    @precondition(lambda self: self.handles)
    @rule(chosen=several, delay=st.sampled_from([0, 1500]))
    def retry(self, chosen: Pick, delay: int) -> None:
        how = settlement.retry(delay * 1000, "again")
        self._settled(chosen, self._settling(how), self.model.retry, delay, "again")

    @precondition(lambda self: self.handles)
    @rule(chosen=several)
    def abort(self, chosen: Pick) -> None:
        self._settled(chosen, self._settling(settlement.abort("stop")), self.model.abort, "stop")

    @precondition(lambda self: self.handles)
    @rule(chosen=several, outcome=st.sampled_from(["delete", "skipped"]))
    def give_up(self, chosen: Pick, outcome: str) -> None:
        how = (settlement.delete if outcome == "delete" else settlement.skip)("over")
        self._settled(chosen, self._settling(how), self.model.finish, outcome)

    @precondition(lambda self: self.handles)
    @rule(chosen=several)
    def bury(self, chosen: Pick) -> None:
        self._settled(chosen, self._settling(settlement.bury("dead")), self.model.bury, "dead")

    def _settling(self, how: Settlement) -> Act:
        return lambda items: self.queue.settle(items, how)

    # --- time, the queue, dead letters ---

    @rule(seconds=st.sampled_from([1000, 2000, 5000]))
    def travel(self, seconds: int) -> None:
        self._time.enter_context(clock.travel(seconds))
        self.model.now += seconds

    @rule(status=st.sampled_from(STATUSES))
    def set_status(self, status: str) -> None:
        self.queue.set_status(status)
        self.model.status = status

    @rule(really=st.sampled_from([False, False, False, True]))
    def delete_queue(self, really: bool) -> None:
        """Deleted and registered anew, it is empty and active; who still has it in hand goes on with the new one."""
        if really:
            self._queues[0].delete()
            self.calls["delete"] += 1
            self._queues = self._open()
            self._counted = [cast(BatchQueue, Counted(queue, self.calls)) for queue in self._queues]
            self.model.reset()
            self.model.status = "active"

    @rule(really=st.sampled_from([False, False, False, True]))
    def reset(self, really: bool) -> None:
        if really:
            assert self.queue.reset() == self.model.reset()

    @precondition(lambda self: self.model.dead)
    @rule(pick=picks)
    def revive_item(self, pick: int) -> None:
        dead = sorted(self.model.dead)[pick % len(self.model.dead)]
        item = self.queue.revive_item(dead)
        assert self.model.revive([dead]) == 1
        self._same(item, self.model.items[dead])
        self.handles.append(item)

    @precondition(lambda self: self.model.dead)
    @rule(pick=picks)
    def revive_and_finish(self, pick: int) -> None:
        self.revive_item(pick)
        self.delete_item(0)

    @precondition(lambda self: self.handles)
    @rule(chosen=several)
    def revive_items(self, chosen: Pick) -> None:
        ids = [self._handle(pick).id for pick in chosen]
        assert self.queue.revive_items(ids) == self.model.revive(ids)

    @precondition(lambda self: self.model.dead)
    @rule()
    def revive_all(self) -> None:
        assert self.queue.revive_items() == self.model.revive(list(self.model.dead))

    @precondition(lambda self: self.handles)
    @rule(pick=picks)
    def revive_what_is_not_dead(self, pick: int) -> None:
        item_id = self._handle(pick).id
        if item_id not in self.model.dead:
            assert not _succeeds(lambda: self.queue.revive_item(item_id))

    @precondition(lambda self: self.handles)
    @rule(chosen=several)
    def delete_dead_items(self, chosen: Pick) -> None:
        ids = [self._handle(pick).id for pick in chosen]
        assert self.queue.delete_dead_items(ids) == self.model.delete_dead(ids)

    # --- looking ---

    @precondition(lambda self: self.handles)
    @rule(pick=picks)
    def fetch_item(self, pick: int) -> None:
        item_id = self._handle(pick).id
        item, expected = self.queue.fetch_item(item_id), self.model.items.get(item_id)
        assert (item is None) == (expected is None)
        if item is not None and expected is not None:
            self._same(item, expected)
            self.handles.append(item)

    @rule()
    def wait(self) -> None:
        found, expected = self.queue.wait(), self.model.wait()
        assert (found is None) == (expected is None)
        if found is not None and expected is not None:
            assert abs(found.seconds - expected[0]) < TOLERANCE
            assert found.is_leased == expected[1]


def _succeeds(act: Callable[[], object]) -> bool:
    try:
        act()
    except (LeaseLost, ItemNotFound):
        return False
    return True
