"""What a page costs that asks again and again how far a run is."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from flask import Flask

from taskqueue import QueueService, Task
from taskqueue.queues.sql_base import SqlBase
from taskqueue.runs.state import Definition
from taskqueue.runs.store import Runs
from taskqueue.web import TaskQueue, counts
from tests.costs.meters import Meter
from tests.costs.stands import BIG_ONES, FEW, HIDDEN, MANY, Stand, Stands
from tests.costs.tasks import nothing
from tests.servers import ALL_DATABASES

POLLS = 10
#: The run and its queue, what is in hand, what it waits for, the new lines of the log, and what frames all that.
STATEMENTS = 12
LEASED = 500


class Page:
    """The page of a run of a queue."""

    def __init__(self, service: QueueService, queue: SqlBase) -> None:
        app = Flask(__name__)
        app.secret_key = "only for tests"
        TaskQueue(app, service, authorize=lambda *_: True)
        self._client = app.test_client()
        self._state = f"/queue/run/{Runs.of(queue).create(queue, Definition('Big')).id}/state"

    def poll(self) -> int:
        """Ask as its script does; how many items it is told of."""
        answer = self._client.get(self._state)
        assert answer.status_code == 200, answer.text
        return int(answer.get_json()["progress"]["total"])


@pytest.fixture(autouse=True)
def _stopped_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """How often the queue is counted is a matter of time (see ``test_counting``): here it is once for each page."""
    monkeypatch.setattr(counts, "time", SimpleNamespace(monotonic=lambda: 0.0))


@pytest.mark.parametrize("database_url", ALL_DATABASES, indirect=True)
@pytest.mark.parametrize("type_name", ["Sql", "SqlParallel"])
def test_given_a_run_when_its_page_polls_then_that_costs_some_statements_and_no_commit(
    service: QueueService, meter: Meter, type_name: str
) -> None:
    queue = service.create(type_name, "many")
    assert isinstance(queue, SqlBase)
    queue.create_items(Task(nothing) for _ in range(FEW))
    queue.lease(10, 60_000)
    page = Page(service, queue)
    page.poll()
    before = meter.read()

    for _ in range(POLLS):
        page.poll()

    counted = meter.read() - before
    assert counted.statements <= POLLS * STATEMENTS
    assert counted.commits <= 2  # none of ours; MariaDB stores statistics by itself


@pytest.mark.parametrize("stand", [stand for stand in BIG_ONES if stand.hidden != "leased"], ids=str)
def test_given_much_in_a_queue_when_the_page_of_its_run_polls_then_no_more_is_examined_than_where_there_is_little(
    stands: Stands, stand: Stand
) -> None:
    few = _poll(stands, stands.small(stand))

    many = _poll(stands, stands.queues[stand])

    assert many <= stands.most(few)


@pytest.mark.parametrize("leased", [LEASED, HIDDEN])
def test_given_much_in_a_queue_before_what_is_leased_when_the_page_polls_then_no_more_is_examined_than_is_leased(
    stands: Stands, leased: int
) -> None:
    queue = stands.service.create("SqlParallel", f"leased-{leased}")
    assert isinstance(queue, SqlBase)
    queue.create_items((Task(nothing) for _ in range(leased)), weight=1)
    assert len(queue.lease(leased, 3_600_000)) == leased
    queue.create_items(Task(nothing) for _ in range(MANY))

    examined = _poll(stands, queue)

    each = 60 if stands.service.database.dialect.name == "sqlite" else 4
    assert leased <= examined <= each * leased


def _poll(stands: Stands, queue: SqlBase) -> int:
    """The most that a poll lets the database go through, once the queue was counted."""
    page = Page(stands.service, queue)
    assert page.poll() == queue.number_of_items()
    return max(stands.examined.by(page.poll) for _ in range(POLLS))
