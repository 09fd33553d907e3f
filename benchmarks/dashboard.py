"""How long an administrator waits for each page of the dashboard, with much in the queues."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from flask import Flask
from flask.testing import FlaskClient

from taskqueue import QueueService, Task
from taskqueue.spec import OPERATION_PAYLOAD, OUTBOX_PAYLOAD
from taskqueue.storage.presence import TOKEN_LENGTH
from taskqueue.storage.schema import DELAYED, LEASED
from taskqueue.storage.transaction import Transaction
from taskqueue.web import TaskQueue

from .load import Load
from .measure import Say
from .servers import Home
from .work import Wrong, argument, quiet

#: Milliseconds within which every page has to be there.
GOAL = 300
#: Each page is asked for so many times after the first.
_TIMES = 5
_HOME = "/queue/dashboard"
_TOKEN = "a" * TOKEN_LENGTH
#: How many changes of MariaDB and MySQL still have old versions that are to be removed; and how many always do.
_UNPURGED, _REST = "SELECT count FROM information_schema.innodb_metrics WHERE name = 'trx_rseg_history_len'", 100
#: So long (seconds) it is waited for that.
_SETTLES_WITHIN = 120.0
_AGES = ("5m", "1h", "1d", "7d", "30d")
_STATES = ("waiting", "running", "scheduled")


@dataclass(frozen=True)
class Size:
    """How much there is."""

    items: int
    dead: int
    queues: int


@dataclass
class PageFigures:
    """Milliseconds of one page."""

    database: str
    #: Its address without what differs from database to database.
    name: str
    #: The first time that it is asked for in a process: templates are compiled, connections opened.
    first: float
    #: Afterwards, with nothing known from before.
    again: list[float] = field(default_factory=list)
    foreign: float | None = None


def measure(home: Home, size: Size, *, rounds: int, say: Say) -> list[PageFigures]:
    """Fill a database, and ask for every page."""
    say(f"{home.name} dashboard: filling {size.queues} queues with {size.items:,} items")
    with ExitStack() as stack:
        url = home.fresh()
        service = QueueService(url, allow=["benchmarks"])
        stack.callback(service.close)
        _fill(service, size)
        admin = _Admin(service)
        paths = list(_paths(admin))
        load = Load()
        figures = [PageFigures(home.name, _name(path), admin.waits(path)) for path in paths]
        for number in range(rounds):
            for _time in range(_TIMES):
                for path, found in zip(paths, figures, strict=True):
                    found.again.append(admin.waits(path))
            slowest = max(figures, key=lambda found: max(found.again))
            most = f"{max(slowest.again):.0f} ms, {slowest.name}"
            say(f"{home.name} dashboard, round {number + 1} of {rounds}: at most {most}")
        for found in figures:
            found.foreign = load.foreign()
        return figures


class _Admin:
    """Who may do everything, in an application of their own."""

    def __init__(self, service: QueueService) -> None:
        app = Flask("dashboard")
        app.secret_key = "only for this benchmark"  # noqa: S105
        TaskQueue(app, service, authorize_dashboard=lambda _action, _queue: True, identity=lambda: "admin")
        self._client: FlaskClient = app.test_client()
        self._site = app.extensions["taskqueue"]["taskqueue"]

    def waits(self, path: str) -> float:
        """Milliseconds for a page, of which nothing is known from before."""
        self._site.overview.forget()
        began = time.perf_counter()
        answer = self._client.get(_HOME + path)
        milliseconds = (time.perf_counter() - began) * 1000
        if answer.status_code != 200:
            raise Wrong(f"{path}: {answer.status_code}")
        return milliseconds

    def found(self, path: str) -> dict[str, object]:
        """The facts of a page."""
        return dict(self._client.get(_HOME + path, headers={"Accept": "application/json"}).json or {})


# --- what is asked for ---------------------------------------------------------------------------


def _paths(admin: _Admin) -> Iterator[str]:
    yield from ("", "?from=10", "/queues/import", "/queues/mail", "/queues/archive", "/queues/archive?period=week")
    yield from ("/charts", "/charts?period=day", "/charts?queue=mail&period=week")
    yield from ("/workers", "/runs", "/runs?queue=mail", "/schedules", "/outbox", "/operations",
                "/operations?state=queued",
                "/operations?state=succeeded", "/audit", "/audit?queue=mail")  # fmt: skip
    yield from _items()
    for query in (
        "",
        "?queue=mail",
        "?text=customer+199",
        "?text=nowhere",
        "?queue=mail&text=smtp",
        "?since=1d",
        "?until=1h",
    ):
        yield f"/dead{query}"
    for query in ("", "?queue=mail", "?queue=archive", "?state=failed", "?state=delete", "?queue=mail&state=retry",
                  "?state=failed&since=1d", "?until=1h"):  # fmt: skip
        yield f"/history{query}"
    for path in (
        "/items?",
        "/items?queue=import&",
        "/items?queue=archive&",
        "/dead?",
        "/history?",
        "/items?state=scheduled&",
    ):
        yield f"{path}after={admin.found(path)['next']}"
    for query in (
        "what=items&verb=delete&queue=mail",
        "what=items&verb=delete&text=customer+199",
        "what=items&verb=skip",
        "what=items&verb=retry&state=scheduled",
        "what=dead&verb=delete",
        "what=dead&verb=revive&text=customer+199",
    ):
        yield f"/confirm?{query}"
    for path, name in (
        ("/items?queue=import", "items"),
        ("/items?queue=archive&state=running", "items"),
        ("/dead", "dead"),
    ):
        lines = admin.found(path)[name]
        assert isinstance(lines, list)
        yield f"/queues/{lines[0]['queue']}/items/{lines[0]['id']}"


def _name(path: str) -> str:
    return re.sub(r"(?<=after=).*|(?<=/items/).*", "…", path) or "overview"


def _items() -> Iterator[str]:
    yield "/items"
    yield from (f"/items?state={state}" for state in _STATES)
    for name in ("import", "mail", "archive"):
        yield f"/items?queue={name}"
        yield from (f"/items?queue={name}&state={state}" for state in _STATES)
    yield from (f"/items?since={age}" for age in _AGES)
    yield "/items?until=1h"
    for text in ("customer+199", "nowhere", "m%C3%BCller"):
        yield f"/items?text={text}"
        yield f"/items?queue=mail&text={text}"
        yield f"/items?queue=archive&state=scheduled&text={text}"
        yield f"/items?state=waiting&text={text}"


# --- what there is -------------------------------------------------------------------------------


def _fill(service: QueueService, size: Size) -> None:
    share = size.items // 100
    small = max(size.queues - 7, 1)

    def put(name: str, count: int, *, weight: int = 0, **options: Any) -> None:
        queue = (
            service.load(name) if service.exists(name) else service.create("SqlParallel", name, error="dead", **options)
        )
        queue.create_items(
            (Task(quiet, (argument(n),), title=f"Import customer {n} of Müller & Søn") for n in range(count)),
            weight=weight,
        )

    put("archive", 12 * share)  # what will be leased and delayed, and become dead letters: the lowest ids of all
    put("mail", 15 * share)
    put("mail", 5 * share, weight=5)
    put("import", 59 * share)
    put("reports", 3 * share)
    put("archive", 5 * share + size.dead)
    put("outbox", share // 2, payload=OUTBOX_PAYLOAD)
    service.create("Sql", "calls", payload=OPERATION_PAYLOAD)
    for weight in range(30):
        put("spread", share // 60, weight=weight)
    for number in range(small):
        put(f"small-{number:02}", 7)
    service.database.transaction(lambda tx: _alter(tx, size, share))
    _settle(service)


def _settle(service: QueueService) -> None:
    """Wait for what servers do in the background after so many changes: nobody has just filled a database like this."""
    with service.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("VACUUM ANALYZE")
        elif connection.dialect.name != "sqlite":
            give_up = time.monotonic() + _SETTLES_WITHIN
            while connection.exec_driver_sql(_UNPURGED).scalar_one() > _REST and time.monotonic() < give_up:
                time.sleep(0.5)


def _alter(tx: Transaction, size: Size, share: int) -> None:
    first = int(tx.row("SELECT MIN(id) FROM {item} WHERE queue_name = 'archive'")[0])
    last = int(tx.row("SELECT MAX(id) FROM {item} WHERE queue_name = 'archive'")[0])
    now = int(tx.row("SELECT {now}")[0])
    tx.change(f"UPDATE {{item}} SET state = {LEASED}, release_time = {now + 10**8}, holder = '{_TOKEN}.1', "
              f"run_count = 1, fence = 1 WHERE id >= {first} AND id < {first + 2 * share}")  # fmt: skip
    tx.change(f"UPDATE {{item}} SET state = {DELAYED}, release_time = {now + 10**8} + id, failures = 1, "
              "last_error = 'ValueError: row 17 has no e-mail address' "
              f"WHERE id >= {first + 2 * share} AND id < {first + 12 * share}")  # fmt: skip
    tx.fill("{holder}", ("token", "label", "start_time", "beat_time", "beat_period", "worker"),
            [(_TOKEN, "taskqueue work (host, pid 7)", now - 10**6, now, 3000, '{"host": "host"}')])  # fmt: skip
    # Half of them on a queue of which all others are younger.
    tx.change(
        "INSERT INTO {dead} (id, queue_name, uid, weight, submit_time, run_count, fence, failures, data, error, "
        f"dead_time, traceback) SELECT id, CASE WHEN id < {last - size.dead // 2} THEN 'mail' ELSE queue_name END, "
        "uid, weight, submit_time, 3, 3, 3, data, 'ConnectionError: host smtp.example.com did not answer', "
        f"{now - 10**7} + id - {last - size.dead}, 'Traceback' FROM {{item}} "
        f"WHERE id > {last - size.dead} AND id <= {last}"
    )
    tx.change(f"DELETE FROM {{item}} WHERE id > {last - size.dead} AND id <= {last}")
    tx.change("INSERT INTO {ending} (queue_name, item_id, outcome, attempt, error, end_time) "
              "SELECT queue_name, id, 'dead', 3, error, dead_time FROM {dead}")  # fmt: skip
    outcomes, number = ("retry", "dead", "cancelled", "retry"), 10 * share
    tx.fill("{ending}", ("queue_name", "item_id", "outcome", "attempt", "error", "end_time"), [
        ("mail" if n < number // 2 else "import", first + n, outcomes[n % 4], 1, "TimeoutError", now - 10**6 + n)
        for n in range(number)
    ])  # fmt: skip
    tx.fill("{run}", ("id", "queue_name", "owner", "definition", "status", "create_time", "start_time", "end_time"), [
        (f"{n:032x}", "mail" if n < share // 4 else "import", "admin", "{}", "running" if n % 500 == 1 else "completed",
         now - 10**7 + n, now - 10**7 + n, 0 if n % 500 == 1 else now - 10**6)
        for n in range(share // 2)
    ])  # fmt: skip
    tx.fill("{operation}", ("id", "name", "owner", "queue_name", "item_id", "fingerprint", "state", "create_time",
                            "end_time", "lasting", "expire_time", "request"), [
        (f"{n:032x}", "note", "user:admin", "calls", 10**9 + n, "", "succeeded" if n % 3 else "failed", now - 10**7 + n,
         now - 10**6, 0, now + 10**9, "") for n in range(share)
    ])  # fmt: skip
    tx.fill("{audit}", ("time", "actor", "action", "queue_name", "item_id", "detail"), [
        (now - 10**7 + n, "user:admin", "retry", "mail" if n < share // 2 else "import", first + n, "")
        for n in range(share)
    ])  # fmt: skip
    names = [row[0] for row in tx.rows("SELECT name FROM {queue}")]
    tx.fill("{trend}", ("queue_name", "resolution", "start", "done", "failed", "run_time", "ran_3", "depth"), [
        (name, width, now - now % (width * 1000) - back * width * 1000, 60, 1, 100, 61, 1000)
        for name in ("", *names) for width, number in ((60, 2 * 1440), (3600, 90 * 24)) for back in range(number)
    ])  # fmt: skip
