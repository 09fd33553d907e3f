"""What a page of the dashboard costs: the same whether there are two thousand of everything or twenty thousand."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from taskqueue import QueueService, travel
from taskqueue.dashboard import lists, overview
from taskqueue.queues.sql_base import process
from taskqueue.storage import browse, presence
from taskqueue.storage.transaction import Transaction
from tests.costs.examined import Examined
from tests.costs.meters import Meter
from tests.dashboard_stage import HOME, QUEUES, TABLES, Amounts, Stage, end_soon, pages, stage
from tests.databases import analyze, fresh_database
from tests.servers import ALL_DATABASES

each_database = pytest.mark.parametrize("database_url", ALL_DATABASES, indirect=True)

FEW = Amounts(items=2_000, dead=2_000, endings=2_000, hidden=200, others=1_000)
MANY = Amounts(items=20_000, dead=20_000, endings=20_000, hidden=200, others=10_000)
TINY = Amounts(items=300, dead=60, endings=60, hidden=20, others=60)
#: In place of what is counted, or looked through, at most.
CAP = 100
#: By how much two looks at the same page may differ: a place by time is found by halving, in three or four steps more
#: where there is ten times as much.
SLACK = {"sqlite": 1_500, "mysql": 60, "postgresql": 60}
#: What is gone through, on any database, for one row that is counted.
A_ROW = {"sqlite": 30, "mysql": 3, "postgresql": 3}
#: A state that no call has any more is looked for among all calls.
GROWS = re.compile(r"/operations\?state=(?!queued|scheduled|running|retrying)")
#: Statements of each page, for as many queues as ``QUEUES``; what is done for each queue is said below.
STATEMENTS = {
    "/items": 4, "/items?queue=mail": 12, "/items?queue=mail&state=waiting": 12,
    "/items?queue=archive&state=running": 4,
    "/items?queue=spread": 28, "/items?since=1d": 20, "/items?text=nowhere": 6, "/items?queue=mail&text=nowhere": 16,
    "/dead": 6, "/dead?queue=mail": 6, "/dead?text=nowhere": 6, "/history": 4, "/history?queue=mail&state=failed": 4,
    "/history?since=1d": 16, "/charts": 4, "/charts?queue=mail&period=week": 4, "/workers": 4, "/runs": 4,
    "/runs?queue=mail": 4, "/schedules": 4, "/operations": 4, "/operations?state=running": 4, "/audit": 4,
    "/audit?queue=mail": 4,
}  # fmt: skip
#: The overview: for each queue what is counted, and what is looked up where something stands: a statement for each
#: weight, of which there are few but in one queue here.
OVERVIEW, FOR_A_QUEUE, FOR_MANY_WEIGHTS = 14, 9, 90


class Two(NamedTuple):
    """Two databases that differ in nothing but how much is there."""

    few: Stage
    many: Stage

    @property
    def dialect(self) -> str:
        return self.few.service.database.dialect.name


@pytest.fixture(scope="module", params=ALL_DATABASES)
def two(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    services, stages = [], []
    for name, amounts in (("few", FEW), ("many", MANY)):
        url = fresh_database(request, tmp_path_factory, request.param, f"dashboard_{name}")
        services.append(QueueService(url, allow=["operator"]))
        stages.append(stage(services[-1], amounts))
        analyze(services[-1], TABLES)
    yield Two(*stages)
    for service in services:
        service.close()


@pytest.fixture
def capped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let counting and searching come to their end soon."""
    end_soon(monkeypatch, CAP)


def _sample(addresses: list[str]) -> list[str]:
    """Of those that differ in nothing but the queue, or the age, a few; the plan of each is judged elsewhere."""
    queues, ages = re.compile(r"queue=(import|small-\d+)|/queues/(import|small-\d+)$"), re.compile(r"=(1h|7d|30d)\b")
    return [address for address in addresses if not queues.search(address) and not ages.search(address)]


def _examined(here: Stage, address: str, *, live: bool = False) -> int:
    """What the database goes through for a page of which nothing is known from before."""
    examined = Examined(here.service)
    headers = {"X-Taskqueue-Live": "1"} if live else {}

    def look() -> None:
        here.forget()
        assert here.admin.get(HOME + address, headers=headers).status_code == 200

    look()  # not the first, by which PostgreSQL marks what has left its place
    return examined.by(look)


@pytest.mark.usefixtures("capped")
def test_given_ten_times_as_much_when_a_page_is_asked_for_then_no_more_is_examined(two: Two) -> None:
    few, many = (_sample(pages(here)) for here in two)
    assert len(few) == len(many) > 60
    grown: dict[str, tuple[int, int]] = {}

    for little, much in zip(few, many, strict=True):
        if GROWS.match(much):
            continue
        costs = _examined(two.few, little), _examined(two.many, much)
        if costs[1] > costs[0] + SLACK[two.dialect]:
            grown[much] = costs

    assert grown == {}


@pytest.mark.usefixtures("capped")
def test_given_a_state_that_no_call_has_when_it_is_asked_for_then_each_call_is_looked_at_once(two: Two) -> None:
    cost = _examined(two.many, "/operations?state=cancelled")

    assert cost <= 4 * A_ROW[two.dialect] * MANY.others


@pytest.mark.usefixtures("capped")
@pytest.mark.parametrize("most", [1_000, 4_000])
def test_given_much_when_it_is_counted_then_no_more_is_examined_than_is_counted(
    two: Two, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = _examined(two.many, "/queues/mail")
    monkeypatch.setattr(overview, "MOST", most)

    cost = _examined(two.many, "/queues/mail")

    # What is ready, dead letters, and what has failed lately, of three queues: of others there is less.
    assert base + most < cost <= base + 9 * most * A_ROW[two.dialect]


@each_database
def test_given_many_leases_when_the_oldest_sign_of_life_is_looked_for_then_no_more_are_looked_at_than_asked_for(
    service: QueueService,
) -> None:
    queue = service.create("SqlParallel", "held", batch_limit=1_000)
    queue.create_items(map(str, range(1_000)))
    assert len(queue.claim_items(1_000, lease_time=600)) == 1_000
    database, examined = service.database, Examined(service)
    database.statement(lambda tx: presence.beat(tx, process.token, process.label, 3_000))
    analyze(service, TABLES)

    def look(most: int) -> Callable[[], None]:
        def once() -> None:
            assert database.statement(lambda tx: browse.oldest_beat(tx, "held", most)) is not None

        once()
        return once

    assert 5 * examined.by(look(10)) < examined.by(look(1_000))


@pytest.mark.usefixtures("capped")
@pytest.mark.parametrize("address", ["", "/items", "/items?queue=archive", "/dead", "/queues/mail", "/outbox"])
def test_given_nothing_has_changed_when_a_page_is_asked_for_again_by_its_script_then_it_costs_the_same(
    two: Two, address: str
) -> None:
    once = _examined(two.many, address)

    for _ in range(3):
        assert _examined(two.many, address, live=True) <= once + SLACK[two.dialect]


# --- statements ---------------------------------------------------------------------------------


@each_database
def test_given_a_page_when_it_is_asked_for_then_so_many_statements_are_sent_and_nothing_is_written(
    service: QueueService, meter: Meter, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = stage(service, TINY)
    monkeypatch.setattr(lists, "_PATIENCE", 0.0)
    monkeypatch.setattr(lists, "_PATIENCE_TO_COUNT", 0.0)
    most = {
        **STATEMENTS,
        "": OVERVIEW + FOR_A_QUEUE * len(QUEUES) + FOR_MANY_WEIGHTS,
        "/outbox": 10 + 3 * len(QUEUES),
        "/queues/mail": 16 + 3 * len(QUEUES),
        "/dead": 6 + len(QUEUES),
        "/dead?text=nowhere": 6 + len(QUEUES),
        "/items?state=waiting": 6 + FOR_A_QUEUE * len(QUEUES) + FOR_MANY_WEIGHTS,
    }
    found = {address: _counted(here, meter, address) for address in most}

    assert {
        address: counted.statements for address, counted in found.items() if counted.statements > most[address]
    } == {}
    if service.database.dialect.name != "mysql":  # which writes to its log by itself
        assert {address for address, counted in found.items() if counted.commits} == set()


@each_database
def test_given_more_queues_when_the_overview_is_asked_for_then_a_few_statements_more_are_sent_for_each(
    service: QueueService, meter: Meter
) -> None:
    here = stage(service, TINY)
    before = _counted(here, meter, "").statements
    for number in range(10):
        service.create("SqlParallel", f"new-{number}").create_items(range(3))

    more = _counted(here, meter, "").statements - before

    assert 10 <= more <= 10 * FOR_A_QUEUE


def _counted(here: Stage, meter: Meter, address: str) -> Any:
    here.get(address)
    here.forget()
    before = meter.read()
    here.get(address)
    return meter.read() - before


# --- however many ask ---------------------------------------------------------------------------


def test_given_many_who_ask_when_two_seconds_have_not_passed_then_it_was_counted_once(
    service: QueueService, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, times, count = stage(service, TINY), list[int](), overview._count

    def counted(tx: Transaction, entries: Any) -> Any:
        times.append(1)
        return count(tx, entries)

    monkeypatch.setattr(overview, "_count", counted)
    assert overview._SHOWN_FOR == 2_000
    monkeypatch.setattr(overview, "_SHOWN_FOR", 200_000)  # for slow machines
    here.forget()

    _together(8, lambda: here.admin.application.test_client().get(HOME))
    here.get("")
    with travel(120):
        for address in ("", "/queues/mail", "/outbox"):
            here.get(address)
    assert len(times) == 1

    with travel(201):
        _together(8, lambda: here.admin.application.test_client().get(HOME))
    assert len(times) == 2


def _together(number: int, work: Callable[[], Any]) -> None:
    threads = [threading.Thread(target=work) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
