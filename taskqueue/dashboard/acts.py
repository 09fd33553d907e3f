"""What an administrator does to items, dead letters and queues: each with a line in the record, in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .. import clock
from ..errors import NotSupported, QueueNotFound
from ..queues import settlement
from ..queues.settlement import Settlement
from ..queues.sql_base import SqlBase
from ..serializer import storable
from ..service import QueueService
from ..spec import QueueSpec, check_options
from ..storage import audit, presence, registry
from ..storage.rows import Held
from ..storage.schema import DELAYED, READY
from ..storage.transaction import Transaction

#: What may be done to items that stand in a queue, and to dead letters.
VERBS = {"items": ("retry", "skip", "delete", "take_over"), "dead": ("revive", "delete")}
#: What may be done to an item in each of its states.
POSSIBLE = {
    "waiting": ("skip", "delete"),
    "scheduled": ("retry", "skip", "delete"),
    "retrying": ("retry", "skip", "delete"),
    "running": ("delete",),
    "silent": ("take_over", "delete"),
    "dead": VERBS["dead"],
}
#: Options that may be changed here; the others decide what may run at all, or how it is stored.
EDITABLE = (
    "error", "retry_limit", "retry_interval", "retry_backoff", "lease_time", "batch_limit", "concurrency_limit",
    "keep_result",
)  # fmt: skip
_STATUS = {"pause": "paused", "resume": "active"}
#: So many lines are written into the record for items one by one; more are one line with their number.
_NAMED = 50


class Acts:
    """The acts of one administrator.

    Arguments:
        actor: who acts, as the record shall name them.
    """

    def __init__(self, service: QueueService, actor: str) -> None:
        self._service = service
        self._actor = storable(actor)[:191]

    def queue(self, name: str) -> SqlBase:
        """A queue in the database. Raises :class:`QueueNotFound`."""
        queue = self._service.load(name)
        if not isinstance(queue, SqlBase):
            raise QueueNotFound(f"queue {name!r} is of a type that no page can show")
        return queue

    # --- items ---

    def on_items(self, queue: SqlBase, verb: str, held: Sequence[Held]) -> int:
        """Do it to items by (id, fence); how many it was done to: what has moved on meanwhile is left alone.

        "retry": what is scheduled, or waits for its retry, is ready now. "skip": removed, on record, unless somebody
        holds it. "delete": the same, and who holds it is asked to stop. "take_over": taken away from a holder without a
        sign of life, and ready.
        """
        if not held:
            return 0
        held = sorted(held)  # all who write lock rows in the same order
        work = {"retry": self._retry, "skip": self._skip, "delete": self._delete, "take_over": self._take_over}[verb]
        done = self._recorded(queue, verb, [item_id for item_id, _fence in held], lambda tx: work(tx, queue, held))
        queue.changed()
        return done

    def _retry(self, tx: Transaction, queue: SqlBase, held: Sequence[Held]) -> set[int]:
        return self._settle(tx, queue, held, (DELAYED,), Settlement(stays=True))

    def _skip(self, tx: Transaction, queue: SqlBase, held: Sequence[Held]) -> set[int]:
        return self._settle(tx, queue, held, (READY, DELAYED), settlement.skip(f"skipped by {self._actor}"))

    def _settle(
        self, tx: Transaction, queue: SqlBase, held: Sequence[Held], states: Sequence[int], how: Settlement
    ) -> set[int]:
        valid = queue.rows.valid(tx, held)
        here = {row.id for row in queue.rows.fetch(tx, valid)}  # and not on a queue that was not named
        ours = [pair for pair in held if pair[0] in here and valid[pair[0]].state in states]
        return queue.settle_within(tx, ours, how) if ours else set()

    def _delete(self, tx: Transaction, queue: SqlBase, held: Sequence[Held]) -> set[int]:
        locked = {item_id: queue.rows.lock(tx, item_id) for item_id, _fence in held}
        same = [item_id for item_id, fence in held if (found := locked[item_id]) is not None and found[0] == fence]
        asked = queue.rows.cancelled(tx, same)  # its holder was asked to stop, by somebody else
        return {item_id for item_id in same if item_id not in asked and queue.cancel_within(tx, item_id) is not None}

    def _take_over(self, tx: Transaction, queue: SqlBase, held: Sequence[Held]) -> set[int]:
        stale_after = clock.to_ms(queue.settings.stale_after)
        taken: set[int] = set()
        for item_id, fence in held:
            row = presence.held_item(tx, queue.name, item_id)
            if row is None or row.fence != fence or row.beat is None or not row.beat.is_stale(stale_after):
                continue
            how = settlement.interrupt(f"{row.label or 'its holder'} gave no sign of life any more")
            if not queue.settle_within(tx, [(item_id, fence)], how):
                continue  # it has just come to life again, and gone on
            taken.add(item_id)
            if queue.is_sequential:
                queue.rows.free_others(tx, item_id)
        return taken

    # --- dead letters ---

    def on_dead(self, queue: SqlBase, verb: str, ids: Sequence[int]) -> int:
        """ "revive" puts dead letters back with fresh attempts, "delete" removes them, on record; how many."""
        work = {"revive": queue.dead.revive, "delete": queue.dead.delete}[verb]

        def move(tx: Transaction) -> set[int]:
            moved = work(tx, ids)
            if moved and verb == "revive":
                queue.rows.tell(tx)
            return moved

        done = self._recorded(queue, verb, ids, move)
        if verb == "revive":
            queue.changed()
        return done

    # --- queues ---

    def on_queue(self, queue: SqlBase, verb: str) -> bool:
        """ "pause" lets nobody start further items, "resume" sets active again; whether that changed anything."""
        status = _STATUS[verb]
        if not queue.spec.is_persistent:
            raise NotSupported(f"queue {queue.name!r} is not registered: only its own process can do that")

        def change(tx: Transaction) -> bool:
            changed = registry.set_status(tx, queue.name, status)
            if changed:
                self._note(tx, queue.name, verb)
            return changed or tx.unsure

        changed = self._service.database.transaction(change)
        if changed:
            queue.status_changed(status)
        return changed

    def edit(self, queue: SqlBase, options: dict[str, Any]) -> dict[str, Any]:
        """Change options of a queue; those that differed, with their former values. Raises :class:`SpecError`."""
        checked = check_options(options)
        former: dict[str, Any] = {}

        def change(tx: Transaction) -> None:
            nonlocal former
            entry = registry.find(tx, queue.name, lock=True)
            if entry is None:
                raise QueueNotFound(f"there is no queue {queue.name!r} any more")
            known = QueueSpec(name=entry.name, type=entry.type, **entry.options)
            differing = {name: entry.options[name] for name in checked if entry.options[name] != checked[name]}
            if not differing and tx.unsure:
                return  # done by our own commit, whose answer never came
            former = differing
            if former:
                changed = known.changed({name: checked[name] for name in former})
                registry.set_options(tx, queue.name, changed.options())
                changes = ", ".join(f"{name}: {value!r} → {checked[name]!r}" for name, value in former.items())
                self._note(tx, queue.name, "edit", detail=changes)

        self._service.database.transaction(change)
        _status = queue.status  # brings the options of this process up to date
        return former

    # --- the record ---

    def note(self, action: str, queue_name: str = "", *, number: int | None = None, detail: str = "") -> None:
        """Write down what was begun elsewhere, such as for many items at once."""
        self._service.database.statement(lambda tx: self._note(tx, queue_name, action, number=number, detail=detail))

    def _note(
        self, tx: Transaction, queue_name: str, action: str, *, item_ids: Sequence[int] = (),
        number: int | None = None, detail: str = "",
    ) -> None:  # fmt: skip
        audit.add(tx, actor=self._actor, action=action, queue_name=queue_name, item_ids=item_ids, number=number,
                  detail=storable(detail))  # fmt: skip

    def _recorded(self, queue: SqlBase, verb: str, ids: Sequence[int], work: Callable[[Transaction], set[int]]) -> int:
        """Do it once, also when the answer of the commit was lost: what is gone then was ours."""
        done: set[int] = set()

        def once(tx: Transaction) -> int:
            nonlocal done
            found = work(tx)
            if found:
                named = sorted(found) if len(found) <= _NAMED else ()
                self._note(tx, queue.name, verb, item_ids=named, number=None if named else len(found))
            done = done | found if tx.unsure else found
            return len(done)

        return int(self._service.database.transaction(once))
