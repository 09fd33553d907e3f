"""Two operations of the product at the same item, played in one order of their statements after the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from taskqueue import BatchQueue, ItemNotFound, LeaseLost, QueueItem, QueueNotFound, QueueService
from taskqueue.queues.sql_base import SqlBase
from taskqueue.storage.schema import LEASED
from tests.faults.interleaved import Pair, Session, orders, waiting_for_locks

#: What the contract lets an operation answer.
ALLOWED = (LeaseLost, ItemNotFound, QueueNotFound)
LONG = 600.0


@dataclass
class Scene:
    """One queue, as three processes see it, and the items that stand in it."""

    mine: BatchQueue
    yours: BatchQueue
    other: BatchQueue
    items: list[QueueItem]

    @property
    def item(self) -> QueueItem:
        """The first item, as it was held, or made."""
        return self.items[0]


@dataclass
class Case:
    """Two operations, and what is made before them."""

    first: Callable[[Scene], Any]
    second: Callable[[Scene], Any]
    #: How many items there are, and how the first one is held: not, for long, or under a lease that is over.
    items: int = 1
    held: str = ""
    #: Whether one of them removes the queue.
    removes_queue: bool = False


def _promote(scene: Scene) -> int:
    """What a claim does first: what is due becomes ready."""
    queue = scene.mine
    assert isinstance(queue, SqlBase)
    return queue.database.transaction(queue.rows.promote)


CASES = {
    "claim-claim": Case(lambda scene: scene.mine.claim_item(LONG), lambda scene: scene.yours.claim_item(LONG)),
    "claim-claim-of-two": Case(
        lambda scene: scene.mine.claim_item(LONG), lambda scene: scene.yours.claim_item(LONG), items=2
    ),
    "claim-complete": Case(
        lambda scene: scene.mine.claim_item(LONG), lambda scene: scene.yours.delete_item(scene.item), 2, "over"
    ),
    "renew-steal": Case(
        lambda scene: scene.mine.extend_lease(scene.item, LONG), lambda scene: scene.yours.steal_item(LONG), 1, "long"
    ),
    "complete-steal": Case(
        lambda scene: scene.mine.delete_item(scene.item), lambda scene: scene.yours.steal_item(LONG), 1, "long"
    ),
    "release-steal": Case(
        lambda scene: scene.mine.release_item(scene.item), lambda scene: scene.yours.steal_item(LONG), 1, "long"
    ),
    "delete-claim": Case(
        lambda scene: scene.mine.cancel_item(scene.item.id), lambda scene: scene.yours.claim_item(LONG), 2
    ),
    "delete_queue-claim": Case(
        lambda scene: scene.mine.delete(), lambda scene: scene.yours.claim_item(LONG), 2, removes_queue=True
    ),
    "promote-complete": Case(_promote, lambda scene: scene.yours.delete_item(scene.item), 2, "over"),
}


class Theatre:
    """Plays a case in one order after the other."""

    def __init__(self, url: str, type: str) -> None:
        self._services = [QueueService(url) for _ in range(3)]
        self._type = type
        self._services[0].create(type, "stage")
        self._queues = [service.load("stage") for service in self._services]
        for queue in self._queues:  # what only the first call does
            queue.create_item("x")
            found = queue.claim_item()
            assert found is not None
            queue.delete_item(found)

    def close(self) -> None:
        for service in self._services:
            service.close()

    def play(self, case: Case, order: str) -> tuple[Scene, Session, Session]:
        """Both operations in that order, on a queue that was empty before."""
        mine, yours, other = self._queues
        self._services[2].create(self._type, "stage")  # again, where the last play has removed it
        for queue in (mine, yours):
            assert isinstance(queue, SqlBase)
            queue._promoted = (0, 0)  # it looks for what is due at its next claim
        with self._services[2].engine.begin() as connection:
            connection.execute(text("DELETE FROM taskqueue_item"))
        scene = Scene(mine, yours, other, [other.create_item(number) for number in range(case.items)])
        if case.held:
            held = other.claim_item(LONG if case.held == "long" else 0.001)
            assert held is not None and held.id == scene.item.id
            scene.items[0] = held
            if case.held == "over":
                while (wait := other.wait()) is not None and wait.seconds > 0:
                    pass
        pair = Pair(lambda: case.first(scene), lambda: case.second(scene), self._waiting)
        return scene, *pair.run(order)

    def _waiting(self) -> int:
        if self._services[2].database.dialect.single_writer:
            return int(self._services[2].database.is_being_written())
        with self._services[2].engine.connect() as connection:
            return int(connection.execute(text(waiting_for_locks(connection.dialect.name))).scalar() or 0)

    def violations(self, case: Case) -> list[str]:
        """Each promise that is broken in some order, with that order."""
        # One after the other, both ways: who comes second may find nothing left to do, and needs fewer statements.
        played = [self.play(case, order) for order in ("A" * 20, "B" * 20)]
        first, second = (max(len(sessions[which].statements) for _, *sessions in played) for which in (0, 1))
        return [
            f"{order}: {said}"
            for order in orders(first, second)
            for said in violations(self, case, *self.play(case, order))
        ]

    def rows(self) -> dict[int, tuple[int, int]]:
        """Of each item in the queue its fence and its state."""
        with self._services[2].engine.connect() as connection:
            found = connection.execute(text("SELECT id, fence, state FROM taskqueue_item"))
            return {row.id: (row.fence, row.state) for row in found}


def violations(theatre: Theatre, case: Case, scene: Scene, first: Session, second: Session) -> list[str]:
    """Each promise that was broken, as a sentence."""
    found = [
        f"{session.name} got {session.error!r}"
        for session in (first, second)
        if session.error is not None and not isinstance(session.error, ALLOWED)
    ]
    rows = theatre.rows()
    claimed = [session.answer for session in (first, second) if isinstance(session.answer, QueueItem)]
    leases = [(item.id, item.fence) for item in claimed]
    if len({item_id for item_id, _fence in leases}) < len(leases):
        found.append(f"one item was leased to both: {leases}")
    if scene.mine.spec.type == "Sql" and len(leases) > 1:
        found.append(f"two leases on a sequential queue: {leases}")
    if case.removes_queue:
        return found + [f"item {item_id} has outlived its queue" for item_id in rows]
    for item_id, fence in leases:
        if rows.get(item_id) != (fence, LEASED):
            found.append(f"item {item_id} was leased under {fence} and is {rows.get(item_id)}")
    for item_id, (_fence, state) in rows.items():
        if state == LEASED and item_id not in dict(leases) and item_id != scene.item.id:
            found.append(f"item {item_id} is leased to nobody")
    ended = [session for session in (first, second) if session.error is None and _has_ended(session)]
    if len(rows) != len(scene.items) - len(ended):
        found.append(f"of {len(scene.items)} items {len(rows)} are left, though {len(ended)} were ended")
    return found


def _has_ended(session: Session) -> bool:
    """Whether it has answered that an item is gone."""
    return session.answer == "cancelled" or any("DELETE FROM taskqueue_item" in sql for sql in session.statements)
