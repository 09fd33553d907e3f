"""Whether the queues are looked after: what is a trouble, what is none, and who learns of it."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest
from sqlalchemy import create_engine

from taskqueue import BatchQueue, QueueService, SpecError, signals, travel
from taskqueue.metrics import health_app, serve_metrics, troubles
from taskqueue.storage.presence import beat_of_worker
from tests.contract.backends import once_per_database, only_sql
from tests.contract.conftest import MakeQueue

PERIOD = 3_000


@pytest.fixture
def served(make_queue: MakeQueue) -> BatchQueue:
    """A queue that asks for workers."""
    return make_queue(agent="server", error="delete")


def beat(service: QueueService, *queues: str, state: str = "serving") -> None:
    """A sign of life of a worker that serves these queues."""
    facts = json.dumps({"queues": queues, "state": state})
    service.database.statement(lambda tx: beat_of_worker(tx, "f" * 16, "a worker", PERIOD, facts))


def kinds(service: QueueService, *queues: str, oldest: float = 600) -> list[tuple[str, str]]:
    """What is wrong, and with which queue."""
    return [(trouble.kind, trouble.queue) for trouble in troubles(service, queues or None, oldest=oldest)]


# --- who serves it ---


@only_sql
def test_a_queue_for_workers_is_in_trouble_until_one_serves_it(served: BatchQueue, service: QueueService) -> None:
    assert kinds(service) == [("unserved", "jobs")]
    beat(service, "others")
    assert kinds(service) == [("unserved", "jobs")]
    beat(service, "others", "jobs")
    assert kinds(service) == []
    beat(service, "jobs", state="stopping")
    assert kinds(service) == [("unserved", "jobs")]


@once_per_database
def test_a_worker_that_gave_no_sign_of_life_for_long_serves_nothing(served: BatchQueue, service: QueueService) -> None:
    beat(service, "jobs")
    with travel(service.settings.stale_after + 1):
        assert kinds(service) == [("unserved", "jobs")]


@once_per_database
def test_no_worker_is_expected_where_cron_starts_them(served: BatchQueue, service: QueueService) -> None:
    assert troubles(service, by_workers=False) == []
    assert ask(health_app(service, by_workers=False))[0] == "200 OK"
    served.create_item("x")
    with travel(700):
        assert [trouble.kind for trouble in troubles(service, by_workers=False)] == ["late"]


@once_per_database
def test_of_other_queues_nobody_is_expected_to_serve_them(make_queue: MakeQueue, service: QueueService) -> None:
    make_queue("interactive").create_item("x")
    assert kinds(service) == kinds(service, "interactive") == []


@once_per_database
@pytest.mark.parametrize("status", ["paused", "draft", "aborted", "completed"])
def test_what_rests_on_purpose_is_in_no_trouble(served: BatchQueue, service: QueueService, status: str) -> None:
    served.create_item("x")
    served.set_status(status)
    with travel(10_000):
        assert kinds(service) == kinds(service, "jobs") == []


@once_per_database
def test_a_queue_that_is_not_there_is_missed_only_by_who_names_it(served: BatchQueue, service: QueueService) -> None:
    beat(service, "jobs")
    assert kinds(service) == []
    assert kinds(service, "jobs", "jbos") == [("missing", "jbos")]


@once_per_database
def test_what_a_receiver_holds_back_rests_on_purpose(served: BatchQueue, service: QueueService) -> None:
    served.create_item("x")

    def hold_back(sender: Any, **_: Any) -> bool:
        return False

    with signals.queue_active.connected_to(hold_back), travel(10_000):
        assert kinds(service) == []
    assert kinds(service) == [("unserved", "jobs")]


def test_no_database_is_made_for_queues_of_this_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TASKQUEUE_DATABASE_URL", raising=False)
    service = QueueService()
    service.create("Memory", "jobs", agent="server", error="delete").create_item("x")
    assert troubles(service) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("queues", ["jobs", ["a b"], [7], [""]])
def test_names_that_are_none_are_refused(queues: Any) -> None:
    with pytest.raises(SpecError):
        troubles(QueueService(), queues)
    with pytest.raises(SpecError):
        health_app(QueueService(), queues)


@pytest.mark.parametrize("oldest", [-1, float("nan"), float("inf"), "60", None, True, timedelta(minutes=1)])
def test_times_that_are_none_are_refused(oldest: Any) -> None:
    with pytest.raises(SpecError, match="oldest must be seconds"):
        health_app(QueueService(), oldest=oldest)


# --- what waits ---


@only_sql
def test_the_oldest_item_that_waits_counts_whatever_its_weight(make_queue: MakeQueue, service: QueueService) -> None:
    queue = make_queue()
    queue.create_item("older", weight=5)
    with travel(500):
        queue.create_item("newer", weight=1)
        assert kinds(service, "jobs") == []
        assert kinds(service, "jobs", oldest=400) == [("late", "jobs")]
    with travel(610):
        assert kinds(service, "jobs") == [("late", "jobs")]
        (trouble,) = troubles(service, ["jobs"])
        assert "'jobs'" in trouble.text and "longer than 600 s" in trouble.text


@only_sql
@pytest.mark.parametrize("hidden_by", ["delay", "lease"])
def test_what_is_hidden_does_not_wait_until_it_is_due(
    make_queue: MakeQueue, service: QueueService, hidden_by: str
) -> None:
    queue = make_queue()
    queue.create_item("x", delay=3_600 if hidden_by == "delay" else None)
    if hidden_by == "lease":
        assert queue.claim_item(3_600) is not None
    for seconds, found in ((3_500, []), (3_600 + 590, []), (3_600 + 610, [("late", "jobs")])):
        with travel(seconds):
            assert kinds(service, "jobs") == found


@once_per_database
@pytest.mark.parametrize("weight", [0, 99])
def test_of_many_weights_the_lightest_and_the_heaviest_are_looked_at(
    make_queue: MakeQueue, service: QueueService, weight: int
) -> None:
    queue = make_queue()
    queue.create_item("old", weight=weight)
    with travel(700):
        for other in range(1, 99):
            queue.create_item("new", weight=other)
        assert kinds(service, "jobs") == [("late", "jobs")]


# --- the database ---


def test_a_database_that_cannot_be_reached_is_a_trouble() -> None:
    service = QueueService("mysql+pymysql://nobody@127.0.0.1:1/nothing")
    service.database._patience = 0.1
    (trouble,) = troubles(service)
    assert (trouble.kind, trouble.queue) == ("database", "")
    assert "nobody" not in (told := ask(health_app(service, tells=True))[2].decode()) and '"database"' in told
    service.close()


def test_whatever_an_engine_of_the_application_raises_is_a_trouble() -> None:
    def refuse() -> None:
        raise RuntimeError("no token for app-user")

    engine = create_engine("sqlite://", creator=refuse)
    status, _headers, body = ask(health_app(QueueService(engine), tells=True))
    assert status == "503 Service Unavailable"
    assert json.loads(body)["troubles"] == [
        {"kind": "database", "queue": "", "text": "the database cannot be reached, or not be read"}
    ]


# --- over HTTP ---


def ask(app: Any, method: str = "GET") -> tuple[str, dict[str, str], bytes]:
    """Status, headers and body of an answer."""
    environ: dict[str, Any] = {}
    setup_testing_defaults(environ)
    environ["REQUEST_METHOD"] = method
    said: list[Any] = []
    body = b"".join(app(environ, lambda status, headers: said.extend([status, dict(headers)])))
    return said[0], said[1], body


@once_per_database
def test_strangers_learn_whether_all_is_well_and_nothing_else(served: BatchQueue, service: QueueService) -> None:
    status, headers, body = ask(health_app(service))
    assert (status, json.loads(body)) == ("503 Service Unavailable", {"status": "failing"})
    assert (headers["Content-Type"], headers["Cache-Control"]) == ("application/json", "no-store")
    beat(service, "jobs")
    status, _headers, body = ask(health_app(service))
    assert (status, json.loads(body)) == ("200 OK", {"status": "ok"})


@once_per_database
def test_the_answer_tells_more_only_where_it_may(served: BatchQueue, service: QueueService) -> None:
    (told,) = json.loads(ask(health_app(service, tells=True))[2])["troubles"]
    assert (told["kind"], told["queue"]) == ("unserved", "jobs") and "taskqueue work" in told["text"]
    beat(service, "jobs")
    assert json.loads(ask(health_app(service, tells=True))[2]) == {"status": "ok", "troubles": []}


@once_per_database
def test_other_methods(served: BatchQueue, service: QueueService) -> None:
    app = health_app(service)
    status, headers, body = ask(app, "HEAD")
    assert (status, body) == ("503 Service Unavailable", b"") and int(headers["Content-Length"]) > 0
    for method in ("POST", "DELETE", "NONSENSE"):
        status, headers, body = ask(app, method)
        assert (status, headers["Allow"], body) == ("405 Method Not Allowed", "GET, HEAD", b"")


@once_per_database
def test_who_asks_often_is_given_the_same_answer_for_a_while(served: BatchQueue, service: QueueService) -> None:
    app = health_app(service)
    assert ask(app)[0].startswith("503")
    beat(service, "jobs")
    assert ask(app)[0].startswith("503")
    with travel(2.1):
        assert ask(app)[0].startswith("200")


@pytest.fixture
def port(service: QueueService) -> Iterator[int]:
    """The port on which metrics are shown."""
    server = serve_metrics(service, 0)
    yield server.port
    server.close()


@once_per_database
def test_the_port_of_the_metrics_answers_too(served: BatchQueue, service: QueueService, port: int) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=20)
    with refused.value as answer:
        assert (answer.status, json.load(answer)["troubles"][0]["kind"]) == (503, "unserved")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as metrics:
        assert b"taskqueue_items" in metrics.read()
