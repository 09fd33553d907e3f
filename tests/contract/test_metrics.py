"""Metrics: what stands in the queues, what was done, and how both are served."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from socket import socket
from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest
from prometheus_client.parser import text_string_to_metric_families

from taskqueue import BatchQueue, ConfigurationError, DatabaseUnavailable, Outcome, QueueService, Runner, travel
from taskqueue.metrics import metrics_app, serve_metrics
from taskqueue.metrics.counters import process_counters
from taskqueue.queues.sql_base import SqlBase
from taskqueue.signals import item_finished
from taskqueue.storage import gauges
from tests.contract import tasks
from tests.contract.backends import Backend, once_per_database, only_memory
from tests.contract.conftest import MakeQueue, MakeService

ROOT = Path(__file__).resolve().parents[2]
Scrape = Callable[..., float | None]


@pytest.fixture(autouse=True)
def counting() -> Iterator[None]:
    """Counters that begin at nothing, and that count nothing after the test."""
    process_counters.cache_clear()
    yield
    item_finished.disconnect(process_counters().count)
    process_counters.cache_clear()


def ask(app: Any) -> str:
    """What the view answers."""
    environ: dict[str, Any] = {}
    setup_testing_defaults(environ)
    said: list[str] = []
    body = b"".join(app(environ, lambda status, headers: said.append(status)))
    assert said == ["200 OK"]
    return body.decode()


def value(text: str, name: str, **labels: str) -> float | None:
    """One sample of an answer; None when it is not there."""
    samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    return next((sample.value for sample in samples if sample.name == name and sample.labels == labels), None)


@pytest.fixture
def scrape(service: QueueService) -> Scrape:
    """Asks a view of the service for one sample, counted anew."""
    return lambda name, **labels: value(ask(metrics_app(service)), name, **labels)


def test_items_are_counted_by_queue_and_state(make_queue: MakeQueue, scrape: Scrape) -> None:
    queue, empty = make_queue("jobs"), make_queue("empty")
    queue.create_items(range(3))
    queue.create_item("later", delay=60)
    queue.claim_item(60)
    for state, number in {"ready": 2, "leased": 1, "delayed": 1}.items():
        assert scrape("taskqueue_items", queue="jobs", state=state) == number
        assert scrape("taskqueue_items", queue=empty.name, state=state) == 0
    assert scrape("taskqueue_database_up") == 1


def test_what_is_due_counts_as_ready(queue: BatchQueue, scrape: Scrape) -> None:
    queue.create_item("x")
    queue.create_item("later", weight=1, delay=30)
    queue.claim_item(30)
    with travel(31):
        assert scrape("taskqueue_items", queue="jobs", state="ready") == 2
        assert scrape("taskqueue_items", queue="jobs", state="leased") == 0


def test_the_oldest_ready_item_is_the_one_that_came_first(queue: BatchQueue, scrape: Scrape) -> None:
    assert scrape("taskqueue_oldest_ready_seconds", queue="jobs") == 0
    queue.create_item("older", weight=5)
    with travel(100):
        queue.create_item("newer")
        assert scrape("taskqueue_oldest_ready_seconds", queue="jobs") == pytest.approx(100, abs=5)
        queue.claim_item(600)
        assert scrape("taskqueue_oldest_ready_seconds", queue="jobs") == pytest.approx(100, abs=5)


def test_dead_letters_are_counted(make_queue: MakeQueue, scrape: Scrape) -> None:
    queue = make_queue(error="dead")
    assert scrape("taskqueue_dead_letters", queue="jobs") == 0
    queue.enqueue(tasks.fail)
    Runner(queue).run_all()
    assert scrape("taskqueue_dead_letters", queue="jobs") == 1


@once_per_database
def test_workers_with_a_fresh_sign_of_life_are_counted(
    queue: BatchQueue, scrape: Scrape, service: QueueService
) -> None:
    def add(token: str, age: int, period: int, worker: str | None) -> None:
        service.database.statement(
            lambda tx: tx.change(
                "INSERT INTO {holder} (token, label, start_time, beat_time, beat_period, worker) "
                "VALUES (:token, 'x', {now}, {now} - :age, :period, :worker)",
                token=token, age=age, period=period, worker=worker,
            )
        )  # fmt: skip

    assert scrape("taskqueue_workers") == 0
    add("fresh", 9_000, 3_000, "{}")
    add("slow", 19_000, 10_000, "{}")
    add("dead", 11_000, 3_000, "{}")
    add("terminal", 0, 3_000, None)
    assert scrape("taskqueue_workers") == 2


# --- what was done ---------------------------------------------------------------------------------


def test_attempts_are_counted_by_how_they_ended(make_queue: MakeQueue, service: QueueService) -> None:
    app, queue = metrics_app(service), make_queue(error="delete", retry_limit=1)
    queue.enqueue(tasks.note, "x")
    queue.enqueue(tasks.fail)
    Runner(queue).run_all()
    text = ask(app)
    for outcome, number in {"ok": 1, "retry": 1, "delete": 1}.items():
        assert value(text, "taskqueue_attempts_total", queue="jobs", outcome=outcome) == number
    assert value(text, "taskqueue_run_seconds_count", queue="jobs") == 3
    assert (value(text, "taskqueue_claim_latency_seconds_count", queue="jobs") or 0) >= 2


@only_memory
def test_times_are_shown_where_they_were_measured(queue: BatchQueue, service: QueueService) -> None:
    app = metrics_app(service)
    for facts in ({"seconds": 0.2, "waited": 0.004}, {"seconds": 7.0, "waited": None}, {}):
        item_finished.answers(queue, item=None, outcome=Outcome.OK, exception=None, **facts)
    text = ask(app)
    assert value(text, "taskqueue_run_seconds_count", queue="jobs") == 2
    assert value(text, "taskqueue_run_seconds_sum", queue="jobs") == 7.2
    assert value(text, "taskqueue_run_seconds_bucket", queue="jobs", le="0.5") == 1
    assert value(text, "taskqueue_claim_latency_seconds_count", queue="jobs") == 1
    assert value(text, "taskqueue_claim_latency_seconds_bucket", queue="jobs", le="0.005") == 1
    assert value(text, "taskqueue_attempts_total", queue="jobs", outcome="ok") == 3


@only_memory
def test_two_views_count_each_attempt_once(queue: BatchQueue, service: QueueService) -> None:
    metrics_app(service)
    app = metrics_app(service)
    queue.enqueue(tasks.note, "x")
    Runner(queue).run_all()
    assert value(ask(app), "taskqueue_attempts_total", queue="jobs", outcome="ok") == 1


# --- how often, and when the database is away ------------------------------------------------------


@once_per_database
def test_the_queues_are_counted_every_five_seconds_at_most(
    queue: BatchQueue, service: QueueService, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted, count_all = [], gauges.count_all
    monkeypatch.setattr(gauges, "count_all", lambda tx: counted.append(1) or count_all(tx))
    app = metrics_app(service)
    assert value(ask(app), "taskqueue_items", queue="jobs", state="ready") == 0
    queue.create_item("x")
    with travel(4):
        assert value(ask(app), "taskqueue_items", queue="jobs", state="ready") == 0
    assert len(counted) == 1
    with travel(6):
        assert value(ask(app), "taskqueue_items", queue="jobs", state="ready") == 1
    assert len(counted) == 2


@once_per_database
def test_without_its_database_a_view_still_answers(
    queue: BatchQueue, service: QueueService, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def refuse(tx: Any) -> None:
        asked.append(1)
        raise DatabaseUnavailable("the database is away")

    app = metrics_app(service)
    queue.enqueue(tasks.note, "x")
    Runner(queue).run_all()
    monkeypatch.setattr(gauges, "count_all", refuse)
    for _ in range(2):
        text = ask(app)
        assert value(text, "taskqueue_database_up") == 0
        assert value(text, "taskqueue_items", queue="jobs", state="ready") is None
        assert value(text, "taskqueue_attempts_total", queue="jobs", outcome="ok") == 1
    assert len(asked) == 1  # the answer that it is away is kept, too


def test_queues_of_this_process_open_no_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TASKQUEUE_DATABASE_URL", raising=False)
    service = QueueService()
    service.create("Memory", "jobs").create_item("x")
    assert value(ask(metrics_app(service)), "taskqueue_items", queue="jobs", state="ready") == 1
    assert list(tmp_path.iterdir()) == []


# --- on a port of its own --------------------------------------------------------------------------


@once_per_database
def test_metrics_are_served_until_closed(queue: BatchQueue, service: QueueService) -> None:
    queue.create_item("x")
    server = serve_metrics(service, 0)
    address = f"http://127.0.0.1:{server.port}/metrics"
    try:
        with urllib.request.urlopen(address, timeout=20) as answer:
            assert value(answer.read().decode(), "taskqueue_items", queue="jobs", state="ready") == 1
        with pytest.raises(ConfigurationError, match=f"metrics cannot be served on 127.0.0.1, port {server.port}"):
            serve_metrics(service, server.port)
    finally:
        server.close()
    with socket() as visitor:
        assert visitor.connect_ex(("127.0.0.1", server.port)) != 0
    serve_metrics(service, server.port).close()  # the port is free again


@once_per_database
def test_what_forked_children_do_is_counted_together(
    queue: BatchQueue, service: QueueService, backend: Backend
) -> None:
    assert isinstance(queue, SqlBase)
    for number in range(20):
        queue.enqueue(tasks.note, number)
    env = {name: value for name, value in os.environ.items() if name != "PROMETHEUS_MULTIPROC_DIR"}
    warnings = ("-W", "error", "-W", "ignore:This process:DeprecationWarning")  # newer Pythons: a fork beside threads
    done = subprocess.run(
        [sys.executable, *warnings, "-m", "tests.contract.measured", backend.url],
        cwd=ROOT, env=env, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert value(told["text"], "taskqueue_attempts_total", queue="jobs", outcome="ok") == 20
    assert value(told["text"], "taskqueue_items", queue="jobs", state="ready") == 0
    assert told["is_port_free"]  # although a child of the server's process is still there
    assert not Path(told["folder"]).exists()


@only_memory
def test_without_the_library_the_sentence_names_what_to_install(
    service: QueueService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(ConfigurationError, match=r"install taskqueue-runner\[metrics\]"):
        metrics_app(service)


@only_memory
def test_a_folder_that_is_missing_is_named(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path / "gone"))
    with pytest.raises(ConfigurationError, match="PROMETHEUS_MULTIPROC_DIR names no folder"):
        metrics_app(make_service())
