"""What the tests of the dashboard's plans and costs look at: a database of any size, and the addresses of all pages.

The rows lie where they hurt most: the queues that are asked for have the lowest ids, below all that other queues hold,
so that whoever goes through the ids of all queues to find theirs goes through nearly everything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import pytest
from flask import Flask
from flask.testing import FlaskClient

from taskqueue import QueueService, Task
from taskqueue.dashboard import bulk, overview
from taskqueue.dashboard import lists as lists_module
from taskqueue.dashboard.filters import AGES, ITEM_STATES, OUTCOMES
from taskqueue.operations.call import STATES
from taskqueue.spec import OPERATION_PAYLOAD, OUTBOX_PAYLOAD
from taskqueue.storage.presence import TOKEN_LENGTH
from taskqueue.storage.schema import DELAYED, LEASED, READY
from taskqueue.storage.transaction import Transaction
from taskqueue.storage.trends import ALL_QUEUES, HOUR, MINUTE
from taskqueue.web import TaskQueue

#: Where the pages are.
HOME = "/queue/dashboard"
#: What is asked for: "mail" has two weights and most dead letters, "archive" what is leased and delayed, "spread" more
#: weights than are looked at one by one, "post" is an outbox, "calls" holds calls of operations.
QUEUES = ("archive", "calls", "import", "mail", "post", "spread", *(f"small-{number:02}" for number in range(4)))
#: Hidden from some visitors.
SECRET = "small-03"
WEIGHTS = 40
_HOUR = 3_600_000
_DAY = 24 * _HOUR
_TOKENS = tuple(f"{number:0{TOKEN_LENGTH}x}" for number in range(20))
#: Up to what is counted, or looked through, in one go.
_LIMITS = (
    (overview, "MOST"), (bulk, "MOST"), (lists_module, "_PART"), (lists_module, "_AT_ONCE"), (lists_module, "_ENDINGS"),
)  # fmt: skip
TABLES = ("item", "dead", "ending", "run", "run_log", "operation", "audit", "trend", "holder", "activity", "queue",
          "periodic")  # fmt: skip


@dataclass(frozen=True)
class Amounts:
    """How much there is."""

    #: Items that are ready, dead letters, and endings that were written down.
    items: int
    dead: int
    endings: int
    #: Items of "archive" that are leased, and as many that are delayed.
    hidden: int
    #: Runs, calls of operations, and lines in the log of what was done by hand: so many of each.
    others: int


@dataclass
class Stage:
    """A filled database, and who looks at it."""

    service: QueueService
    amounts: Amounts
    #: Sees all queues.
    admin: FlaskClient
    #: Sees all but one.
    guest: FlaskClient

    def forget(self) -> None:
        """Let nothing be known from before."""
        for client in (self.admin, self.guest):
            client.application.extensions["taskqueue"]["taskqueue"].overview.forget()

    def get(self, address: str, client: FlaskClient | None = None) -> Any:
        """A page, which has to be there."""
        answer = (client or self.admin).get(HOME + address)
        assert answer.status_code == 200, (address, answer.status_code, answer.text[:500])
        return answer


def stage(service: QueueService, amounts: Amounts) -> Stage:
    """Fill an empty database."""
    for name in QUEUES:
        payload = {"post": OUTBOX_PAYLOAD, "calls": OPERATION_PAYLOAD}.get(name)
        options: dict[str, Any] = {"payload": payload} if payload else {}
        service.create("SqlParallel", name, **options)
    service.database.transaction(lambda tx: _Filling(service, tx, amounts).all())
    see_all, see_some = (lambda _action, _queue: True), (lambda _action, queue: queue != SECRET)
    return Stage(service, amounts, _client(service, see_all), _client(service, see_some))


def _client(service: QueueService, may: Callable[[str, str | None], bool]) -> FlaskClient:
    app = Flask("stage")
    app.secret_key = "only for this test"
    TaskQueue(app, service, authorize_dashboard=may, identity=lambda: "ann")
    return app.test_client()


class _Filling:
    def __init__(self, service: QueueService, tx: Transaction, amounts: Amounts) -> None:
        self._codec = service.settings.codec
        self._tx = tx
        self._amounts = amounts
        self._now = int(tx.row("SELECT {now}")[0])
        self._ids = iter(range(1, 10**9))

    def all(self) -> None:
        """Everything. Ids ascend in the order in which it is said here."""
        amounts = self._amounts
        third = amounts.items // 3
        self._items("archive", amounts.hidden, LEASED, self._now + 10 * _HOUR, holder=True)
        self._items("archive", amounts.hidden, DELAYED, self._now + 10 * _DAY)
        self._items("archive", 20, LEASED, self._now - 1000, holder=True)
        self._items("archive", 20, DELAYED, self._now - 1000)
        self._dead("mail", amounts.dead * 2 // 3)
        self._items("mail", third - 400)
        self._items("mail", 400, weight=5)
        for weight in range(WEIGHTS):
            self._items("spread", 5, weight=weight)
        self._items("post", 200)
        self._items("archive", third)
        self._dead("import", amounts.dead // 3)
        self._items("import", third)
        for name in QUEUES:
            if name.startswith("small"):
                self._items(name, 7)
        if self._tx.dialect.name == "postgresql":  # which does not look at the ids that others have brought
            self._tx.row("SELECT setval('{item}_id_seq', :next)", next=next(self._ids))
        self._endings()
        self._runs()
        self._calls()
        self._rest()

    def _titled(self, name: str, number: int) -> str:
        return self._codec.pack(
            Task("operator:add", (number, 1), title=f"Import customer {number} of Müller"), name, ""
        )

    def _items(
        self, name: str, count: int, state: int = READY, until: int = 0, *, weight: int = 0, holder: bool = False
    ) -> None:
        failed = state == DELAYED
        rows = [
            (number, name, "", weight, self._now - _DAY // 2 + number, int(holder), int(holder), int(failed),
             self._titled(name, number), state, until + (number if until else 0),
             f"{_TOKENS[number % 20]}.{number}" if holder else "",
             "ValueError: row 17 has no e-mail address" if failed else None)
            for number, _count in zip(self._ids, range(count), strict=False)
        ]  # fmt: skip
        self._tx.fill(
            "{item}",
            ("id", "queue_name", "uid", "weight", "submit_time", "run_count", "fence", "failures", "data", "state",
             "release_time", "holder", "last_error"), rows,
        )  # fmt: skip

    def _dead(self, name: str, count: int) -> None:
        rows = [
            (number, name, "", 0, self._now - _DAY, 3, 3, 3, self._titled(name, number),
             "ConnectionError: host smtp.example.com did not answer", self._now - _DAY // 2 + number, "Traceback …")
            for number, _count in zip(self._ids, range(count), strict=False)
        ]  # fmt: skip
        self._tx.fill(
            "{dead}",
            ("id", "queue_name", "uid", "weight", "submit_time", "run_count", "fence", "failures", "data", "error",
             "dead_time", "traceback"), rows,
        )  # fmt: skip

    def _endings(self) -> None:
        # Those of "mail" came first; what failed stands among what was done by hand.
        outcomes = ("retry", "dead", "delete", "abort", "skipped", "cancelled", "revived")
        rows = [
            (number + 1, "mail" if number < self._amounts.endings // 2 else "import", number + 1,
             outcomes[number % len(outcomes)], 1, "TimeoutError: took too long", self._now - _DAY // 2 + number)
            for number in range(self._amounts.endings)
        ]  # fmt: skip
        self._tx.fill("{ending}", ("id", "queue_name", "item_id", "outcome", "attempt", "error", "end_time"), rows)

    def _runs(self) -> None:
        number_of = self._amounts.others
        definition = self._codec.pack({"title": "A run"}, "mail", "")
        rows = [
            (_hex(number), "mail" if number < number_of // 2 else "import", "ann", definition,
             "running" if number % 300 == 1 else "completed", self._now - _DAY + number, self._now - _DAY + number,
             0 if number % 300 == 1 else self._now - _HOUR + number)
            for number in range(number_of)
        ]  # fmt: skip
        self._tx.fill("{run}", ("id", "queue_name", "owner", "definition", "status", "create_time", "start_time",
                                "end_time"), rows)  # fmt: skip
        # The latest run of "mail" has a long log, and so have some others.
        log = [(_hex(number_of // 2 - 1 if number % 2 else number % 50), self._now, "info", "done", number, "x")
               for number in range(5 * number_of)]  # fmt: skip
        self._tx.fill("{run_log}", ("run_id", "time", "level", "kind", "item_id", "message"), log)

    def _calls(self) -> None:
        number_of = self._amounts.others
        # The latest ones are open; the states of the others take turns.
        ended = ("succeeded", "failed", "expired")
        rows = [
            (_hex(number), "note", "user:ann", "calls", 10**8 + number, "",
             ended[number % 3] if number < number_of - 60 else "", self._now - _DAY + number,
             self._now - _HOUR if number < number_of - 60 else 0, 0, self._now + _DAY, "")
            for number in range(number_of)
        ]  # fmt: skip
        self._tx.fill(
            "{operation}",
            ("id", "name", "owner", "queue_name", "item_id", "fingerprint", "state", "create_time", "end_time",
             "lasting", "expire_time", "request"), rows,
        )  # fmt: skip

    def _rest(self) -> None:
        number_of = self._amounts.others
        self._tx.fill("{audit}", ("time", "actor", "action", "queue_name", "item_id", "detail"), [
            (self._now - _DAY + number, "user:ann", "retry", "mail" if number < number_of // 2 else "import",
             number + 1, "")
            for number in range(number_of)
        ])  # fmt: skip
        self._tx.fill("{trend}", ("queue_name", "resolution", "start", "done", "depth"), [
            (name, resolution, self._now - self._now % (resolution * 1000) - back * resolution * 1000, 3, 1000)
            for name in (ALL_QUEUES, *QUEUES)
            for resolution in (HOUR, MINUTE)
            for back in range(min(number_of, 900))
        ])  # fmt: skip
        self._tx.fill("{holder}", ("token", "label", "start_time", "beat_time", "beat_period", "worker"), [
            (token, "taskqueue work (host, pid 7)", self._now - _DAY, self._now - 5000, 3000,
             '{"host": "host", "pid": 7, "queues": ["mail"], "threads": 1, "state": "serving"}' if place < 5 else None)
            for place, token in enumerate(_TOKENS)
        ])  # fmt: skip
        self._tx.fill("{activity}", ("item_id", "queue_name", "fence", "start_time", "message"), [
            (10**8 + number, "elsewhere", 1, self._now, "") for number in range(number_of)
        ])  # fmt: skip
        self._tx.fill(
            "{periodic}", ("name", "queue_name", "cron", "timezone", "uid", "data", "next_time", "create_time"),
            [(f"each night {number}", "mail", "0 3 * * *", "UTC", "", self._titled("mail", number), self._now + _DAY, 0)
             for number in range(5)],
        )  # fmt: skip


def _hex(number: int) -> str:
    return f"{number:032x}"


# --- addresses -----------------------------------------------------------------------------------

_ASKED = ("mail", "archive", "import", "spread", "small-00")


def lists() -> Iterator[str]:
    """The lists with each filter, and some filters together."""
    queues = [{}, *({"queue": name} for name in _ASKED)]
    times: list[dict[str, str]] = [{}, *({"since": age} for age in AGES), *({"until": age} for age in AGES)]
    texts = [{}, {"text": "customer 199"}, {"text": "nowhere"}, {"text": "müller"}]
    for page, states in (("items", ITEM_STATES), ("dead", ()), ("history", tuple(OUTCOMES))):
        each_state = [{}, *({"state": state} for state in states)]
        yield from _addresses(page, queues, each_state)
        yield from _addresses(page, times, [{}, {"queue": "mail"}])
        if page != "history":
            yield from _addresses(page, texts[1:], [{}, {"queue": "mail"}, {"queue": "archive"}])
    yield from _addresses("items", texts[1:], [{"state": state} for state in ITEM_STATES])
    yield "/items?queue=mail&state=waiting&since=1d&until=5m&text=customer"
    yield "/dead?queue=mail&since=1d&until=5m&text=customer"
    yield "/history?queue=mail&state=failed&since=1d&until=5m"


def other_pages() -> Iterator[str]:
    """What is no list of items, dead letters or history."""
    yield ""
    yield "?from=5"
    periods = [{}, *({"period": period} for period in ("hour", "day", "week"))]
    for name in _ASKED:
        yield from _addresses(f"queues/{name}", periods, [{}])
    yield from _addresses("charts", periods, [{}, {"queue": "mail"}])
    yield from ("/workers", "/schedules", "/outbox", "/outbox?queue=post")
    for page in ("runs", "audit"):
        yield from _addresses(page, [{}, {"queue": "mail"}, {"queue": "import"}, {"queue": "small-00"}], [{}])
    yield from _addresses("operations", [{}, *({"state": state} for state in STATES)], [{}])


def confirmations() -> Iterator[str]:
    """The pages that count before much is done."""
    queues, texts = [{}, {"queue": "mail"}, {"queue": "archive"}], [{}, {"text": "customer 199"}]
    for verb, refused in (("retry", {"waiting", "running"}), ("skip", {"running"}), ("delete", set[str]())):
        states = ({}, *({"state": one} for one in ITEM_STATES if one not in refused))
        some = [{"what": "items", "verb": verb, **state} for state in states]
        yield from _addresses("confirm", some, queues)
    yield from _addresses("confirm", [{"what": "items", "verb": "delete", **text} for text in texts], queues)
    for verb in ("revive", "delete"):
        yield from _addresses("confirm", [{"what": "dead", "verb": verb, **text} for text in texts], queues)


def item_pages(here: Stage) -> Iterator[str]:
    """An item in each state, a dead letter, and one of which nothing but its history is left."""
    for query in (
        "items?queue=mail&",
        "items?queue=archive&state=running&",
        "items?queue=archive&state=scheduled&",
        "dead?",
    ):
        answer = here.get(f"/{query}format=json").json
        (found,) = (answer[name] for name in ("items", "dead") if name in answer)
        yield f"/queues/{found[0]['queue']}/items/{found[0]['id']}"
    yield "/queues/mail/items/1"


def next_pages(here: Stage) -> Iterator[str]:
    """The second page of each list that has one."""
    for address in ("/items?", "/items?queue=mail&", "/items?queue=archive&", "/items?state=scheduled&", "/dead?",
                    "/dead?queue=mail&", "/history?", "/history?queue=mail&", "/history?state=failed&", "/runs?",
                    "/runs?queue=mail&", "/outbox?", "/operations?", "/operations?state=succeeded&", "/audit?",
                    "/audit?queue=mail&"):  # fmt: skip
        place = here.get(f"{address}format=json").json["next"]
        if here.amounts.items > 5_000:
            assert place, address
        if place:
            yield f"{address}after={place}"


def pages(here: Stage) -> list[str]:
    """All of them."""
    parts: list[Iterable[str]] = [lists(), other_pages(), confirmations(), item_pages(here), next_pages(here)]
    return list(dict.fromkeys(address for part in parts for address in part))


def _addresses(page: str, *choices: list[dict[str, str]]) -> Iterator[str]:
    first, second = choices
    for one in first:
        for other in second:
            query = urlencode({**one, **other})
            yield f"/{page}{'?' * bool(query)}{query}"


def end_soon(patch: pytest.MonkeyPatch, most: int) -> None:
    """Let counting and searching come to their end after so many."""
    for module, name in _LIMITS:
        patch.setattr(module, name, most)
    patch.setattr(lists_module, "_PATIENCE", 0.0)
    patch.setattr(lists_module, "_PATIENCE_TO_COUNT", 0.0)
