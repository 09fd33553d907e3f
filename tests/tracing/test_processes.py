"""One trace across processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from taskqueue import BatchQueue, QueueService, run_loop
from taskqueue.execution.attempt import Execution
from taskqueue.execution.executors import Processes
from taskqueue.execution.holding import Holding
from taskqueue.execution.remote import RemoteContext, call_there
from taskqueue.spans import trace_of
from tests.tracing import jobs
from tests.tracing.collected import Collected, is_child, require

ROOT = Path(__file__).resolve().parents[2]


def work(folder: Path, *options: str, **environment: str) -> list[dict[str, Any]]:
    """Let a worker in a process of its own serve the database of the folder; its spans."""
    file = folder / "spans"
    own = {name: value for name, value in os.environ.items() if not name.startswith(("TASKQUEUE_", "OTEL_"))}
    own |= {"PYTHONPATH": str(ROOT), "SPANS_FILE": str(file), "TASKQUEUE_DATABASE_URL": url(folder), **environment}
    command = [sys.executable, "-W", "error", "-m", "taskqueue", "--app", "tests.tracing.app:service", "work",
               "--drain", *options]  # fmt: skip
    done = subprocess.run(command, env=own, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()] if file.exists() else []


def url(folder: Path) -> str:
    return f"sqlite:///{folder / 'test.db'}"


@pytest.fixture
def service(tmp_path: Path) -> Any:
    """A service on a file, which the worker uses as well."""
    made = QueueService(url(tmp_path))
    yield made
    made.close()


@pytest.mark.parametrize("options", [(), ("--processes", "2")])
def test_a_worker_elsewhere_goes_on_with_the_trace(
    service: QueueService, tmp_path: Path, made: Collected, options: tuple[str, ...]
) -> None:
    queue = service.create("SqlParallel", "jobs", agent="server", error="dead")
    queue.enqueue(jobs.note, "argument-of-the-task", title="title-of-the-task")
    queue.enqueue(jobs.fail)

    found = work(tmp_path, *options, TASKQUEUE_TRACING="1")

    sent = {f"0x{span.context.span_id:016x}": span for span in made.named("send jobs")}
    assert len(found) == len(sent) == 2
    for span in found:
        producer = sent.pop(span["parent_id"])
        assert span["context"]["trace_id"] == f"0x{producer.context.trace_id:032x}"
        assert (span["name"], span["kind"]) == ("process jobs", "SpanKind.CONSUMER")
    assert {span["attributes"]["taskqueue.outcome"] for span in found} == {"ok", "dead"}
    assert not any(word in json.dumps(found) for word in ("argument-of", "title-of", "hunter2"))


@pytest.mark.slow
def test_the_end_of_a_task_that_took_too_long_is_exported(
    service: QueueService, tmp_path: Path, made: Collected
) -> None:
    queue = service.create("SqlParallel", "jobs", agent="server", error="dead", lease_time=0.5)
    queue.enqueue(jobs.hang)
    [span] = work(tmp_path, TASKQUEUE_TRACING="1")
    assert span["parent_id"] == f"0x{made.one('send jobs').context.span_id:016x}"
    assert (span["attributes"]["taskqueue.outcome"], span["status"]["status_code"]) == ("dead", "ERROR")
    assert span["events"][0]["attributes"]["exception.type"] == "taskqueue.errors.TaskTimeout"


def test_nobody_is_traced_who_does_not_ask(service: QueueService, tmp_path: Path) -> None:
    require()
    service.create("SqlParallel", "jobs", agent="server", error="dead").enqueue(jobs.note)
    assert work(tmp_path) == []
    assert service.load("jobs").number_of_items() == 0


def test_an_executor_goes_on_with_the_trace_if_opentelemetry_is_in_use_there(made: Collected) -> None:
    with made.tracer.start_as_current_span("task") as span:
        there = RemoteContext("jobs", 1, "", 1)
    context = span.get_span_context()
    trace = trace_of(context)
    answer = call_there("tests.tracing.jobs:current_ids", there, (), {}, True, trace)
    assert answer.value == [context.trace_id, context.span_id]
    assert call_there("tests.tracing.jobs:current_ids", there, (), {}, True).value == [0, 0]


def test_the_calls_of_an_executor_are_traced_here(queue: BatchQueue, made: Collected) -> None:
    queue.enqueue(jobs.is_opentelemetry_loaded)
    with Processes(1) as executor, Holding(queue) as holding:
        [item] = queue.claim_items(1)
        holding.adopt([item])
        attempt = Execution(holding, executor=executor).run(item)
    # Nothing loads it there only because it is loaded here.
    assert attempt.outcome == "ok"
    assert is_child(made.one("process jobs"), made.one("send jobs"))


def test_nothing_of_it_is_loaded_until_it_is_asked_for() -> None:
    code = (
        "import sys, taskqueue.cli.work, taskqueue.cli.group, taskqueue.tracing; print('opentelemetry' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_without_it_instrument_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "import taskqueue.tracing as t\n"
        "try:\n    t.instrument()\nexcept Exception as error:\n    print(type(error).__name__, error)\n"
        "t.uninstrument()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("ConfigurationError traces need the package opentelemetry-api")
    assert "taskqueue-runner[tracing]" in done.stdout


def test_a_run_in_the_middle_of_a_trace_has_a_link_to_it(queue: BatchQueue, made: Collected) -> None:
    queue.enqueue(jobs.note)
    with made.tracer.start_as_current_span("request") as request:
        run_loop(queue)
    processed = made.one("process jobs")
    assert is_child(processed, made.one("send jobs"))
    assert [link.context.span_id for link in processed.links] == [request.get_span_context().span_id]
