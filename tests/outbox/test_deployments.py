"""What a later version of the application says of a queue that stands already."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from sqlalchemy.orm import Session

from taskqueue import ConfigurationError, QueueService
from taskqueue.outbox import Outbox, queued
from tests.outbox.conftest import book
from tests.outbox.services import Scripted

Start = Callable[..., tuple[Outbox, Scripted]]


@pytest.fixture
def start(url: str, service: QueueService) -> Iterator[Start]:
    """Starts a version of the application with one service: its outbox, and that."""
    with ExitStack() as stack:

        def one(**options: Any) -> tuple[Outbox, Scripted]:
            made = QueueService(url)
            stack.callback(made.close)
            outbox, scripted = Outbox(made), Scripted()
            outbox.register("scripted", scripted, **options)
            return outbox, scripted

        yield one


def stored(service: QueueService) -> tuple[Any, ...]:
    spec = QueueService(service.engine).load("outbox").spec
    return spec.lease_time, spec.batch_limit, spec.keep_result


@pytest.mark.parametrize("how", ["prepare", "call", "call in a transaction that has written"])
def test_the_options_of_the_last_deployment_count(service: QueueService, start: Start, how: str) -> None:
    start(timeout="1m")[0].prepare()
    outbox, scripted = start(timeout="2m", chunk_size=3, keep="1h")

    if how == "prepare":
        outbox.prepare()
    elif how == "call":
        queued(scripted).work(1)
    else:
        with Session(outbox.queue_service.engine) as session:
            book(session, "first")
            queued(scripted, session).work(1)
            session.commit()

    assert stored(service) == (120, 3, 3600)


def test_a_version_that_runs_already_changes_nothing_back(service: QueueService, start: Start) -> None:
    old, scripted = start(timeout="1m")
    old.prepare()
    start(timeout="2m")[0].prepare()

    queued(scripted).work(1)

    assert old.flush() == 1
    assert stored(service)[0] == 120


def test_what_an_admin_has_stopped_stays_so(service: QueueService, start: Start) -> None:
    old, _scripted = start()
    old.prepare()
    old.suspend(queue="outbox")

    start(timeout="2m")[0].prepare()

    assert service.load("outbox").status == "paused"


def test_another_order_is_refused_by_prepare_and_told_by_calls(
    service: QueueService, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    start()[0].prepare()
    outbox, scripted = start(parallel=False)

    with pytest.raises(
        ConfigurationError, match=r"'scripted' says parallel=False, but its queue 'outbox' was made with"
    ):
        outbox.prepare()
    queued(scripted).work(1)
    queued(scripted).work(2)

    assert caplog.text.count("says parallel=False, but its queue 'outbox' was made with parallel=True") == 1
    assert outbox.flush() == 2
    service.delete("outbox")
    outbox.prepare()  # after a delete of another process
    assert QueueService(service.engine).load("outbox").spec.type == "Sql"


def test_a_queue_of_something_else_is_left_alone(service: QueueService, start: Start) -> None:
    service.create("Sql", "outbox")
    outbox, scripted = start()

    for use in (outbox.prepare, lambda: queued(scripted).work(1)):
        with pytest.raises(ConfigurationError, match="'outbox' of service 'scripted' exists, and is none of an outbox"):
            use()
    with Session(outbox.queue_service.engine) as session, pytest.raises(ConfigurationError, match="none of an outbox"):
        queued(scripted, session).work(1)
