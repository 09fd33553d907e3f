"""However many calls of operations wait, have ended or are over, what is asked about some costs no more than those."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from taskqueue import QueueService
from taskqueue.storage import expiry
from taskqueue.storage import operations as stored
from taskqueue.storage.database import Database
from taskqueue.storage.transaction import Transaction
from tests.databases import analyze, fresh_database
from tests.plans.judges import JUDGES
from tests.plans.watched import watch

#: So many calls were emptied, are over, are kept, and have not ended: in this order, each a second after the other.
EACH = 5_000
START, STEP, HOUR = 1_000_000_000, 1000, 3_600_000
#: In the middle of those that have not ended.
MIDDLE = 3 * EACH + EACH // 2
TABLES = ("operation", "item", "dead", "ending")


def _id(number: int) -> str:
    return f"{number:032x}"


def _time(number: int) -> int:
    return START + number * STEP


PLACE = _time(MIDDLE), _id(MIDDLE)
Work = Callable[[Transaction], Any]
#: All without filters but what is given.
page = partial(stored.page, limit=10, owner=None, name=None, state=None, after=None)
PROBES: dict[str, Work] = {
    "find": lambda tx: stored.find(tx, _id(MIDDLE)),
    "request": lambda tx: stored.request(tx, _id(MIDDLE)),
    "end": lambda tx: stored.end(tx, _id(MIDDLE), "succeeded"),
    "place": lambda tx: stored.place(tx, _id(MIDDLE), 1),
    "result": lambda tx: stored.result(tx, _id(MIDDLE)),
    "lock": lambda tx: stored.lock(tx, _id(MIDDLE)),
    "with key": lambda tx: stored.with_key(tx, ":many", "note", _id(MIDDLE)),
    "page of an owner": lambda tx: page(tx, owner=":many"),
    "next page of an owner": lambda tx: page(tx, owner=":many", after=PLACE),
    "page of an owner with little": lambda tx: page(tx, owner=":few"),
    "page of an operation of an owner": lambda tx: page(tx, owner=":many", name="note"),
    "page of all": lambda tx: page(tx),
    "next page of all": lambda tx: page(tx, after=PLACE),
    "pending of many": lambda tx: stored.pending(tx, ":many", "note", 10),
    "pending of few": lambda tx: stored.pending(tx, ":few", "note", 10),
    "rate": lambda tx: stored.wait_for_rate(tx, ":many", "note", 10, 10**12),
    "rate not reached": lambda tx: stored.wait_for_rate(tx, ":many", "note", 10, 1000),
    "empty some": lambda tx: expiry.empty_some(tx, 10),
    "remove some": lambda tx: expiry.remove_some(tx, _time(10 * EACH), 10),
    "remove none": lambda tx: expiry.remove_some(tx, 1, 10),
    "open calls": lambda tx: expiry.open_calls(tx, 10, (0, "")),
    "more open calls": lambda tx: expiry.open_calls(tx, 10, PLACE),
    "ending of a stray": lambda tx: expiry._ending_of(tx, "operations", EACH // 2),
}


#: Without statistics PostgreSQL rather sorts than reads a list by its index; it makes them by itself, soon.
KINDS = [("sqlite", False), ("sqlite", True), ("mariadb", False), ("mariadb", True), ("postgresql", True)]


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: f"{kind[0]}{'-analyzed' * kind[1]}")
def crowd(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Database]]:
    """A database with many calls; once as they come, once with statistics for the planner."""
    kind, is_analyzed = request.param
    url = fresh_database(request, tmp_path_factory, kind, "operation_plans")
    service = QueueService(url)
    service.database.transaction(_fill)
    if is_analyzed:
        analyze(service, TABLES)
    yield kind, service.database
    service.close()


def _fill(tx: Transaction) -> None:
    now = int(tx.row("SELECT {now}")[0])
    kept, over = now + 24 * HOUR, now - HOUR
    stretches = {"emptied": (over, over, 1), "over": (over, over, 0), "kept": (over, kept, 0), "open": (0, 0, 0)}
    rows = [
        {"id": _id(number), "owner": ":few" if number % 1000 == 0 else ":many", "number": number, "time": _time(number),
         "key": _id(number) if number > 2 * EACH else None, "ended": ended, "expires": expires, "emptied": emptied}
        for number, (ended, expires, emptied) in enumerate(each for each in stretches.values() for _ in range(EACH))
    ]  # fmt: skip
    tx.many(
        "INSERT INTO {operation} (id, name, owner, queue_name, item_id, client_key, fingerprint, state, create_time, "
        "end_time, lasting, expire_time, is_emptied, request) VALUES (:id, 'note', :owner, 'operations', :number, "
        ":key, '', '', :time, :ended, 0, :expires, :emptied, '')",
        rows,
    )
    tx.many(
        "INSERT INTO {item} (id, queue_name, uid, weight, submit_time, data) "
        "VALUES (:number, 'operations', :id, 0, 0, '')",
        rows[3 * EACH :],
    )
    tx.many(
        "INSERT INTO {dead} (id, queue_name, uid, weight, submit_time, data, error, dead_time) "
        "VALUES (:number, 'others', :id, 0, 0, '', '', 0)",
        rows[1:EACH],
    )
    tx.many(
        "INSERT INTO {ending} (queue_name, item_id, outcome, attempt, end_time) "
        "VALUES ('operations', :number, 'cancelled', 1, 0)",
        rows[:EACH],
    )


@pytest.mark.parametrize("probe", PROBES)
def test_given_many_calls_when_some_are_asked_for_then_no_more_is_read(crowd: tuple[str, Database], probe: str) -> None:
    kind, database = crowd

    seen, complaints = watch(database, PROBES[probe], JUDGES[kind])

    assert seen
    assert not complaints, "\n".join(complaints)
