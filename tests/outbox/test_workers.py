"""Workers deliver messages as they execute everything else."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy.orm import Session

from taskqueue import ConfigurationError, QueueService, Runner, Worker, WorkerReport
from taskqueue.execution.attempt import Execution
from taskqueue.execution.holding import Holding
from taskqueue.outbox import MessageContext, Outbox, handles, queued
from taskqueue.storage.wake import open_watch
from tests.contract.workers import at_work, in_thread, is_served, wait_for
from tests.outbox.conftest import book, names, waiting
from tests.outbox.services import Scripted


@pytest.fixture
def scripted() -> Scripted:
    return Scripted()


@pytest.fixture
def outbox(make_outbox: Callable[..., Outbox], scripted: Scripted) -> Outbox:
    outbox = make_outbox()
    outbox.register("scripted", scripted)
    outbox.prepare()
    return outbox


@pytest.fixture
def elsewhere(url: str) -> Iterator[QueueService]:
    """A service as in another process: what rings there is not heard here."""
    service = QueueService(url)
    yield service
    service.close()


def test_two_workers_deliver_each_message_once(
    service: QueueService, outbox: Outbox, elsewhere: QueueService, session: Session
) -> None:
    class Booking:
        @handles
        def write(self, ctx: MessageContext, number: int) -> None:
            book(ctx.session, f"number {number}")

    booking = outbox.register("booking", Booking())
    Outbox(elsewhere).register("booking", booking.__class__())
    for number in range(40):
        queued(booking, session).write(number)
    session.commit()

    with in_thread(Worker(elsewhere, ["outbox"], threads=2).drain) as report:
        Worker(service, ["outbox"], threads=2).drain()
        report.result(60)

    assert Counter(names(service.engine)) == Counter(f"number {number}" for number in range(40))
    assert waiting(service) == 0


def test_what_another_worker_holds_is_not_waited_for(
    service: QueueService, outbox: Outbox, scripted: Scripted, session: Session
) -> None:
    begun, may_end = threading.Event(), threading.Event()

    def hold(ctx: MessageContext) -> None:
        begun.set()
        assert may_end.wait(60)

    scripted.steps = [hold]
    queued(scripted, session).work("held")
    session.commit()
    with at_work(service, "outbox", threads=1):
        assert begun.wait(60)
        queued(scripted, session).work("free")
        session.commit()

        assert outbox.flush(wait=False) == 1
        assert scripted.calls == ["held", "free"]
        may_end.set()
    assert waiting(service) == 0


def test_flush_waits_for_what_a_worker_delivers(
    service: QueueService, outbox: Outbox, scripted: Scripted, session: Session
) -> None:
    begun, may_end = threading.Event(), threading.Event()

    def hold(ctx: MessageContext) -> None:
        begun.set()
        assert may_end.wait(60)

    scripted.steps = [hold, ValueError("raises nothing"), None]
    for _message in range(3):
        queued(scripted, session).work()
    queued(scripted, session, delay="1h").work("future")
    session.commit()
    with at_work(service, "outbox", threads=1, prefetch=1), ThreadPoolExecutor(1) as pool:
        assert begun.wait(60)
        flushing = pool.submit(outbox.flush)
        wait_for(lambda: len(scripted.calls) == 3, "the others are delivered")
        assert not flushing.done()
        may_end.set()
        flushing.result(60)

    assert waiting(service) == 2, "the one that failed waits for its retry, the other for its time"
    assert "future" not in scripted.calls


def test_a_worker_of_this_process_is_woken_after_the_commit_and_not_before(
    service: QueueService, outbox: Outbox, scripted: Scripted, session: Session
) -> None:
    rung: list[tuple[str, bool]] = []
    service.settings.bell.listen(lambda name: rung.append((name, session.in_transaction())))
    with at_work(service, "outbox", threads=1):
        wait_for(lambda: is_served(service, "outbox"), "the worker serves")
        rung.clear()
        with session.begin():
            for number in range(3):
                queued(scripted, session).work(number)
            with session.begin_nested():
                queued(scripted, session).work(3)
            session.flush()
            assert rung == [], "neither a call nor the end of a savepoint wakes anybody"
        assert [name for name, _in_transaction in rung][:1] == ["outbox"]
        wait_for(lambda: len(scripted.calls) == 4, "the messages are delivered")
    assert [name for name, _in_transaction in rung].count("outbox") < 4, "many calls of one transaction ring once"


def test_nobody_is_woken_by_a_rollback(
    outbox: Outbox, scripted: Scripted, session: Session, service: QueueService
) -> None:
    rung: list[str] = []
    service.settings.bell.listen(rung.append)
    queued(scripted, session).work()
    session.rollback()

    assert rung == []


def test_a_worker_of_another_process_finds_the_message(
    service: QueueService, outbox: Outbox, scripted: Scripted, elsewhere: QueueService, session: Session
) -> None:
    """By NOTIFY on PostgreSQL, else by looking."""
    other = Scripted()
    Outbox(elsewhere).register("scripted", other)
    with at_work(elsewhere, "outbox", threads=1):
        wait_for(lambda: is_served(service, "outbox"), "the worker serves")
        queued(scripted, session).work("far away")
        session.commit()
        wait_for(lambda: other.calls, "the message is delivered")
    assert (other.calls, scripted.calls) == (["far away"], [])


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_the_commit_tells_listening_workers(
    service: QueueService, outbox: Outbox, scripted: Scripted, session: Session
) -> None:
    watch = open_watch(service.database, threading.Event())
    assert watch is not None
    queued(scripted, session).work()
    assert not list(watch.wait(lambda: ["outbox"], 0.0))
    session.commit()

    assert list(watch.wait(lambda: ["outbox"], 60.0)) == ["outbox"]
    watch.close()


def test_a_heartbeat_keeps_a_slow_message_from_others(
    url: str, service: QueueService, outbox: Outbox, scripted: Scripted, session: Session
) -> None:
    """As long as its worker lives, others leave it alone, however short the lease."""
    slow = QueueService(url, lease_slice=0.5, heartbeat=0.05)
    delivering = Outbox(slow)
    own = Scripted(lambda ctx: threading.Event().wait(1.2) or None)  # more than two leases
    delivering.register("scripted", own)
    queued(scripted, session).work()
    session.commit()
    with in_thread(Worker(slow, ["outbox"], threads=1).drain) as report:
        wait_for(lambda: own.calls, "it is in hand")
        attempts = outbox.flush()
        report.result(60)
    slow.close()

    assert (attempts, scripted.calls, len(own.calls)) == (0, [], 1)


# --- executors ---


def drained(worker: Worker) -> WorkerReport:
    """Drain, but not for ever."""
    with in_thread(worker.drain) as report:
        try:
            return report.result(20)
        finally:
            worker.stop()


def test_an_executor_is_refused_with_a_sentence(
    service: QueueService, outbox: Outbox, scripted: Scripted, session: Session
) -> None:
    queued(scripted, session).work()
    session.commit()

    with (
        ThreadPoolExecutor(1) as executor, Holding(service.load("outbox")) as holding,
        pytest.raises(ConfigurationError, match="cannot be called by an executor: serve this queue with threads"),
    ):  # fmt: skip
        Execution(holding, executor=executor)

    assert Runner(service.load("outbox")).run_all(wait=0).completed == 1


def test_a_worker_with_an_executor_that_is_to_serve_an_outbox_ends_with_that_sentence(
    service: QueueService, outbox: Outbox, scripted: Scripted, session: Session
) -> None:
    queued(scripted, session).work()
    session.commit()

    with ThreadPoolExecutor(1) as executor, pytest.raises(ConfigurationError, match="cannot be called by an executor"):
        drained(Worker(service, ["outbox"], threads=1, executor=executor))

    assert (waiting(service), scripted.calls) == (1, [])


def test_a_worker_with_an_executor_leaves_an_outbox_to_others_and_says_so(
    service: QueueService, outbox: Outbox, scripted: Scripted, session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    queued(scripted, session).work()
    session.commit()
    service.create("SqlParallel", "tasks", agent="server", error="dead")

    with ThreadPoolExecutor(1) as executor:
        report = drained(Worker(service, threads=1, executor=executor))

    assert (report.executed, waiting(service), scripted.calls) == (0, 1, [])
    lines = [record.getMessage() for record in caplog.records if "executor" in record.getMessage()]
    assert len(lines) == 1
    assert lines[0].startswith("queue outbox is not served here: ")
