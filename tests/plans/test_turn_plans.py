"""However much stands with one order key, whoever looks whether it is its turn reads a handful."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any, NamedTuple

import pytest

from taskqueue import QueueService
from taskqueue.queues.sql_parallel import SqlParallelQueue
from taskqueue.storage import turns
from taskqueue.storage.schema import DELAYED, LEASED, READY, WAITS_ITS_TURN
from taskqueue.storage.transaction import Transaction
from tests.databases import analyze, fresh_database
from tests.plans.judges import JUDGES
from tests.plans.watched import watch
from tests.servers import ALL_DATABASES

#: Of the key "much" so many wait, and half as many are ready; so many items have no key.
MANY = 8_000
#: Number, key, state, release time and holder of each stretch of ids.
STRETCHES = {
    "head": (1, "much", DELAYED, "{now} + 3600000", ""),
    "waiting": (MANY, "much", DELAYED, "{now} + 3660000", WAITS_ITS_TURN),
    "held": (10, "much", LEASED, "{now} + 30000", "me"),
    "ready": (MANY // 2, "much", READY, "0", ""),
    "without": (MANY, None, READY, "0", ""),
    "few": (10, "few", LEASED, "{now} + 30000", "me"),
    "next": (10, "next", DELAYED, "{now} + 60000", WAITS_ITS_TURN),
}


class Crowd(NamedTuple):
    kind: str
    queue: SqlParallelQueue
    #: The ids of each stretch.
    ids: dict[str, range]


Work = Callable[[Crowd, Transaction], Any]
PROBES: dict[str, Work] = {
    "in turn": lambda crowd, tx: crowd.queue._turns.in_turn(tx, [*crowd.ids["held"], *crowd.ids["few"]]),
    "rivals": lambda crowd, tx: crowd.queue._turns.rivals(tx, "much"),
    "locked rivals": lambda crowd, tx: crowd.queue._turns.locked_rivals(tx, "much"),
    "hide": lambda crowd, tx: crowd.queue._turns.hide(tx, "much", 60_000),
    "hand on": lambda crowd, tx: crowd.queue._turns.hand_on(tx, "next"),
    "wait in line": lambda crowd, tx: crowd.queue._wait_in_line(
        tx, "much", [(item_id, 0) for item_id in crowd.ids["held"]], frozenset()
    ),
}


@pytest.fixture(
    scope="module", params=list(product(ALL_DATABASES, [False, True])), ids=lambda p: f"{p[0]}{'-analyzed' * p[1]}"
)
def crowd(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crowd]:
    """Many items of one key; once as they come, once with statistics for the planner."""
    kind, is_analyzed = request.param
    url = fresh_database(request, tmp_path_factory, kind, "turns")
    service = QueueService(url)
    queue = service.create("SqlParallel", "turns")
    assert isinstance(queue, SqlParallelQueue)
    ids = service.database.transaction(_fill)
    if is_analyzed:
        analyze(service, ["item"])
    yield Crowd(kind, queue, ids)
    service.close()


def _fill(tx: Transaction) -> dict[str, range]:
    ids, first = {}, 1
    for name, (count, key, state, release, holder) in STRETCHES.items():
        ids[name], first = range(first, first + count), first + count
        tx.many(
            "INSERT INTO {item} (id, queue_name, uid, weight, submit_time, data, order_key, state, holder, "
            "release_time) "
            f"VALUES (:id, 'turns', '', 0, 0, '', :key, :state, :holder, {release})",
            [{"id": item_id, "key": key, "state": state, "holder": holder} for item_id in ids[name]],
        )
    return ids


@pytest.mark.parametrize("probe", PROBES)
def test_given_many_of_a_key_when_a_turn_is_asked_for_then_nothing_is_scanned_or_sorted(
    crowd: Crowd, probe: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "_READY", turns._READY.replace("LIMIT 500", "LIMIT 10"))

    seen, complaints = watch(crowd.queue.database, lambda tx: PROBES[probe](crowd, tx), JUDGES[crowd.kind])

    assert seen
    assert not complaints, "\n".join(complaints)
