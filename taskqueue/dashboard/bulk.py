"""Acts on all that a filter finds: ordered with a number that was confirmed, and carried out by an item of a queue.

The item stands on a queue of its own, whose run has a progress page like any other. What came after the number was
named stays as it is; an item that is executed once more, because its process was killed, goes on with what is left.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal

from ..errors import SpecError
from ..execution.context import TaskContext
from ..item import TITLE
from ..queues.base import NewItem
from ..queues.sql_base import SqlBase
from ..redact import RedactHook
from ..service import QueueService
from ..settings import Handler
from ..storage import audit, browse, received
from ..storage.browse import HIGHEST, Death
from ..storage.transaction import Transaction
from .acts import VERBS, Acts
from .filters import Filter, filter_of
from .lines import Names
from .lists import Lists, Read

#: What the items of these queues are, and what the names of the queues begin with.
PAYLOAD = "taskqueue.bulk"
#: Of an order the audit log says this before its verb; what is done then has lines of its own.
ORDERED = "order:"
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
    #: When that was (ms): ages count from then, and what has changed since is left alone.
    moment: int
    number: int
    actor: str
    title: str

    @property
    def described(self) -> str:
        """The list and the filter, as the audit log has them."""
        return ", ".join([self.what, *(f"{name}={value}" for name, value in self.wanted.as_query().items())])

    def as_data(self) -> dict[str, Any]:
        """What is put on the queue."""
        lists = {"wanted": self.wanted.as_query(), "queues": [*self.queues], "shown": [*self.shown]}
        data = {**asdict(self), **lists}
        return {TITLE: data.pop("title"), **data}

    @classmethod
    def of(cls, data: dict[str, Any]) -> Order:
        """What :meth:`as_data` gave. Raises :class:`SpecError` on anything else."""
        try:
            rest = {name: value for name, value in data.items() if name != TITLE}
            values = {**rest, "title": data[TITLE], "wanted": filter_of(data["wanted"])}
            order = cls(**{**values, "queues": tuple(data["queues"]), "shown": tuple(data["shown"])})
            verbs = VERBS[order.what]
        except (TypeError, KeyError) as error:
            raise SpecError("this is no act of the dashboard: it was written by something else") from error
        numbers = (order.bound, order.moment, order.number)
        if order.verb not in verbs or not all(isinstance(number, int) for number in numbers):
            raise SpecError("this is no act of the dashboard: it was written by something else")
        return order


def serve(service: QueueService, hook: RedactHook | None = None) -> None:
    """Let this process carry orders out; ``hook`` hides what nobody may look for."""
    service.settings.handlers.setdefault(PAYLOAD, Handler(partial(_carry_out, service, hook)))


def queue_of(actor: str) -> str:
    """The name of the queue on which the orders of one administrator stand: nobody sees or stops those of others.

    Browsers whose users are not known have one together, else each new session would leave a queue.
    """
    name = hashlib.sha256(actor.encode()).hexdigest()[:16] if actor.startswith("user") else "sessions"
    return f"{PAYLOAD}.{name}"


def put(service: QueueService, order: Order, key: str) -> tuple[SqlBase, bool]:
    """Put an order on its queue, and into the audit log, once for each key that comes again within a fortnight; the
    queue, and whether it was put."""
    queue = service.create("Sql", queue_of(order.actor), agent="browser", payload=PAYLOAD)
    assert isinstance(queue, SqlBase)  # noqa: S101  (of that type)
    uid = os.urandom(16).hex()
    new = NewItem(uid, 0, service.settings.codec.pack(order.as_data(), queue.name, uid))

    def store(tx: Transaction) -> bool:
        if not received.add(tx, queue.name, key):  # perhaps by our own commit, whose answer never came
            return tx.unsure and queue.rows.stored(tx, uid) is not None
        queue.insert_within(tx, new)
        audit.add(tx, actor=order.actor, action=f"{ORDERED}{order.verb}", queue_name=order.wanted.queue,
                  number=order.number, detail=order.described)  # fmt: skip
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
        self, service: QueueService, what: str, wanted: Filter, queues: tuple[str, ...], shown: tuple[str, ...],
        hook: RedactHook | None = None,
    ) -> None:  # fmt: skip
        names = Names(service.settings.codec.unpack, shows_data=frozenset(shown).__contains__, hook=hook)
        self._lists = Lists(service, queues, is_all=False, names=names)
        self._is_dead = what == "dead"
        self._wanted = wanted
        self._read: Read = partial(service.database.statement, write=False)

    def now(self) -> tuple[int, int]:
        """The bound of what is there at this moment, and the moment (ms)."""
        moment = int(self._read(lambda tx: tx.row("SELECT {now}")[0]))
        if self._is_dead:
            return moment, moment
        return int(self._read(lambda tx: tx.row("SELECT COALESCE(MAX(id), 0) FROM {item}")[0])), moment

    def lines(self, bound: int, moment: int) -> Iterator[list[Any]]:
        """All lines up to a bound, part by part, but for those to which something has happened since a moment."""
        source, start = self._source(bound, moment)
        for lines in source.all(self._read, start):
            changed = set() if self._is_dead else self._changed(lines, moment)
            yield [line for line in lines if line.id not in changed]

    def count(self, bound: int, moment: int) -> tuple[int, bool]:
        """How many there are, and whether there may be more: it is counted up to ``MOST``, and not for long."""
        source, start = self._source(bound, moment)
        number, is_more = source.count(self._read, start, MOST)
        return number, is_more

    def _source(self, bound: int, moment: int) -> tuple[Any, Any]:
        if self._is_dead:
            source, start = self._read(lambda tx: self._lists.dead_source(tx, self._wanted, moment))
            return source, min(start, Death(bound, HIGHEST))
        source, start = self._read(lambda tx: self._lists.item_source(tx, self._wanted, moment))
        return source, min(start, bound + 1)

    def _changed(self, lines: list[Any], moment: int) -> set[int]:
        """Such as a dead letter that was revived, and has the id again that it had before the number was named."""
        ids: dict[str, list[int]] = {}
        for line in lines:
            ids.setdefault(line.queue_name, []).append(line.id)

        def read(tx: Transaction) -> set[int]:
            return {each for name in ids for each in browse.changed_since(tx, name, ids[name], moment)}

        return set(self._read(read))


def _carry_out(service: QueueService, hook: RedactHook | None, ctx: TaskContext, data: dict[str, Any]) -> None:
    order = Order.of(data)
    acts = Acts(service, order.actor)
    done = seen = 0
    found = Bulk(service, order.what, order.wanted, order.queues, order.shown, hook)
    for lines in found.lines(order.bound, order.moment):
        for name in sorted({line.queue_name for line in lines}):
            queue, ours = acts.queue(name), [line for line in lines if line.queue_name == name]
            if order.what == "dead":
                done += acts.on_dead(queue, order.verb, [line.id for line in ours])
            else:
                done += acts.on_items(queue, order.verb, [(line.id, line.fence) for line in ours])
        seen += len(lines)
        ctx.report(done, max(order.number, done))
        if ctx.should_stop:
            raise InterruptedError("stopped half-way; it goes on with the rest")
    left = max(order.number, seen) - done
    level = logging.WARNING if left > 0 else logging.INFO
    ctx.log.log(level, "%s: %s done, %s left alone", order.title, done, max(left, 0))
