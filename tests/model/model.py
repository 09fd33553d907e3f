"""What a queue means, without a database: lists, one clock, and the rules written out.

Time is whole seconds and moves only when told to. Nothing here is shared with the package, so that a mistake
there cannot hide here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

Held = tuple[int, int]
"""An item as its holder knows it: id and fence."""


@dataclass
class ModelItem:
    """An item in the queue; ``until`` is when its lease or delay ends, 0 when it has neither."""

    id: int
    weight: int
    data: object
    key: str | None = None
    until: int = 0
    is_leased: bool = False
    fence: int = 0
    run_count: int = 0
    failures: int = 0
    interruptions: int = 0
    last_error: str | None = None
    is_cancelled: bool = False
    #: The key goes when the item is started.
    until_start: bool = False
    batch: ModelBatch | None = None

    @property
    def batch_id(self) -> int | None:
        return self.batch.id if self.batch else None

    @property
    def place(self) -> tuple[int, int]:
        """Lower weights first, then in the order of their creation."""
        return self.weight, self.id


@dataclass
class ModelBatch:
    """Items that belong together."""

    id: int
    weight: int
    total: int
    pending: int
    failed: int = 0


@dataclass
class Model:
    """A queue: sequential (one holder, the head blocks) or parallel (what is blocked is passed by)."""

    is_sequential: bool
    now: int = 0
    status: str = "active"
    items: dict[int, ModelItem] = field(default_factory=dict)
    dead: dict[int, ModelItem] = field(default_factory=dict)
    #: How items ended, as far as anybody may still ask; a reset makes the answer optional.
    endings: dict[int, str] = field(default_factory=dict)
    forgotten: set[int] = field(default_factory=set)
    batches: dict[int, ModelBatch] = field(default_factory=dict)
    #: Those whose last item has just ended, so that their callback is on the queue.
    followed: list[ModelBatch] = field(default_factory=list)

    # --- looking ---

    def in_order(self) -> list[ModelItem]:
        return sorted(self.items.values(), key=lambda item: item.place)

    def is_blocked(self, item: ModelItem) -> bool:
        return item.until > self.now

    def statistics(self) -> dict[str, int]:
        blocked = [item for item in self.items.values() if self.is_blocked(item)]
        leased = sum(item.is_leased for item in blocked)
        return {
            "total": len(self.items),
            "ready": len(self.items) - len(blocked),
            "blocked": len(blocked),
            "leased": leased,
            "delayed": len(blocked) - leased,
            "dead": len(self.dead),
        }

    def outcomes(self, item_id: int) -> set[str | None]:
        """The answers allowed for "how did it end?": one, or after a reset also None."""
        if item_id in self.items:
            return {"waiting"}
        if item_id in self.dead:
            return {"dead"}
        known: set[str | None] = {self.endings[item_id]} if item_id in self.endings else {None}
        return known | {None} if item_id in self.forgotten else known

    def wait(self) -> tuple[int, bool] | None:
        """Seconds until something may be claimed, and whether that is because somebody holds an item."""
        held = [max(item.until - self.now, 0) for item in self.items.values() if item.is_leased]
        if self.is_sequential:
            head = next(iter(self.in_order()), None)
            if held or head is None:
                return (min(held), True) if held else None
            return max(head.until - self.now, 0), False
        if not self.items:
            return None
        soonest = min(max(item.until - self.now, 0) for item in self.items.values())
        has_ready = any(item.until == 0 for item in self.items.values())
        return soonest, bool(held) and not has_ready

    # --- coming in ---

    def with_key(self, key: str | None) -> ModelItem | None:
        return next((item for item in self.items.values() if key is not None and item.key == key), None)

    def create(
        self, item_id: int, weight: int, data: object, delay: int = 0, key: str | None = None,
        until_start: bool = False,
    ) -> ModelItem:  # fmt: skip
        item = ModelItem(item_id, weight, data, key, until=self.now + delay if delay > 0 else 0)
        item.until_start = until_start
        self.items[item_id] = item
        return item

    def create_batch(self, batch_id: int, weight: int, total: int) -> ModelBatch:
        batch = self.batches[batch_id] = ModelBatch(batch_id, weight, total, pending=total)
        self._follow(batch)
        return batch

    def _follow(self, batch: ModelBatch) -> None:
        if not batch.pending:
            self.followed.append(batch)

    # --- going out ---

    def claim(self, limit: int, lease: int) -> list[ModelItem]:
        self._end_what_is_due()
        taken: list[ModelItem] = []
        if self.is_sequential and any(item.is_leased for item in self.items.values()):
            return taken
        for item in self.in_order():
            if len(taken) == limit or (self.is_sequential and item.until):
                break
            if not item.until:
                taken.append(self._take(item, lease))
        return taken

    def steal(self, lease: int) -> ModelItem | None:
        self._end_what_is_due()
        head = next(iter(self.in_order()), None)
        if head is None:
            return None
        for other in self.items.values():
            if self.is_sequential and other.is_leased and other is not head:
                self._free(other)
        return self._take(head, lease)

    def _take(self, item: ModelItem, lease: int) -> ModelItem:
        item.is_leased, item.until = True, self.now + lease
        item.key = None if item.until_start else item.key
        item.run_count += 1
        item.fence += 1
        return item

    def _end_what_is_due(self) -> None:
        """Whose lease ended by itself was interrupted, but keeps its fence: the holder may still finish it."""
        for item in self.items.values():
            if item.until <= self.now:
                item.interruptions += item.is_leased
                item.is_leased, item.until = False, 0

    # --- taking back ---

    def cancel(self, item_id: int) -> str | None:
        """What waits is gone; what is held is marked, and is gone as soon as it is not finished."""
        item = self.items.get(item_id)
        if item is None:
            return None
        if item.is_leased and self.is_blocked(item):
            item.is_cancelled = True
            return "stopping"
        self._remove(item, "cancelled")
        return "cancelled"

    def _remove(self, item: ModelItem, outcome: str) -> None:
        del self.items[item.id]
        if outcome != "dead":
            self.endings[item.id] = outcome
        if item.batch is not None:
            item.batch.pending -= 1
            item.batch.failed += outcome != "ok"
            self._follow(item.batch)
            item.batch = None

    # --- holding ---

    def standing(self, held: Held) -> ModelItem | None:
        """The item, if its fence has not moved on."""
        item = self.items.get(held[0])
        return item if item is not None and item.fence == held[1] else None

    def extend(self, held: Held, lease: int) -> bool:
        item = self.standing(held)
        if item is None or not item.is_leased or not self.is_blocked(item):
            return False
        item.until = self.now + lease
        return True

    def release(self, held: Held, delay: int) -> bool:
        item = self.standing(held)
        if item is not None:
            self._put_down(item, delay)
        return item is not None

    def relinquish(self, held: Held) -> bool:
        item = self.standing(held)
        if item is not None:
            item.run_count = max(item.run_count - 1, 0)
            self._put_down(item)
        return item is not None

    def retry(self, held: Held, delay: int, error: str) -> bool:
        item = self.standing(held)
        if item is not None:
            item.failures, item.interruptions, item.last_error = item.failures + 1, 0, error
            self._put_down(item, delay)
        return item is not None

    def abort(self, held: Held, error: str) -> bool:
        item = self.standing(held)
        if item is not None:
            item.failures, item.interruptions, item.last_error = 0, 0, error
            self._put_down(item)
        return item is not None

    def finish(self, held: Held, outcome: str) -> bool:
        item = self.standing(held)
        if item is not None:
            self._remove(item, "cancelled" if item.is_cancelled and outcome != "ok" else outcome)
        return item is not None

    def bury(self, held: Held, error: str) -> bool:
        item = self.standing(held)
        if item is not None:
            self._remove(item, "cancelled" if item.is_cancelled else "dead")
            if not item.is_cancelled:
                item.failures, item.last_error = item.failures + 1, error
                self.dead[item.id] = item
        return item is not None

    def _put_down(self, item: ModelItem, delay: int = 0) -> None:
        if item.is_cancelled:
            self._remove(item, "cancelled")
            return
        self._free(item, delay)

    def _free(self, item: ModelItem, delay: int = 0) -> None:
        item.is_leased, item.until = False, self.now + delay if delay > 0 else 0
        item.fence += 1

    # --- dead letters, and the end ---

    def revive(self, ids: Iterable[int]) -> int:
        """Back in place with fresh attempts; the key comes back unless another item has taken it."""
        found = [self.dead.pop(item_id) for item_id in sorted(set(ids)) if item_id in self.dead]
        for item in found:
            item.failures = item.interruptions = 0
            item.key = None if self.with_key(item.key) else item.key
            self.items[item.id] = item
            self._free(item)
        return len(found)

    def delete_dead(self, ids: Iterable[int]) -> int:
        found = [self.dead.pop(item_id).id for item_id in set(ids) if item_id in self.dead]
        self.endings.update(dict.fromkeys(found, "delete"))
        return len(found)

    def reset(self) -> int:
        removed = len(self.items)
        self.endings.update(dict.fromkeys(self.dead, "dead"))
        self.forgotten.update(self.endings)
        self.items.clear()
        self.dead.clear()
        self.batches.clear()
        return removed


def places(items: Sequence[ModelItem]) -> list[Held]:
    """Ids and fences, for comparison with what a queue gave."""
    return [(item.id, item.fence) for item in items]
