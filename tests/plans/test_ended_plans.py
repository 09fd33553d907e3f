"""However much has ended, a page of it costs no more than a page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from taskqueue import QueueService
from taskqueue.storage import retention
from taskqueue.storage.database import Database
from taskqueue.storage.dead import DeadLetters
from taskqueue.storage.results import Results
from taskqueue.storage.transaction import Transaction
from tests.databases import analyze, fresh_database
from tests.plans.judges import JUDGES
from tests.plans.watched import watch

#: Rows of each table, of which those of the queue "ended" have the second third of the ids.
NUMBER = 9_000
FIRST, HALFWAY = NUMBER // 3, NUMBER // 2
LETTERS, RESULTS = DeadLetters("ended"), Results("ended")
IDS = range(HALFWAY, HALFWAY + 10)
TABLES = ("dead", "ending", "result", "batch", "item")

Work = Callable[[Database, Transaction], Any]
PROBES: dict[str, Work] = {
    "first page": lambda db, tx: LETTERS.page(tx, 20, -1),
    "next page": lambda db, tx: LETTERS.page(tx, 20, HALFWAY),
    "ids": lambda db, tx: LETTERS.ids(tx, 20, HALFWAY),
    "those of ids": lambda db, tx: LETTERS.fetch(tx, IDS),
    "latest": lambda db, tx: LETTERS.latest(tx),
    "revive": lambda db, tx: LETTERS.revive(tx, IDS),
    "delete": lambda db, tx: LETTERS.delete(tx, IDS),
    "history": lambda db, tx: LETTERS.history(tx, HALFWAY),
    "result": lambda db, tx: RESULTS.find(tx, HALFWAY),
    "prune letters": lambda db, tx: retention._Letters(db, "ended", HALFWAY)._remove_some(tx),
    "prune endings": lambda db, tx: retention._Endings(db, "ended", HALFWAY)._remove_some(tx),
    "prune results": lambda db, tx: retention._Results(db, "ended", HALFWAY)._remove_some(tx),
    "prune batches": lambda db, tx: retention._Batches(db, "ended", HALFWAY)._remove_some(tx),
    "names of queues": lambda db, tx: retention._first(
        "SELECT MIN(queue_name) FROM {ending} WHERE queue_name > :after", "a", tx
    ),
}


@pytest.fixture(scope="module", params=["sqlite", "mariadb", "postgresql"])
def ended(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Database]]:
    """A database in which much has ended, with statistics for the planner."""
    kind = request.param
    url = fresh_database(request, tmp_path_factory, kind, "ended")
    service = QueueService(url)
    service.database.transaction(_fill)
    analyze(service, TABLES)
    yield kind, service.database
    service.close()


def _fill(tx: Transaction) -> None:
    queues = ["before"] * FIRST + ["ended"] * FIRST + ["later"] * FIRST
    rows = [{"id": number, "queue": queue} for number, queue in enumerate(queues)]
    tx.many("INSERT INTO {dead} (id, queue_name, uid, weight, submit_time, data, error, dead_time) "
            "VALUES (:id, :queue, '', 0, 0, '', '', :id)", rows)  # fmt: skip
    tx.many("INSERT INTO {ending} (queue_name, item_id, outcome, attempt, end_time) "
            "VALUES (:queue, :id, 'retry', 1, :id)", rows)  # fmt: skip
    tx.many("INSERT INTO {result} (item_id, queue_name, uid, data, end_time, expire_time) "
            "VALUES (:id, :queue, '', '', 0, :id)", rows)  # fmt: skip
    tx.many("INSERT INTO {batch} (id, queue_name, uid, data, create_time, end_time) "
            "VALUES (:id + 1, :queue, '', '', 0, :id)", rows)  # fmt: skip
    tx.many("INSERT INTO {item} (id, queue_name, uid, weight, submit_time, data) "
            "VALUES (:id + 100000, :queue, '', 0, 0, '')", rows)  # fmt: skip


@pytest.mark.parametrize("probe", PROBES)
def test_given_much_that_has_ended_when_a_part_is_asked_for_then_no_more_is_read(
    ended: tuple[str, Database], probe: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "CHUNK", 10)
    kind, database = ended

    seen, complaints = watch(database, lambda tx: PROBES[probe](database, tx), JUDGES[kind])

    assert seen
    assert not complaints, "\n".join(complaints)
