"""Acts on all that a filter finds: ordered with a number that was confirmed, and carried out by an item of a queue.

The item stands on a queue of its own, whose run has a progress page like any other. What came after the number was
named stays as it is; an item that is executed once more, because its process was killed, goes on with what is left.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal

from ..errors import SpecError
from ..execution.context import TaskContext
from ..queues.sql_base import SqlBase
from ..service import QueueService
from ..settings import Handler
from ..storage.browse import HIGHEST, Death
from .acts import ON_DEAD, ON_ITEMS, Acts
from .filters import Filter, filter_of
from .lines import Names
from .lists import Lists, Read

#: The queue, and the payload that says what its items are.
QUEUE = PAYLOAD = "taskqueue.bulk"
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


def put(service: QueueService, order: Order, key: str) -> tuple[SqlBase, bool]:
    """Put an order on its queue, once for each key, however late it comes again; the queue, and whether it was put."""
    queue = service.create("Sql", QUEUE, agent="browser", payload=PAYLOAD)
    assert isinstance(queue, SqlBase)  # noqa: S101  (of that type)
    return queue, queue.receive(order.as_data(), key)


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
