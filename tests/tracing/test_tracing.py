"""Turning traces on and off, and what is in them."""

from __future__ import annotations

import configparser
import io
import json
import logging
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from taskqueue import BatchQueue, QueueService, Runner, Task, spans
from taskqueue.cli import main
from taskqueue.logs import JsonFormatter
from taskqueue.tracing import Instrumentor, instrument, instrument_if_asked, uninstrument
from tests.contract import tasks
from tests.tracing import jobs
from tests.tracing.collected import Collected, failures, require, status

ROOT = Path(__file__).resolve().parents[2]


def test_twice_is_once(queue: BatchQueue, made: Collected) -> None:
    instrument(made.provider)
    queue.enqueue(jobs.note)
    assert len(made.named("send jobs")) == 1
    uninstrument()
    uninstrument()
    queue.enqueue(jobs.note)
    assert len(made.named("send jobs")) == 1


@pytest.mark.parametrize(("value", "is_asked"), [("1", True), ("true", True), ("0", False), ("", False), (None, False)])
def test_the_environment_may_ask_for_it(value: str | None, is_asked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    require()
    if value is None:
        monkeypatch.delenv("TASKQUEUE_TRACING", raising=False)
    else:
        monkeypatch.setenv("TASKQUEUE_TRACING", value)
    instrument_if_asked()
    try:
        assert (spans.tracer is not None) is is_asked
    finally:
        uninstrument()


def test_the_command_line_asks_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from click.testing import CliRunner

    require()
    monkeypatch.setenv("TASKQUEUE_TRACING", "1")
    monkeypatch.chdir(tmp_path)
    CliRunner().invoke(main, ["list"])
    assert spans.tracer is not None
    uninstrument()


def test_auto_instrumentation_finds_us(made: Collected) -> None:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    name, _, value = parser["options.entry_points"]["opentelemetry_instrumentor"].strip().partition(" = ")
    uninstrument()
    found = metadata.EntryPoint(name, value, "opentelemetry_instrumentor").load()
    assert found is Instrumentor
    found().instrument(skip_dep_check=True)
    assert spans.tracer is not None
    found().uninstrument()
    assert spans.tracer is None


def test_a_failed_enqueueing_is_told(queue: BatchQueue, made: Collected) -> None:
    with pytest.raises(TypeError, match="secret"):
        queue.create_items(broken())
    sent = made.one("send jobs")
    assert status(sent) == ("ERROR", "TypeError: password=[hidden] secret")
    assert failures(sent) == [
        {"exception.type": "TypeError", "exception.message": "TypeError: password=[hidden] secret"}
    ]


def broken() -> Any:
    yield 1
    raise TypeError("password=hunter2 secret")


def test_no_argument_and_no_title_is_in_a_span(queue: BatchQueue, made: Collected) -> None:
    queue.create_item(Task(jobs.note, ("argument",), "title", kwargs={"name-of-keyword": "value"}))
    queue.create_item({"service": "argument", "event": "argument", "operation": "argument"})
    Runner(queue).run_all()
    assert len(made.named("process jobs")) == 2
    assert not any(word in made.text() for word in ("argument", "title", "keyword"))


def test_coroutines_and_threads_of_a_run_have_the_span(queue: BatchQueue, made: Collected) -> None:
    service = QueueService()
    kept = service.create("Memory", "kept", keep_result=60)
    items = [kept.enqueue(function) for function in (jobs.current_ids, jobs.awaited_ids)]
    Runner(kept).run_all()
    for item, span in zip(items, made.named("process kept"), strict=True):
        result = kept.result_of(item.id)
        assert result is not None
        assert result.value == [span.context.trace_id, span.context.span_id]


def test_lines_of_the_log_name_the_span(queue: BatchQueue, made: Collected) -> None:
    logger, written = logging.getLogger("taskqueue"), io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(JsonFormatter())
    logger.addHandler(handler)
    try:
        queue.enqueue(jobs.say)
        Runner(queue).run_all()
        logger.warning("outside")
    finally:
        logger.removeHandler(handler)
    *inside, outside = [json.loads(line) for line in written.getvalue().splitlines()]
    context = made.one("process jobs").context
    assert inside[0]["message"] == "half way"
    assert len(inside) == 2
    for line in inside:
        assert (line["queue"], line["item"], line["attempt"]) == ("jobs", 1, 1)
        assert (line["trace_id"], line["span_id"]) == (f"{context.trace_id:032x}", f"{context.span_id:016x}")
    assert "trace_id" not in outside


class Broken:
    """A processor that fails, and must not take an item with it."""

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        raise ValueError("on_start")

    def on_end(self, span: Any) -> None:
        raise ValueError("on_end")

    def _on_ending(self, span: Any) -> None:
        raise ValueError("on_ending")

    def shutdown(self) -> None:
        pass

    def force_flush(self, timeout_millis: int = 0) -> bool:
        raise ValueError("force_flush")


@pytest.mark.parametrize("moments", [("on_start",), ("on_end", "_on_ending"), ("force_flush",)])
def test_a_broken_processor_decides_no_fate(
    queue: BatchQueue, made: Collected, moments: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    broken: Any = Broken()
    for moment in {"on_start", "on_end", "_on_ending", "force_flush"} - set(moments):
        setattr(broken, moment, lambda *_args, **_kwargs: None)
    made.provider.add_span_processor(broken)
    queue.enqueue(tasks.note, 1)
    queue.create_items([Task(jobs.note)])
    assert Runner(queue).run_all()
    spans.flush()
    assert queue.number_of_items() == 0
    assert "and was ignored" in caplog.text or "could not be exported" in caplog.text
    from opentelemetry import trace

    assert not trace.get_current_span().get_span_context().is_valid


def test_an_interrupt_passes_and_is_no_failure(queue: BatchQueue, made: Collected) -> None:
    def interrupted(ctx: Any) -> None:
        raise KeyboardInterrupt

    queue.create_item(tasks.step(interrupted))
    with pytest.raises(KeyboardInterrupt):
        Runner(queue).run_all()
    processed = made.one("process jobs")
    assert (status(processed), failures(processed)) == (("UNSET", None), [])
    assert "taskqueue.outcome" not in processed.attributes
