"""However many numbers over time are kept, what is asked for is read, and nothing else; nor is it much to add some."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from taskqueue import QueueService
from taskqueue.storage import retention, trends
from taskqueue.storage.database import Database
from taskqueue.storage.schema import RUN_TIME_BINS
from taskqueue.storage.transaction import Transaction
from taskqueue.storage.trends import ALL_QUEUES, HOUR, MINUTE
from tests.databases import analyze, fresh_database
from tests.plans.judges import JUDGES
from tests.plans.watched import Seen, watch

HOURS, QUEUES = 24 * 90, 12
NAMES = [ALL_QUEUES, *(f"q{number:02}" for number in range(QUEUES))]
A_WEEK = 7 * 24 * HOUR * 1000

PROBES: dict[str, Callable[[Transaction, int], Any]] = {
    "a week of one queue": lambda tx, now: trends.read(tx, "q05", HOUR, now - A_WEEK),
    "an hour of one queue": lambda tx, now: trends.read(tx, "q05", MINUTE, now - HOUR * 1000),
    "half an hour of two queues": lambda tx, now: trends.done_lately(tx, ["q03", "q07"], MINUTE, HOUR * 500),
    "which queues were looked at": lambda tx, now: trends.sampled(tx),
    "prune": lambda tx, now: trends.prune(tx),
    "prune what was done by hand": lambda tx, now: retention.remove_old_audit(tx, 50),
}


@pytest.fixture(scope="module", params=["sqlite", "mariadb", "postgresql"])
def kept(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Database]]:
    """A database that has been at work for months, with statistics for the planner."""
    kind = request.param
    url = fresh_database(request, tmp_path_factory, kind, "trends")
    service = QueueService(url)
    service.database.transaction(_fill)
    analyze(service, ("trend", "audit"))
    yield kind, service.database
    service.close()


def _fill(tx: Transaction) -> None:
    now = trends.now(tx)
    rows = [
        (name, resolution, now - now % (resolution * 1000) - (back - 3) * resolution * 1000, 1)
        for name in NAMES
        for resolution, number in ((HOUR, HOURS + 4), (MINUTE, 24 * 60))
        for back in range(3, number + 3)
    ]
    tx.fill("{trend}", ("queue_name", "resolution", "start", "done"), rows)
    audit = [(number, "somebody", "retry", "q05", "") for number in range(9_000)]
    tx.fill("{audit}", ("time", "actor", "action", "queue_name", "detail"), audit)


@pytest.mark.parametrize("probe", PROBES)
def test_given_months_of_numbers_when_a_part_is_asked_for_then_no_more_is_read(
    kept: tuple[str, Database], probe: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trends, "CHUNK", 10)
    monkeypatch.setattr(retention, "CHUNK", 10)
    kind, database = kept
    now = database.statement(trends.now, write=False)

    seen, complaints = watch(database, lambda tx: PROBES[probe](tx, now), JUDGES[kind])

    assert seen
    assert not complaints, "\n".join(complaints)


def test_given_months_of_numbers_when_a_week_is_asked_for_then_it_is_a_range_of_the_primary_key(
    kept: tuple[str, Database],
) -> None:
    kind, database = kept
    now = database.statement(trends.now, write=False)
    plans: list[str] = []

    def explain(cursor: Any, seen: Seen) -> list[str]:
        word = "EXPLAIN QUERY PLAN" if kind == "sqlite" else "EXPLAIN"
        cursor.execute(f"{word} {seen.sql}", seen.parameters)
        plans.append(str(cursor.fetchall()))
        return []

    watch(database, lambda tx: trends.read(tx, "q05", HOUR, now - A_WEEK), explain)

    (plan,) = plans
    name = {"sqlite": "sqlite_autoindex_taskqueue_trend_1", "mariadb": "PRIMARY", "postgresql": "taskqueue_trend_pkey"}
    assert name[kind] in plan, plan


def test_given_months_of_numbers_when_some_are_added_then_a_few_rows_are_touched(kept: tuple[str, Database]) -> None:
    kind, database = kept
    found = {"q05": trends.Increment(done=1, ran=[1] + [0] * (RUN_TIME_BINS - 1))}

    seen, complaints = watch(database, lambda tx: trends.add(tx, found), JUDGES[kind])

    assert len(seen) == 1  # the clock; the rest goes as many rows at once
    assert not complaints, "\n".join(complaints)
