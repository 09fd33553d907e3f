"""What pages and recorders ask stays cheap, however many runs, lines and items there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from taskqueue import QueueService
from taskqueue.queues.sql_base import SqlBase
from taskqueue.runs.ledger import Ledger
from taskqueue.runs.look import Look
from taskqueue.runs.state import Definition
from taskqueue.runs.store import Runs
from taskqueue.storage import presence, runs
from taskqueue.storage.tally import failures, tally
from taskqueue.storage.transaction import Transaction
from tests.databases import analyze, fresh_database
from tests.plans.judges import JUDGES
from tests.plans.watched import Seen, watch

RUNS, ITEMS, LINES, HELD = 10_000, 100_000, 20_000, 100
#: So many endings lie before that moment, and few after it.
OLD, RECENT = 20_000, 1_000_000
TOKEN = "a" * presence.TOKEN_LENGTH
ACTIVITY = {"item": 1, "queue": "big", "fence": 1, "age": 5, "done": 1.0, "total": 2.0, "message": "x", "silence": 5}


@dataclass
class Crowd:
    """A database with many runs, one of which has a long log and drives a big queue."""

    kind: str
    service: QueueService
    #: The first of its items are leased.
    queue: SqlBase
    #: Its head waits for its retry.
    retrying: SqlBase
    run_id: str
    is_analyzed: bool

    @property
    def look(self) -> Look:
        return Look(self.queue)

    def row(self, tx: Transaction) -> runs.RunRow:
        found = runs.find(tx, self.run_id)
        assert found is not None
        return found


#: Without statistics PostgreSQL rather sorts than reads a log by its index; it makes them by itself, soon.
KINDS = [("sqlite", False), ("mariadb", False), ("mariadb", True), ("postgresql", True)]


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: f"{kind[0]}{'-analyzed' * kind[1]}")
def crowd(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crowd]:
    """Many of everything; once as it comes, once with statistics for the planner."""
    kind, is_analyzed = request.param
    url = fresh_database(request, tmp_path_factory, kind, "runs")
    service = QueueService(url)
    queue, retrying = (service.create("SqlParallel", "big"), service.create("Sql", "retrying"))
    assert isinstance(queue, SqlBase) and isinstance(retrying, SqlBase)
    _fill(service, queue, retrying)
    run_id = Runs.of(queue).create(queue, Definition("Big")).id
    service.database.transaction(lambda tx: _write_log(tx, run_id))
    if is_analyzed:
        analyze(service, ("item", "run", "run_log", "run_request", "activity", "holder", "ending"))
    yield Crowd(kind, service, queue, retrying, run_id, is_analyzed)
    service.close()


def _fill(service: QueueService, queue: SqlBase, retrying: SqlBase) -> None:
    statement = service.database.statement
    if service.database.dialect.name == "postgresql":
        for table in ("item", "run", "run_log", "run_request", "activity", "holder", "ending"):
            sql = f"ALTER TABLE {{{table}}} SET (autovacuum_enabled = off)"
            statement(lambda tx: tx.change(sql))  # noqa: B023
    queue.create_items(range(HELD))
    holder = f"CONCAT('{TOKEN}.', id)" if service.database.dialect.name == "mysql" else f"'{TOKEN}.' || id"
    lease = "state = 1, release_time = {now} + 3600000 + id, fence = 1, run_count = 1"
    statement(lambda tx: tx.change(f"UPDATE {{item}} SET {lease}, holder = {holder}"))
    queue.create_items(range(ITEMS))
    retrying.create_items(range(1), weight=-1)
    statement(lambda tx: tx.change("UPDATE {item} SET state = 2, release_time = {now} + 3600000, failures = 1, "
                                   "last_error = 'no' WHERE queue_name = 'retrying'"))  # fmt: skip
    retrying.create_items(range(ITEMS // 2))
    service.database.transaction(_add_runs)


def _add_runs(tx: Transaction) -> None:
    now = int(tx.row("SELECT {now}")[0])
    tx.many(
        "INSERT INTO {run} (id, queue_name, owner, definition, status, create_time, start_time, end_time) "
        "VALUES (:id, :queue, '', '{{}}', :status, :at, :at, :end)",
        [{"id": f"{number:032x}", "queue": "big" if number % 2 else f"other{number}", "at": now - 10**7 + number,
          "status": "running" if number % 500 == 1 else "completed",
          "end": 0 if number % 500 == 1 else now - 10**6 + number} for number in range(RUNS)],
    )  # fmt: skip
    tx.many("INSERT INTO {run_request} (run_id, request_id, time) VALUES (:id, :request, :at)",
            [{"id": f"{number:032x}", "request": "r", "at": now} for number in range(RUNS)])  # fmt: skip
    tx.many("INSERT INTO {run_log} (run_id, time, level, kind, message) VALUES (:id, :at, 'info', 'done', 'x')",
            [{"id": f"{number:032x}", "at": now} for number in range(RUNS)])  # fmt: skip
    tx.many("INSERT INTO {holder} (token, label, start_time, beat_time, beat_period) VALUES (:token, 'x', :at, :at, 9)",
            [{"token": TOKEN if not number else f"{number:016x}", "at": now} for number in range(2000)])  # fmt: skip
    tx.many("INSERT INTO {ending} (queue_name, item_id, outcome, attempt, uid, end_time) "
            "VALUES (:queue, :id, :outcome, 1, 'x', :at)",
            [{"queue": "big" if number % 2 else "other", "id": number, "at": RECENT + (number >= OLD),
              "outcome": ("dead", "delete", "retry")[number % 3]} for number in range(OLD + 30)])  # fmt: skip
    tx.many("INSERT INTO {activity} (item_id, queue_name, fence, start_time, message) "
            "VALUES (:id, :queue, 1, :at, 'x')",
            [{"id": number + 1, "queue": "big" if number < HELD else f"other{number}", "at": now}
             for number in range(5000)])  # fmt: skip


def _write_log(tx: Transaction, run_id: str) -> None:
    runs.write(tx, run_id, [{"level": "info", "kind": "done", "item_id": None, "message": "x"}] * LINES)
    runs.write(tx, run_id, [{"level": "error", "kind": "failed", "item_id": 5, "message": "x"}])
    runs.write(tx, run_id, [{"level": "info", "kind": "done", "item_id": None, "message": "x"}] * LINES)


def judged(crowd: Crowd, cursor: Any, one: Seen) -> list[str]:
    """What is wrong with a statement; one that only adds a row looks like a scan to MariaDB, and is none."""
    if one.sql.startswith("INSERT") and " SELECT " not in one.sql:
        return []
    found = JUDGES[crowd.kind](cursor, one)
    if "ORDER BY one.end_time" in one.sql:  # the few that were found may be sorted
        return [what for what in found if what.startswith(("reads", "takes"))]
    if "create_time DESC" not in one.sql:
        return found
    # A list of the latest walks an index as far as its limit, and may sort the few open ones: the amount counts. Right
    # after so many rows came at once MariaDB cannot know yet that walking is less.
    return [] if (crowd.kind, crowd.is_analyzed) == ("mariadb", False) else [
        what for what in found if what.startswith(("reads", "takes"))
    ]  # fmt: skip


Work = Callable[[Crowd, Transaction], Any]
PROBES: dict[str, Work] = {
    "find": lambda crowd, tx: runs.find(tx, crowd.run_id),
    "find and lock": lambda crowd, tx: runs.find(tx, crowd.run_id, lock=True),
    "of a queue": lambda crowd, tx: runs.of_queue(tx, "big"),
    "latest": lambda crowd, tx: runs.latest(tx, limit=50),
    "latest of a queue": lambda crowd, tx: runs.latest(tx, limit=50, queue_name="big"),
    "add": lambda crowd, tx: runs.add(tx, id="x", queue_name="big", owner="", definition="", status="ready", items=1),
    "change": lambda crowd, tx: runs.change(tx, crowd.run_id, "status = 'running'", "status = 'running'"),
    "reopen": lambda crowd, tx: runs.reopen(tx, crowd.run_id, 1),
    "close all of a queue": lambda crowd, tx: runs.close_all_of(tx, "retrying"),
    "take the slot": lambda crowd, tx: runs.take_slot(tx, crowd.run_id, "me", "me", 1000, by_force=False),
    "leave the slot": lambda crowd, tx: runs.leave_slot(tx, crowd.run_id, "me", 0),
    "count": lambda crowd, tx: runs.count(tx, crowd.run_id, "me", 1000, done=1, total=5, pace=7),
    "log": lambda crowd, tx: runs.log(tx, crowd.run_id, 0, 50),
    "new lines of the log": lambda crowd, tx: runs.log(tx, crowd.run_id, 50_000, 50),
    "errors in the log": lambda crowd, tx: runs.log(tx, crowd.run_id, 0, 50, level="error"),
    "page of the log": lambda crowd, tx: runs.log_page(tx, crowd.run_id, 30_000, 50),
    "failed": lambda crowd, tx: runs.failed(tx, crowd.run_id, 50),
    "forget failures": lambda crowd, tx: runs.forget_failed(tx, crowd.run_id, [30_001]),
    "forget a failure": lambda crowd, tx: runs.forget_failure(tx, crowd.run_id, 5),
    "write": lambda crowd, tx: runs.write(tx, crowd.run_id, []),
    "new request": lambda crowd, tx: runs.is_new_request(tx, crowd.run_id, "new"),
    "known request": lambda crowd, tx: runs.is_new_request(tx, f"{5:032x}", "r"),
    "remove old ones": lambda crowd, tx: runs.remove_old(tx, 86_400_000, 20),
    "beat": lambda crowd, tx: presence.beat(tx, TOKEN, "x", 3000),
    "latest beat": lambda crowd, tx: presence.beat_of(tx, TOKEN),
    "report": lambda crowd, tx: presence.report(tx, ACTIVITY),
    "clear reports": lambda crowd, tx: presence.clear(tx, "retrying"),
    "held item": lambda crowd, tx: presence.held_item(tx, "big", 5),
    "next retry": lambda crowd, tx: crowd.look.next_retry(tx),
    "next retry of a sequential queue": lambda crowd, tx: Look(crowd.retrying).next_retry(tx),
    "question": lambda crowd, tx: crowd.look.question(tx, crowd.row(tx)._replace(status="blocked"), "aborted"),
    "running ones of queues": lambda crowd, tx: runs.running(tx, ["big", "other2", "other4"]),
    "tally": lambda crowd, tx: tally(tx, "big", RECENT + 1),
    "failures": lambda crowd, tx: failures(tx, "big", RECENT + 1, 50),
    "wait": lambda crowd, tx: crowd.queue.wait_within(tx),
    "wait of a sequential queue": lambda crowd, tx: crowd.retrying.wait_within(tx),
}


@pytest.mark.parametrize("probe", PROBES)
def test_given_a_crowd_when_a_page_or_a_recorder_asks_then_nothing_is_scanned_or_sorted(
    crowd: Crowd, probe: str
) -> None:
    work = PROBES[probe]

    seen, complaints = watch(crowd.service.database, lambda tx: work(crowd, tx), partial(judged, crowd))

    assert seen
    assert not complaints, "\n".join(complaints)


def test_given_a_crowd_when_a_flush_stores_all_then_nothing_is_scanned_or_sorted(crowd: Crowd) -> None:
    ledger = Ledger(Runs.of(crowd.queue), crowd.queue, crowd.run_id, "me", 2000)
    ledger.done("x")
    ledger.forget(1, 1)

    def store(tx: Transaction) -> None:
        ledger._write(tx, ledger._open, ledger._open.lines, 0, ACTIVITY)

    seen, complaints = watch(crowd.service.database, store, partial(judged, crowd))

    assert seen
    assert not complaints, "\n".join(complaints)


def test_given_a_crowd_when_a_page_asks_what_is_in_hand_then_only_that_is_read(crowd: Crowd) -> None:
    seen, complaints = watch(
        crowd.service.database,
        lambda tx: crowd.look.in_hand(tx, crowd.row(tx)),
        lambda cursor, one: [] if "LEFT JOIN" in one.sql else judged(crowd, cursor, one),
    )

    assert not complaints, "\n".join(complaints)
    (held,) = [one for one in seen if "LEFT JOIN" in one.sql]
    # Sorting what is leased is no scan; MariaDB counts what it touches: the leased items, and what belongs to each.
    assert held.reads <= 10 * HELD
