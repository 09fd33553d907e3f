"""However many messages others have, or wait for their time, whoever looks for one that may be had reads a handful."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any, NamedTuple

import pytest

from taskqueue import QueueService
from taskqueue.channels import Channels
from taskqueue.channels.names import Address
from taskqueue.channels.queue import ChannelQueue
from taskqueue.storage import subscriptions
from taskqueue.storage.schema import DELAYED, READY
from taskqueue.storage.transaction import Transaction
from tests.databases import analyze, fresh_database
from tests.plans.judges import JUDGES
from tests.plans.watched import watch
from tests.servers import ALL_DATABASES

MANY = 10_000
#: Number, consumer, producer, state and release time of each stretch of ids.
STRETCHES = {
    "of others": (MANY, "stock", "shop", READY, "0"),
    "later": (MANY, "billing", "shop", DELAYED, "{now} + 3600000"),
    "ready": (MANY, "billing", "shop", READY, "0"),
    "rare": (5, "billing", "web", READY, "0"),
    "few": (5, "few", "shop", READY, "0"),
}


class Crowd(NamedTuple):
    kind: str
    channels: Channels
    #: The ids of each stretch.
    ids: dict[str, range]

    def queue(self, consumer: str) -> ChannelQueue:
        return self.channels._queues.of(Address("orders", consumer))


Work = Callable[[Crowd, Transaction], Any]
PROBES: dict[str, Work] = {
    "what is due": lambda crowd, tx: crowd.queue("billing").make_due_ready(tx),
    "the first": lambda crowd, tx: crowd.queue("billing").messages.ready(tx, 4),
    "the next": lambda crowd, tx: crowd.queue("billing").messages.ready(tx, 16, (0, crowd.ids["ready"][5_000])),
    "of a few": lambda crowd, tx: crowd.queue("few").messages.ready(tx, 4),
    "of nobody": lambda crowd, tx: crowd.queue("nobody").messages.ready(tx, 4),
    "of a rare producer": lambda crowd, tx: crowd.queue("billing").messages.ready(tx, 4, producer="web"),
    "the next of a producer": lambda crowd, tx: crowd.queue("billing").messages.ready(
        tx, 4, (0, crowd.ids["rare"][2]), "web"
    ),
    "of no producer": lambda crowd, tx: crowd.queue("billing").messages.ready(tx, 4, producer="nobody"),
    "to take": lambda crowd, tx: crowd.queue("billing").rows.claim_seen(tx, crowd.ids["ready"][9], 0, 30_000, "me"),
    "to lock": lambda crowd, tx: crowd.queue("billing").messages.lock_free(
        tx, [(item_id, 0) for item_id in crowd.ids["ready"][:20]]
    ),
    "subscribers": lambda crowd, tx: subscriptions.consumers(tx, "orders", "shop"),
}


@pytest.fixture(
    scope="module", params=list(product(ALL_DATABASES, [False, True])), ids=lambda p: f"{p[0]}{'-analyzed' * p[1]}"
)
def crowd(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crowd]:
    """Many messages; once as they come, once with statistics for the planner."""
    kind, is_analyzed = request.param
    url = fresh_database(request, tmp_path_factory, kind, "channels_plans")
    service = QueueService(url)
    ids = service.database.transaction(_fill)
    if is_analyzed:
        analyze(service, ("item", "subscription"))
    yield Crowd(kind, Channels(service), ids)
    service.close()


def _fill(tx: Transaction) -> dict[str, range]:
    ids, first = {}, 1
    for name, (count, consumer, producer, state, release) in STRETCHES.items():
        ids[name], first = range(first, first + count), first + count
        queue = Address("orders", consumer).queue_name
        tx.many(
            "INSERT INTO {item} (id, queue_name, uid, weight, submit_time, data, order_key, state, release_time) "
            f"VALUES (:id, :queue, '', 0, 0, '', :producer, :state, {release})",
            [{"id": item_id, "queue": queue, "producer": producer, "state": state} for item_id in ids[name]],
        )
    tx.many(
        "INSERT INTO {subscription} (channel, consumer, producer, callback, create_time) "
        "VALUES (:channel, :consumer, '', '', 0)",
        [
            {"channel": "orders" if number < 5 else f"news{number % 100}", "consumer": f"c{number}"}
            for number in range(MANY)
        ],
    )
    return ids


@pytest.mark.parametrize("probe", PROBES)
def test_given_many_messages_when_one_is_looked_for_then_nothing_is_scanned_or_sorted(crowd: Crowd, probe: str) -> None:
    seen, complaints = watch(
        crowd.channels.queue_service.database, lambda tx: PROBES[probe](crowd, tx), JUDGES[crowd.kind]
    )

    assert seen
    assert not complaints, "\n".join(complaints)
