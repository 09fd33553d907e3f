"""Acts on all that a filter finds: ordered with a number that was confirmed, and carried out by an item of a queue.

The item stands on a queue of its own, whose run has a progress page like any other. What came after the number was
named stays as it is; an item that is executed once more, because its process was killed, goes on with what is left.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal

from ..errors import SpecError
from ..execution.context import TaskContext
from ..queues.base import NewItem
from ..queues.sql_base import SqlBase
from ..service import QueueService
from ..settings import Handler
from ..storage import audit, received
from ..storage.browse import HIGHEST, Death
from ..storage.transaction import Transaction
from .acts import ON_DEAD, ON_ITEMS, Acts
from .filters import Filter, filter_of
from .lines import Names
from .lists import Lists, Read

#: What the items of these queues are, and what the names of the queues begin with.
PAYLOAD = "taskqueue.bulk"
#: Counting for the page that asks for confirmation ends here.
MOST = 20_000


@dataclass(frozen=True)
class Order:
    """An act on many."""

    what: Literal["items", "dead"]
    verb: str
    wanted: Filter
    #: The names of the queues on which the administrator may do it.
    queues: tuple[str, ...]
    #: Whether what items hold may be looked at for the text of the filter, in these queues.
    shown: tuple[str, ...]
    #: Of items the highest id, of dead letters the latest death (ms) that was there when the number was named.
    bound: int
    number: int
    actor: str
    title: str

    @property
    def described(self) -> str:
        """The list and the filter, as the audit log has them."""
        return ", ".join([self.what, *(f"{name}={value}" for name, value in self.wanted.as_query().items())])

    def as_data(self) -> dict[str, Any]:
        """What is put on the queue."""
        return {**asdict(self), "wanted": self.wanted.as_query(), "queues": [*self.queues], "shown": [*self.shown]}

    @classmethod
    def of(cls, data: dict[str, Any]) -> Order:
        """What :meth:`as_data` gave. Raises :class:`SpecError` on anything else."""
        try:
            values = {**data, "wanted": filter_of(data["wanted"])}
            order = cls(**{**values, "queues": tuple(data["queues"]), "shown": tuple(data["shown"])})
            verbs = {"items": ON_ITEMS, "dead": ON_DEAD}[order.what]
        except (TypeError, KeyError) as error:
            raise SpecError("this is no act of the dashboard: it was written by something else") from error
        if order.verb not in verbs or not isinstance(order.bound, int) or not isinstance(order.number, int):
            raise SpecError("this is no act of the dashboard: it was written by something else")
        return order


def serve(service: QueueService) -> None:
    """Let this process carry orders out."""
    service.settings.handlers.setdefault(PAYLOAD, Handler(partial(_carry_out, service)))


def queue_of(actor: str) -> str:
    """The name of the queue on which the orders of one administrator stand: nobody sees or stops those of others."""
    return f"{PAYLOAD}.{hashlib.sha256(actor.encode()).hexdigest()[:16]}"


def put(service: QueueService, order: Order, key: str) -> tuple[SqlBase, bool]:
    """Put an order on its queue, and into the audit log, once for each key, however late it comes again; the queue, and
    whether it was put."""
    queue = service.create("Sql", queue_of(order.actor), agent="browser", payload=PAYLOAD)
    assert isinstance(queue, SqlBase)  # noqa: S101  (of that type)
    uid = os.urandom(16).hex()
    new = NewItem(uid, 0, service.settings.codec.pack(order.as_data(), queue.name, uid))

    def store(tx: Transaction) -> bool:
        if not received.add(tx, queue.name, key):  # perhaps by our own commit, whose answer never came
            return tx.unsure and queue.rows.stored(tx, uid) is not None
        queue.insert_within(tx, new)
        audit.add(tx, actor=order.actor, action=order.verb, queue_name=order.wanted.queue, number=order.number,
                  detail=order.described)  # fmt: skip
        return True

    is_new = service.database.transaction(store)
    queue.changed()
    return queue, is_new


class Bulk:
    """What one order finds.

    Arguments:
        queues: the names of those that may be looked at.
        shown: the names of those whose items' content may be looked at.
    """

    def __init__(
        self, service: QueueService, what: str, wanted: Filter, queues: tuple[str, ...], shown: tuple[str, ...]
    ) -> None:
        names = Names(service.settings.codec.unpack, shows_data=frozenset(shown).__contains__)
        self._lists = Lists(service, queues, is_all=False, names=names)
        self._is_dead = what == "dead"
        self._wanted = wanted
        self._read: Read = partial(service.database.statement, write=False)

    def now(self) -> int:
        """The bound of what is there at this moment."""
        latest = "SELECT {now}" if self._is_dead else "SELECT COALESCE(MAX(id), 0) FROM {item}"
        return int(self._read(lambda tx: tx.row(latest)[0]))

    def lines(self, bound: int) -> Iterator[list[Any]]:
        """All lines up to a bound, part by part."""
        source, start = self._source(bound)
        found: Iterator[list[Any]] = source.all(self._read, start)
        return found

    def count(self, bound: int) -> tuple[int, bool]:
        """How many there are, and whether there may be more: it is counted up to ``MOST``, and not for long."""
        source, start = self._source(bound)
        number, is_more = source.count(self._read, start, MOST)
        return number, is_more

    def _source(self, bound: int) -> tuple[Any, Any]:
        if self._is_dead:
            source, start = self._read(lambda tx: self._lists.dead_source(tx, self._wanted))
            return source, min(start, Death(bound, HIGHEST))
        source, start = self._read(lambda tx: self._lists.item_source(tx, self._wanted))
        return source, min(start, bound + 1)


def _carry_out(service: QueueService, ctx: TaskContext, data: dict[str, Any]) -> None:
    order = Order.of(data)
    acts = Acts(service, order.actor)
    done = 0
    for lines in Bulk(service, order.what, order.wanted, order.queues, order.shown).lines(order.bound):
        for name in sorted({line.queue_name for line in lines}):
            queue, ours = acts.queue(name), [line for line in lines if line.queue_name == name]
            if order.what == "dead":
                done += acts.on_dead(queue, order.verb, [line.id for line in ours])
            else:
                done += acts.on_items(queue, order.verb, [(line.id, line.fence) for line in ours])
        ctx.report(done, max(order.number, done))
        if ctx.should_stop:
            raise InterruptedError("stopped half-way; it goes on with the rest")
