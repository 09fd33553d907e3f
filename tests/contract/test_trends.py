"""Numbers over time: what executing items leaves behind, and that it neither costs nor loses more than it may."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from typing import Any

import psycopg
import pymysql
import pytest

from taskqueue import BatchQueue, QueueService, Runner, SpecError, Task, Worker, run_loop, travel
from taskqueue.errors import DatabaseUnavailable, OutcomeUnknown
from taskqueue.execution.holding import Holding
from taskqueue.metrics import TrendPoint, history, rates
from taskqueue.outcome import Outcome
from taskqueue.storage import recorder, trends
from taskqueue.storage.trends import ALL_QUEUES, HOUR, MINUTE, TrendRow
from taskqueue.worker.depths import Depths
from tests.contract import processes as jobs
from tests.contract import records, tasks
from tests.contract.backends import once_per_database, only_memory, only_sql
from tests.contract.conftest import MakeQueue, MakeService
from tests.forking import code_of, forked, halted
from tests.storage.tapped import tap

DAY = 86_400


def rows(service: QueueService, name: str = "jobs", resolution: int = MINUTE) -> list[TrendRow]:
    """What is stored."""
    return service.database.statement(lambda tx: trends.read(tx, name, resolution, 0), write=False)


def told(service: QueueService, name: str = "jobs", resolution: int = MINUTE) -> tuple[int, int, int]:
    """How many attempts were done and failed, and left a dead letter."""
    found = rows(service, name, resolution)
    return sum(row.done for row in found), sum(row.failed for row in found), sum(row.dead for row in found)


@pytest.fixture
def stored(service: QueueService, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Has an entry for each transaction in which numbers were stored."""
    kept, made = service.database.trends, []
    transact = kept._transact

    def counted(work: Callable[[Any], object]) -> object:
        made.append(1)
        return transact(work)

    monkeypatch.setattr(kept, "_transact", counted)
    return made


def count(service: QueueService, number: int, outcome: Outcome = Outcome.OK, seconds: float = 0.003) -> None:
    """So many attempts have ended."""
    for _ in range(number):
        service.database.trends.count("jobs", outcome, seconds)


# --- what is counted ---


@only_sql
def test_what_a_run_has_done_is_there_when_it_ends(make_queue: MakeQueue, service: QueueService) -> None:
    queue = make_queue(error="dead", retry_limit=1)
    queue.enqueue(tasks.note, "x")
    queue.enqueue(tasks.fail)
    queue.enqueue(tasks.note, "y")

    Runner(queue).run_all()

    for name in ("jobs", ALL_QUEUES):
        for resolution in (MINUTE, HOUR):
            assert told(service, name, resolution) == (2, 2, 1)
            assert sum(sum(row.ran) for row in rows(service, name, resolution)) == 4
    assert all(row.start % (MINUTE * 1000) == 0 for row in rows(service))
    assert all(row.start % (HOUR * 1000) == 0 for row in rows(service, resolution=HOUR))


@once_per_database
@pytest.mark.parametrize("grouped", [False, True])
def test_what_a_worker_has_done_is_there_when_it_ends(
    make_queue: MakeQueue, service: QueueService, grouped: bool
) -> None:
    queue = make_queue(agent="server", error="delete")
    queue.create_items(Task(tasks.note, (number,)) for number in range(20))
    queue.enqueue(tasks.fail)

    Worker(service, ["jobs"], grouped=grouped).drain()

    assert told(service) == (20, 1, 0)


@once_per_database
def test_what_a_loop_has_done_is_there_when_it_ends(queue: BatchQueue, service: QueueService) -> None:
    queue.enqueue(tasks.note, "x")
    run_loop(queue)
    assert told(service) == (1, 0, 0)


@once_per_database
def test_attempts_that_were_given_back_or_lost_count_as_nothing(queue: BatchQueue, service: QueueService) -> None:
    for outcome in (Outcome.RELINQUISH, Outcome.LEASE_LOST, Outcome.CANCELLED):
        count(service, 1, outcome)
    service.database.trends.flush()
    assert rows(service) == rows(service, ALL_QUEUES) == []


@only_memory
def test_queues_in_memory_count_nothing_and_open_no_database(make_service: MakeService) -> None:
    service = make_service()
    queue = service.create("Memory", "m")
    queue.enqueue(tasks.note, "x")
    assert Runner(queue).run_all().completed == 1
    assert service._database is None


def test_a_service_of_queues_in_memory_has_a_history_of_zeros(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TASKQUEUE_DATABASE_URL", raising=False)
    service = QueueService()
    service.create("Memory", "m")
    assert len(history(service, "m", "hour")) == 60
    assert rates(service, ["m"]) == {"m": [0] * 60}
    assert service._database is None


# --- when it is stored ---


@once_per_database
def test_a_run_is_stored_by_one_transaction_and_one_that_did_nothing_by_none(
    queue: BatchQueue, service: QueueService, stored: list[int]
) -> None:
    Runner(queue).run_all()
    assert stored == []
    queue.create_items(Task(tasks.note, (number,)) for number in range(100))
    Runner(queue).run_all()
    assert stored == [1]
    assert told(service) == (100, 0, 0)


@once_per_database
def test_single_steps_are_stored_every_few_seconds_only(
    queue: BatchQueue, service: QueueService, stored: list[int]
) -> None:
    queue.create_items(Task(tasks.note, (number,)) for number in range(4))
    for _ in range(3):
        Runner(queue).run_next()
    assert (stored, rows(service)) == ([], [])
    with travel(6):
        Runner(queue).run_next()
        assert stored == [1]
        assert told(service) == (4, 0, 0)


@once_per_database
def test_a_run_on_its_page_is_stored_when_it_ends(queue: BatchQueue, service: QueueService, stored: list[int]) -> None:
    queue.create_items(Task(tasks.note, (number,)) for number in range(3))
    run = records.begin(queue)
    assert not records.drive(queue, run, seconds=0)
    assert stored == []
    assert records.drive(queue, run, seconds=5)
    assert stored == [1]
    assert told(service) == (3, 0, 0)


@once_per_database
def test_a_heartbeat_stores_what_is_due(queue: BatchQueue, service: QueueService, stored: list[int]) -> None:
    with queue.hold(), Holding(queue) as holding:
        count(service, 3)
        holding._beat()
        assert stored == []
        with travel(6):
            holding._beat()
            holding._beat()
        assert stored == [1]
    assert told(service) == (3, 0, 0)


@once_per_database
def test_who_closes_a_service_loses_nothing(
    queue: BatchQueue, make_service: MakeService, service: QueueService
) -> None:
    other = make_service()
    other.database.trends.count("jobs", Outcome.OK, 1.0)
    other.close()
    assert told(service) == (1, 0, 0)


# --- nothing is lost, and nothing counted twice ---


@once_per_database
def test_processes_that_make_the_same_rows_at_the_same_time_lose_nothing(
    queue: BatchQueue, service: QueueService, processes: ProcessPoolExecutor, backend: Any
) -> None:
    names, rounds = ["jobs", "mails", "reports"], 15

    jobs.in_each(processes, jobs.add_to_trends, backend.url, names, rounds)

    for resolution in (MINUTE, HOUR):
        for name in names:
            assert told(service, name, resolution) == (jobs.PROCESSES * rounds, 0, 0)
        assert told(service, ALL_QUEUES, resolution) == (jobs.PROCESSES * rounds * len(names), 0, 0)
    assert len(rows(service)) >= rounds


@once_per_database
def test_threads_that_count_while_others_store_lose_nothing(service: QueueService, queue: BatchQueue) -> None:
    barrier, each = threading.Barrier(4), 5_000

    def work() -> None:
        barrier.wait(20)
        for number in range(each):
            service.database.trends.count("jobs", Outcome.OK, 0.001)
            if number % 500 == 0:
                service.database.trends.flush()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    service.database.trends.flush()
    assert told(service) == (4 * each, 0, 0)


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[BaseException | None], None]]:
    """Sets what comes of adding numbers, or puts that right again."""
    add = trends.add

    def set_to(error: BaseException | None) -> None:
        def fail(*_: Any) -> None:
            assert error is not None
            raise error

        monkeypatch.setattr(trends, "add", fail if error is not None else add)

    return set_to  # type: ignore[return-value]


@once_per_database
def test_what_could_not_be_stored_is_kept_and_no_run_fails(
    queue: BatchQueue, service: QueueService, broken: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    queue.enqueue(tasks.note, "x")
    broken(DatabaseUnavailable("gone"))
    with caplog.at_level(logging.DEBUG, recorder.__name__):
        assert Runner(queue).run_all().completed == 1
        service.database.trends.flush()
    assert rows(service) == []
    assert [record.levelname for record in caplog.records if record.name == recorder.__name__] == ["WARNING", "DEBUG"]

    broken(None)
    queue.enqueue(tasks.note, "y")
    Runner(queue).run_all()
    assert told(service) == told(service, ALL_QUEUES) == (2, 0, 0)


@once_per_database
def test_an_interrupt_while_numbers_are_stored_loses_none(
    queue: BatchQueue, service: QueueService, broken: Callable[..., None]
) -> None:
    count(service, 2)
    broken(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        service.database.trends.flush()
    broken(None)
    service.database.trends.flush()
    assert told(service) == (2, 0, 0)


@once_per_database
def test_what_cannot_be_stored_for_long_is_dropped(
    queue: BatchQueue, service: QueueService, broken: Callable[..., None]
) -> None:
    broken(DatabaseUnavailable("gone"))
    count(service, 2)
    service.database.trends.flush()
    with travel(130):
        service.database.trends.flush()
        broken(None)
        count(service, 1)
        service.database.trends.flush()
    assert told(service) == (1, 0, 0)


@once_per_database
def test_what_may_have_been_stored_is_not_stored_again(
    queue: BatchQueue, service: QueueService, broken: Callable[..., None]
) -> None:
    broken(OutcomeUnknown("perhaps"))
    count(service, 2)
    service.database.trends.flush()
    broken(None)
    service.database.trends.flush()
    assert rows(service) == []


@once_per_database
def test_an_answer_to_the_commit_that_is_lost_counts_nothing_twice(
    queue: BatchQueue, service: QueueService, monkeypatch: pytest.MonkeyPatch
) -> None:
    count(service, 2)
    lost: list[str] = []

    def once(sql: str, commits: bool, send: Callable[[], Any]) -> Any:
        answer = send()
        if sql == "COMMIT" and not lost:
            lost.append(sql)
            raise _lost_by(service)
        return answer

    tap(monkeypatch, once)
    service.database.trends.flush()
    assert lost == ["COMMIT"]
    assert told(service) == (2, 0, 0)


def _lost_by(service: QueueService) -> Exception:
    """What a driver raises when its connection is cut."""
    if service.database.dialect.name == "mysql":
        return pymysql.err.OperationalError(2013, "Lost connection to MySQL server during query")
    if service.database.dialect.name == "postgresql":
        return psycopg.OperationalError("server closed the connection unexpectedly")
    pytest.skip("a file has no connection that could be lost")


@once_per_database
def test_a_forked_child_counts_from_nothing_and_its_parent_goes_on(queue: BatchQueue, service: QueueService) -> None:
    count(service, 3)

    def in_child() -> None:
        count(service, 2)
        service.database.trends.flush()

    assert code_of(forked(in_child)) == 0
    assert told(service) == (2, 0, 0)
    service.database.trends.flush()
    assert told(service) == (5, 0, 0)


@once_per_database
def test_a_child_that_is_forked_while_numbers_are_stored_can_store_its_own(
    queue: BatchQueue, service: QueueService, monkeypatch: pytest.MonkeyPatch
) -> None:
    count(service, 3)

    def in_child() -> None:
        count(service, 2)
        service.database.trends.flush()

    with halted(monkeypatch, trends, "add", service.database.trends.flush):
        # SQLite has one writer, who stands still: there the child could not write anyhow.
        child = forked(in_child if not service.database.dialect.single_writer else lambda: count(service, 2))
        if not service.database.dialect.single_writer:
            assert code_of(child) == 0
            assert told(service) == (2, 0, 0)
        else:
            assert code_of(child) == 0
    assert told(service) == ((5, 0, 0) if not service.database.dialect.single_writer else (3, 0, 0))


# --- how many items there are ---


@only_sql
def test_of_several_workers_one_looks_how_many_items_there_are_once_a_minute(
    queue: BatchQueue, service: QueueService, make_service: MakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    look = trends.count_standing

    def counted(tx: Any, queue_name: str) -> int:
        looked.append(queue_name)
        return look(tx, queue_name)

    monkeypatch.setattr(trends, "count_standing", counted)
    queue.create_items(range(3))
    queue.create_item("later", delay=60)
    assert queue.claim_item() is not None
    one, two = Depths(service), Depths(make_service())
    with travel(60 - _second(service)):  # a minute has just begun
        for depths in (one, two, one, two):
            depths.look(["jobs"])
        assert looked == ["jobs"]
        assert [row.depth for row in rows(service)] == [4]
        with travel(61):
            queue.create_item("one more")
            two.look(["jobs"])
            one.look(["jobs"])
            assert looked == ["jobs", "jobs"]
            assert [row.depth for row in rows(service)] == [4, 5]
            assert rows(service, resolution=HOUR)[-1].depth == 5
    assert rows(service, ALL_QUEUES) == []


def _second(service: QueueService) -> float:
    """How far the minute has gone, by the database's clock."""
    return service.database.statement(trends.now, write=False) % 60_000 / 1000 - 0.5


@once_per_database
def test_what_was_seen_and_what_was_done_stand_in_the_same_row(queue: BatchQueue, service: QueueService) -> None:
    with travel(60 - _second(service)):
        service.database.transaction(lambda tx: trends.sample(tx, "jobs", 7))
        count(service, 2)
        service.database.trends.flush()
        service.database.transaction(lambda tx: trends.sample(tx, "jobs", 6))
        (row,) = rows(service)
    assert (row.depth, row.done, sum(row.ran)) == (6, 2, 2)


@once_per_database
def test_no_more_items_are_counted_than_are_worth_it(
    queue: BatchQueue, service: QueueService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trends, "_MOST", 3)
    queue.create_items(range(9))
    assert service.database.statement(lambda tx: trends.count_standing(tx, "jobs"), write=False) == 3


@once_per_database
def test_a_worker_notes_how_many_items_there_are(make_queue: MakeQueue, service: QueueService) -> None:
    queue = make_queue(agent="server", error="delete")
    queue.create_item("x", delay=3600)
    Worker(service, ["jobs"], max_seconds=0.5).run()
    assert rows(service)[-1].depth == 1


# --- looking back ---


@once_per_database
def test_a_history_has_a_point_for_each_stretch_and_zeros_where_nothing_was_done(
    queue: BatchQueue, service: QueueService
) -> None:
    for ago, number in ((0, 1), (120, 2), (3 * 3600, 4), (3 * DAY, 8), (8 * DAY, 16)):
        with travel(-ago):
            count(service, number, seconds=0.0015)
            service.database.trends.flush()
    with travel(-120):
        count(service, 1, Outcome.DEAD, 30.0)
        service.database.trends.flush()
        service.database.transaction(lambda tx: trends.sample(tx, "jobs", 9))

    hour, day, week = (history(service, "jobs", period) for period in ("hour", "day", "week"))  # type: ignore[arg-type]

    assert [len(points) for points in (hour, day, week)] == [60, 96, 84]
    assert [{point.seconds for point in points} for points in (hour, day, week)] == [{60}, {900}, {7200}]
    assert [sum(point.done for point in points) for points in (hour, day, week)] == [3, 7, 15]
    for points in (hour, day, week):
        assert [(b.start - a.start).total_seconds() for a, b in pairwise(points)] == (
            [points[0].seconds] * (len(points) - 1)
        )
        assert all(point.start.timestamp() % point.seconds == 0 for point in points)
        assert points[-1].start.utcoffset() is not None
    busy = next(point for point in hour if point.failed)
    assert (busy.done, busy.failed, busy.dead, busy.depth) == (2, 1, 1, 9)
    assert busy.p50 is not None and 0.001 < busy.p50 < 0.002
    assert busy.p95 is not None and 20 < busy.p95 <= 50
    quiet = TrendPoint(hour[0].start, 60, 0, 0, 0, None, None, None)
    assert hour[0] == quiet
    assert sum(point.done for point in history(service, None, "hour")) == 3


@once_per_database
def test_rates_of_many_queues_are_read_by_one_statement(
    queue: BatchQueue, service: QueueService, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["jobs", *(f"q{number}" for number in range(30))]
    count(service, 4)
    service.database.trends.flush()
    with travel(-60):
        count(service, 1)
        service.database.trends.count("q29", Outcome.OK, 1.0)
        service.database.trends.flush()
    with travel(-3600):
        count(service, 1)
        service.database.trends.flush()
    assert service.database.statement(trends.now, write=False)
    said: list[str] = []

    def note(sql: str, commits: bool, send: Callable[[], Any]) -> Any:
        said.append(sql)
        return send()

    tap(monkeypatch, note)
    found = rates(service, names)

    assert len([sql for sql in said if "trend" in sql]) == 1
    assert list(found) == names and {len(numbers) for numbers in found.values()} == {60}
    assert sum(found["jobs"]) == 5 and sum(found["q29"]) == 1 and sum(found["q0"]) == 0
    assert sum(found["jobs"][-3:]) == 5


@once_per_database
def test_questions_that_are_none_are_refused(service: QueueService) -> None:
    with pytest.raises(SpecError, match="period must be one of hour, day, week"):
        history(service, "jobs", "year")  # type: ignore[arg-type]
    with pytest.raises(SpecError):
        history(service, "no name", "hour")
    with pytest.raises(SpecError):
        rates(service, "jobs")
    assert rates(service, []) == {}


# --- removing ---


@once_per_database
def test_what_is_too_old_is_removed_by_whoever_stores_numbers(
    queue: BatchQueue, service: QueueService, make_service: MakeService
) -> None:
    for days in (91, 89, 3, 1):
        with travel(-days * DAY):
            service.database.transaction(lambda tx: trends.sample(tx, "jobs", 1))
    assert len(rows(service)) == len(rows(service, resolution=HOUR)) == 4

    other = make_service()
    other.database.trends.count("jobs", Outcome.OK, 1.0)
    other.database.trends.flush()

    assert [row.done for row in rows(service)] == [0, 1]
    assert [row.done for row in rows(service, resolution=HOUR)] == [0, 0, 0, 1]


@once_per_database
def test_it_is_removed_some_at_a_time_and_prune_removes_all(
    queue: BatchQueue, service: QueueService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trends, "CHUNK", 2)
    for minutes in range(5):
        with travel(-3 * DAY - minutes * 60):
            service.database.transaction(lambda tx: trends.sample(tx, "jobs", 1))
    assert service.database.transaction(trends.prune) == 2
    service.prune(30 * DAY, dry_run=True)
    assert len(rows(service)) == 3
    service.prune(30 * DAY)
    assert rows(service) == []
