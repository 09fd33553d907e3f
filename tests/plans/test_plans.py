"""No hot statement scans or sorts, whatever stands in the queue: lost indexes and hints turn these red."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from taskqueue.storage.items import Items
from taskqueue.storage.schema import DELAYED, LEASED, READY
from taskqueue.storage.transaction import Transaction
from tests.plans.backlog import Backlog
from tests.plans.judges import JUDGES
from tests.plans.watched import watch

Work = Callable[[Items, Transaction], Any]
HALFWAY = (0, 40_000)  # (weight, id): a place in the middle of what is ready in either queue
ONE, MANY = [(100, 0)], [(item_id, 0) for item_id in range(100, 120)]

PROBES: dict[str, Work] = {
    "claim": lambda rows, tx: rows.claim(tx, 10, 60_000, "me"),
    "claim the head": lambda rows, tx: rows.claim_head(tx, 10, 60_000, "me"),
    "promote": lambda rows, tx: rows.promote(tx),
    "count the leased": lambda rows, tx: rows.leased(tx, 10),
    "lock": lambda rows, tx: rows.lock(tx, 100),
    "ask to stop": lambda rows, tx: rows.ask_to_stop(tx, 100),
    "find cancelled ones": lambda rows, tx: rows.cancelled(tx, range(100, 120)),
    "first ready": lambda rows, tx: rows.first_ready(tx),
    "first delayed before": lambda rows, tx: rows.first_delayed_before(tx, *HALFWAY),
    "wait for a lease": lambda rows, tx: rows.wait(tx, LEASED),
    "wait for a delay": lambda rows, tx: rows.wait(tx, DELAYED),
    "first page": lambda rows, tx: rows.page(tx, state=READY, limit=50, after=None),
    "next page": lambda rows, tx: rows.page(tx, state=READY, limit=50, after=HALFWAY),
    "fetch": lambda rows, tx: rows.fetch(tx, [100]),
    "fetch many": lambda rows, tx: rows.fetch(tx, range(100, 120)),
    "renew": lambda rows, tx: rows.renew(tx, ONE, 1000),
    "renew many": lambda rows, tx: rows.renew(tx, MANY, 1000),
    "find valid ones": lambda rows, tx: rows.valid(tx, MANY),
    "put back": lambda rows, tx: rows.put_back(tx, ONE, delay=0),
    "put many back": lambda rows, tx: rows.put_back(tx, MANY, delay=1000),
    "bury": lambda rows, tx: rows.bury(tx, MANY, "dead"),
    "record": lambda rows, tx: rows.record(tx, MANY, "dead", "dead"),
    "delete": lambda rows, tx: rows.delete(tx, ONE),
    "delete many": lambda rows, tx: rows.delete(tx, MANY),
}
#: Where they are cheap: behind many leases one of MariaDB's passes all of them, and who steals sorts them.
SEQUENTIAL_PROBES: dict[str, Work] = {
    "first of all": lambda rows, tx: rows.first(tx, READY, LEASED, DELAYED),
    "first page of the delayed": lambda rows, tx: rows.page(tx, state=DELAYED, limit=50, after=None),
    "next page of the delayed": lambda rows, tx: rows.page(tx, state=DELAYED, limit=50, after=(-1, 1000)),
}
CASES = [(name, probe) for name in ("parallel", "sequential") for probe in PROBES]
CASES += [("sequential", probe) for probe in SEQUENTIAL_PROBES]
each_queue = pytest.mark.parametrize("name", ["parallel", "sequential"])


@pytest.mark.parametrize(("name", "probe"), CASES)
def test_given_a_backlog_when_a_hot_statement_is_sent_then_it_neither_scans_nor_sorts(
    backlog: Backlog, name: str, probe: str
) -> None:
    rows, work = backlog.rows(getattr(backlog, name)), {**PROBES, **SEQUENTIAL_PROBES}[probe]

    seen, complaints = watch(backlog.service.database, lambda tx: work(rows, tx), JUDGES[backlog.kind])

    assert seen
    assert not complaints, "\n".join(complaints)


@each_queue
def test_given_a_backlog_when_a_holder_asks_how_long_to_wait_then_nothing_is_scanned_or_sorted(
    backlog: Backlog, name: str
) -> None:
    queue = getattr(backlog, name)

    seen, complaints = watch(backlog.service.database, queue.wait_within, JUDGES[backlog.kind])

    assert seen
    assert not complaints, "\n".join(complaints)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT id FROM {item} WHERE holder = 'nobody'",
        "SELECT id FROM {item} WHERE queue_name = 'parallel' ORDER BY submit_time LIMIT 1",
    ],
)
def test_given_a_statement_that_scans_or_sorts_when_judged_then_it_is_found(backlog: Backlog, sql: str) -> None:
    _seen, complaints = watch(backlog.service.database, lambda tx: tx.rows(sql), JUDGES[backlog.kind])

    assert complaints


def test_given_a_probe_when_watched_then_its_statement_and_parameters_are_seen(backlog: Backlog) -> None:
    rows = backlog.rows(backlog.parallel)

    seen, _complaints = watch(backlog.service.database, rows.first_ready, lambda _cursor, _seen: [])

    assert [one.parameters for one in seen] == [{"queue": "parallel"}]
    assert "taskqueue_item" in seen[0].sql
