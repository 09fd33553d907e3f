"""Log lines as JSON."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from taskqueue import QueueService, Runner, Task, TaskContext
from taskqueue.logs import JsonFormatter


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """What the loggers of the package write, formatted."""
    logger, written = logging.getLogger("taskqueue"), io.StringIO()
    handler, level = logging.StreamHandler(written), logger.level
    handler.setFormatter(JsonFormatter())
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield written
    logger.removeHandler(handler)
    logger.setLevel(level)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    """Each line as an object."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_says_when_who_and_what(stream: io.StringIO) -> None:
    logging.getLogger("taskqueue.worker").info("serves %s queues", 3)
    [line] = lines(stream)
    assert datetime.now(timezone.utc) - datetime.fromisoformat(line.pop("time")) < timedelta(minutes=1)
    assert line == {"level": "INFO", "logger": "taskqueue.worker", "message": "serves 3 queues"}


def test_the_time_is_utc_to_the_millisecond() -> None:
    record = logging.makeLogRecord({"msg": "x", "created": 1_700_000_000.5})
    assert json.loads(JsonFormatter().format(record))["time"] == "2023-11-14T22:13:20.500+00:00"


def chatty(ctx: TaskContext) -> None:
    """Say something, and fail."""
    ctx.log.info("half way")
    raise ValueError("no\nsuch file")


def test_the_lines_of_a_task_name_queue_item_and_attempt(stream: io.StringIO) -> None:
    queue = QueueService().create("Memory", "imports", error="delete")
    item = queue.enqueue(chatty)
    Runner(queue).run_all()
    said = next(line for line in lines(stream) if line["logger"] == "taskqueue.task")
    assert {key: said[key] for key in ("level", "queue", "item", "attempt", "message")} == {
        "level": "INFO", "queue": "imports", "item": item.id, "attempt": 1, "message": "half way",
    }  # fmt: skip
    failed = next(line for line in lines(stream) if line["logger"] == "taskqueue.execution.attempt")
    assert (failed["queue"], failed["item"], failed["attempt"]) == ("imports", item.id, 1)
    assert failed["message"] == "delete: ValueError: no\nsuch file"
    assert failed["title"] == f"{__name__}:chatty"
    assert frames(failed) == ["chatty"]


@pytest.mark.parametrize(
    "data, named",
    [
        (Task(chatty, title="Two\nlines"), " Two lines:"),
        ({"service": "w", "event": "good", "args": ["a secret"]}, " w.good:"),
        ({"password": "a secret"}, ""),
    ],
)
def test_for_humans_the_title_of_what_failed_stands_on_the_line_and_none_of_its_data(
    data: Any, named: str, caplog: pytest.LogCaptureFixture
) -> None:
    service = QueueService()

    def fail(ctx: TaskContext, data: Any) -> None:
        raise ValueError("oh")

    service.handler("ruled")(fail)
    queue = service.create("Memory", "imports", error="delete", payload=None if isinstance(data, Task) else "ruled")
    item = queue.create_item(data)
    Runner(queue).run_all()
    said = [record.getMessage() for record in caplog.records if record.name == "taskqueue.execution.attempt"]
    assert [line.split(" delete:")[0] for line in said] == [f"[imports #{item.id} attempt 1]{named}"]
    assert "secret" not in caplog.text


def frames(line: dict[str, Any]) -> list[str]:
    """The functions that the traceback of a line goes through."""
    return re.findall(r'^  File ".*", line \d+, in (.*)$', line["exception"], re.MULTILINE)


def test_a_failure_that_no_code_of_the_task_raised_has_no_traceback(stream: io.StringIO) -> None:
    queue = QueueService().create("Memory", "imports", error="delete")
    queue.create_item(Task(chatty, run_as={"contact_id": 7}))
    Runner(queue).run_all()
    [failed] = lines(stream)
    assert failed["message"].startswith("delete: ConfigurationError: the task has run_as")
    assert "exception" not in failed


def test_the_traceback_of_the_last_step_begins_at_its_code(stream: io.StringIO) -> None:
    queue = QueueService().create("Memory", "imports")
    Runner(queue, on_end=chatty).run_all()
    failed = next(line for line in lines(stream) if line["logger"] == "taskqueue.drive")
    assert frames(failed) == ["chatty"]


def test_the_traceback_after_a_commit_begins_at_the_task(stream: io.StringIO, tmp_path: Path) -> None:
    queue = QueueService(f"sqlite:///{tmp_path / 'a.db'}").create("Sql", "imports")
    queue.enqueue(fail_late)
    Runner(queue).run_all()
    failed = next(line for line in lines(stream) if line["message"].startswith("failed after its transaction"))
    assert frames(failed) == ["fail_late"]


def fail_late(ctx: TaskContext) -> None:
    """Commit, and fail then."""
    with ctx.transaction():
        pass
    raise ValueError("too late")


def test_an_exception_stands_on_the_same_line(stream: io.StringIO) -> None:
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        logging.getLogger("taskqueue.x").exception("went wrong", stack_info=True)
    assert stream.getvalue().count("\n") == 1
    [line] = lines(stream)
    assert line["exception"].startswith("Traceback (most recent call last):\n")
    assert "ValueError: first\nsecond" in line["exception"]
    assert "Stack (most recent call last):" in line["exception"]


@pytest.mark.parametrize("text", ["a\nb\rc", "\u2028 \x85 \x0c", "\ud800", '"\\', "\x1b[31m", "grüße"])
def test_no_text_breaks_a_line(stream: io.StringIO, text: str) -> None:
    logging.getLogger("taskqueue.x").warning("%s", text, extra={"queue": object()})
    assert len(stream.getvalue().splitlines()) == 1
    assert stream.getvalue().isascii()
    assert lines(stream)[0]["message"] == text


def test_logged_without_an_exception_none_is_shown(stream: io.StringIO) -> None:
    logging.getLogger("taskqueue.x").error("nothing was raised", exc_info=True)
    assert "exception" not in lines(stream)[0]
