"""Acts on all that a filter finds: ordered with a number that was confirmed, and carried out by an item of a queue.

The item stands on a queue of its own, whose run has a progress page like any other. What came after the number was
named stays as it is; an item that is executed once more, because its process was killed, goes on with what is left.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal

from ..errors import SpecError
from ..execution.context import TaskContext
from ..queues.sql_base import SqlBase
from ..service import QueueService
from ..settings import Handler
from ..storage.browse import HIGHEST, Death
from ..storage.transaction import Transaction
from .acts import ON_DEAD, ON_ITEMS, Acts
from .filters import Filter, filter_of
from .lines import Names
from .lists import Lists, all_parts

#: The queue, and the payload that says what its items are.
QUEUE = PAYLOAD = "taskqueue.bulk"
#: Counting for the page that asks for confirmation ends here.
MOST = 100_000


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


def put(service: QueueService, order: Order, key: str) -> SqlBase:
    """Put an order on its queue, once for each key; give the queue."""
    queue = service.create("Sql", QUEUE, agent="browser", payload=PAYLOAD)
    assert isinstance(queue, SqlBase)  # noqa: S101  (of that type)
    queue.create_item(order.as_data(), dedup_key=key)
    return queue


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
        self._service = service
        self._wanted = wanted
        self._source = self._lists.dead_source if what == "dead" else self._lists.item_source

    def now(self) -> int:
        """The bound of what is there at this moment."""

        def read(tx: Transaction) -> int:
            if self._source == self._lists.dead_source:
                return int(tx.row("SELECT {now}")[0])
            return int(tx.row("SELECT COALESCE(MAX(id), 0) FROM {item}")[0])

        return int(self._read(read))

    def parts(self, bound: int) -> Any:
        """All lines up to a bound, part by part."""
        is_dead = self._source == self._lists.dead_source
        start = Death(bound, HIGHEST) if is_dead else bound + 1
        return all_parts(self._read, partial(self._from_source), start)

    def count(self, bound: int) -> int:
        """How many there are; ``MOST`` + 1: more than that."""
        number = 0
        for lines in self.parts(bound):
            number += len(lines)
            if number > MOST:
                return MOST + 1
        return number

    def _from_source(self, tx: Transaction) -> Any:
        return self._source(tx, self._wanted)

    def _read(self, work: Any) -> Any:
        return self._service.database.statement(work, write=False)


def _carry_out(service: QueueService, ctx: TaskContext, data: dict[str, Any]) -> None:
    order = Order.of(data)
    acts = Acts(service, order.actor)
    done = 0
    for lines in Bulk(service, order.what, order.wanted, order.queues, order.shown).parts(order.bound):
        for name in sorted({line.queue_name for line in lines}):
            queue, ours = acts.queue(name), [line for line in lines if line.queue_name == name]
            if order.what == "dead":
                done += acts.on_dead(queue, order.verb, [line.id for line in ours])
            else:
                done += acts.on_items(queue, order.verb, [(line.id, line.fence) for line in ours])
        ctx.report(done, max(order.number, done))
        if ctx.should_stop:
            raise InterruptedError("stopped half-way; it goes on with the rest")
