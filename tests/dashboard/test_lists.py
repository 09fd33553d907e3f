"""Lists show exactly what a naive look at all rows finds, newest first, page by page, whatever comes and goes."""

# ruff: noqa: E501 (lists of texts)
from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, NamedTuple

import pytest

from taskqueue import QueueService, Task
from taskqueue.dashboard import lists as lists_module
from taskqueue.dashboard.bulk import Bulk
from taskqueue.dashboard.filters import AGES, OUTCOMES, Filter
from taskqueue.dashboard.lines import Names
from taskqueue.dashboard.lists import Lists
from taskqueue.errors import PayloadError
from taskqueue.item import name_of_data, title_of_data
from taskqueue.redact import redact_text
from taskqueue.showing import presentable
from taskqueue.storage.browse import Death
from taskqueue.storage.schema import DELAYED, LEASED, READY
from taskqueue.storage.transaction import Transaction
from tests.dashboard.conftest import MakeService

KEY = "a secret key of the tests"
SEEN, HIDDEN = ("first", "second", "third"), ("hidden",)
TITLES = [
    "50% off", "under_score", "back\\slash", 'quo"te', "apos'trophe", "ÄRGER mit Öl", "ärger mit öl", "Straße 5", "a/b.c:d-e",
    "new\nline", "tab\tulator", "日本語", "MiXeD Case", "<b>bold</b>", "%(name)s", "%%", "__", "…", "x" * 250, "emoji 🎉", "a  b",
]  # fmt: skip
PLAIN: list[Any] = [
    "plain text", "plain ÄÖ %_\\", 17, 1.5, None, True, [1, "two"], (1, 2), {"a": 1}, {"title": "dict's title"},
    {"title": 5}, {"password": "hunter2"}, {"deep": {"x": [None, False]}}, b"bytes", {"service": "mails", "event": "sent"},
    [["password", "x"]], {"é": "ü"}, "line\nbreak", "L" * 25_000, {"title": "T" * 25_000},
]  # fmt: skip
ERRORS = [
    None, None, "ValueError: boom", "100% FEHLER: Ärger", "a\\b\n second line", "password=hunter2 refused", "e" * 390 + "tail",
    "e" * 500 + "tail", "", "  \n  first\tline", "it's \"quoted\" _x_",
]  # fmt: skip
TEXTS = [
    "%", "_", "\\", '"', "'", "50%", "under_s", "ÄRGER", "ärger", "öl", "straße", "STRASSE 5", "mixed case", "日本", "🎉", "a/b.c",
    "plain", "{'a': 1}", "': 1", "(1, 2)", "[1, 'two']", "None", "True", "1.5", "17", "hunter", "tests.dashboard", "boom",
    "FEHLER: ä", "tail", "second line", "dict's title", "mails.sent", "é", "ü", "\\n", "b'", "xxxx", "LLLL", "TTTT", "deep",
    "first", "%(name)s", "nothing has this", "a  b", "title", "hidden",
]  # fmt: skip
_uids = count(1)


class Row(NamedTuple):
    id: int
    queue: str
    state: int
    release: int
    born: int
    text: tuple[str, ...]


def never(_ctx: Any, note: str = "") -> None:
    """What the tasks would call."""


def fill(service: QueueService, rng: random.Random, number: int, queues: Sequence[str]) -> None:
    """Items, dead letters and history of every kind; what is older than what may be asked for is so by a good margin."""
    for name in queues:
        queue = service.create(rng.choice(["Sql", "SqlParallel"]), name, reset=True)
        for _ in range(number):
            title, weight = rng.choice(TITLES), rng.choice([0, 0, 0, rng.randrange(-15, 25)])
            data = rng.choice([Task(never, kwargs={"note": rng.choice(TITLES)}, title=title), Task(never),
                               rng.choice(PLAIN), rng.choice(PLAIN)])  # fmt: skip
            queue.create_item(data, weight=weight)
    service.database.transaction(lambda tx: _alter(tx, rng))


def _alter(tx: Transaction, rng: random.Random) -> None:
    now = int(tx.row("SELECT {now}")[0])
    ids = [row[0] for row in tx.rows("SELECT id FROM {item} ORDER BY id")]
    ages = sorted((_age(rng) for _ in ids), reverse=True)  # ids grow with time
    for item_id, age in zip(ids, ages, strict=True):
        state = rng.choice([READY, READY, LEASED, DELAYED])
        release = 0 if state == READY else now + rng.choice([-1, 1]) * rng.randrange(600_000, 9_000_000)
        tx.change("UPDATE {item} SET state = :state, release_time = :release, submit_time = :born, last_error = :error, "
                  "failures = :failures WHERE id = :id", state=state, release=release, born=now - age, id=item_id,
                  error=rng.choice(ERRORS), failures=rng.randrange(3))  # fmt: skip
    moments = [now - _age(rng) for _ in range(8)]
    for item_id in rng.sample(ids, len(ids) // 3):
        tx.change("INSERT INTO {dead} (id, queue_name, uid, weight, submit_time, run_count, fence, failures, data, error, "
                  "dead_time) SELECT id, queue_name, uid, weight, submit_time, run_count, fence, failures, data, :error, "
                  ":died FROM {item} WHERE id = :id", id=item_id, error=rng.choice(ERRORS) or "e",
                  died=rng.choice(moments))  # fmt: skip
        tx.change("DELETE FROM {item} WHERE id = :id", id=item_id)
    names = [row[0] for row in tx.rows("SELECT DISTINCT queue_name FROM {item}")]
    for end in sorted((now - _age(rng) for _ in range(len(ids))), reverse=False):
        _end(tx, rng.choice(names), rng.choice(ids), rng.choice([*OUTCOMES, "reset", "pruned", "retry"][1:]), end)


def _end(tx: Transaction, name: str, item_id: int, outcome: str, moment: int) -> None:
    tx.change("INSERT INTO {ending} (queue_name, item_id, outcome, attempt, error, end_time) "
              "VALUES (:queue, :item, :outcome, 1, 'e', :moment)", queue=name, item=item_id, outcome=outcome,
              moment=moment)  # fmt: skip


def _age(rng: random.Random) -> int:
    """In ms; not within half a minute of what may be asked for."""
    while True:
        age = int(rng.choice([200, 2000, 50_000, 400_000, 1_500_000, 4_000_000]) * rng.random() * 1000)
        if all(abs(age - bound * 1000) > 60_000 for bound in AGES.values()):
            return age


# --- the naive look ------------------------------------------------------------------------------


def _called(service: QueueService, data: str, queue: str, uid: str, error: str | None) -> tuple[str, ...]:
    """What a line shows: title, callback, error."""
    shown = redact_text((error or "")[:400])
    if len(data) > 20_000:
        return "", "", shown
    try:
        found = service.settings.codec.unpack(data, queue, uid)
    except PayloadError:
        return "", "", shown
    callback = found.callback if isinstance(found, Task) else ""
    return name_of_data(found) or title_of_data(presentable(found)), callback, shown


def rows(service: QueueService, table: str) -> list[Row]:
    columns = {"item": "state, release_time, submit_time, last_error", "dead": "0, 0, dead_time, error"}[table]
    order = {"item": "id DESC", "dead": "dead_time DESC, id DESC"}[table]

    def read(tx: Transaction) -> list[Any]:
        return list(tx.rows(f"SELECT id, queue_name, uid, data, {columns} FROM {{{table}}} ORDER BY {order}"))

    return [
        Row(number, queue, state, release, born, _called(service, data, queue, uid, error))
        for number, queue, uid, data, state, release, born, error in service.database.statement(read, write=False)
    ]


def endings(service: QueueService) -> list[Row]:
    def read(tx: Transaction) -> list[Any]:
        return list(tx.rows("SELECT id, queue_name, end_time, outcome FROM {ending} ORDER BY id DESC"))

    found = service.database.statement(read, write=False)
    return [Row(number, queue, 0, 0, end, (outcome,)) for number, queue, end, outcome in found]


def now_of(service: QueueService) -> int:
    return int(service.database.statement(lambda tx: tx.row("SELECT {now}")[0], write=False))


def meant(row: Row, wanted: Filter, queues: Sequence[str], now: int) -> bool:
    """Whether the filter lets it pass."""
    if row.queue not in queues or (wanted.queue and row.queue != wanted.queue):
        return False
    if wanted.since and row.born < now - AGES[wanted.since] * 1000:
        return False
    if wanted.until and row.born >= now - AGES[wanted.until] * 1000:
        return False
    is_hidden = row.release > now
    state = {(LEASED, True): "running", (DELAYED, True): "scheduled"}.get((row.state, is_hidden), "waiting")
    if wanted.state and wanted.state in ("waiting", "running", "scheduled") and wanted.state != state:
        return False
    return not wanted.text or any(wanted.text.casefold() in each.casefold() for each in row.text)


def lists_of(service: QueueService, queues: Sequence[str], is_all: bool) -> Lists:
    names = Names(service.settings.codec.unpack, shows_data=lambda _name: True)
    return Lists(service, queues, is_all=is_all, names=names)


def all_pages(
    page: Callable[..., Any], wanted: Filter, size: int, between: Callable[[], None] = lambda: None
) -> list[int]:
    """The ids of all pages together."""
    found: list[int] = []
    after: Any = None
    for _ in range(10_000):
        answer = page(wanted, after, size)
        assert len(answer.lines) <= size
        found += [line["id"] for line in answer.lines]
        if answer.next is None:
            return found
        after = Death(*map(int, answer.next.split("."))) if "." in answer.next else int(answer.next)
        between()
    raise AssertionError("there is no end")


def filters(rng: random.Random, states: Sequence[str], number: int, texts: bool = True) -> list[Filter]:
    """Each text, each state, and any of them together."""
    found = [Filter(), *(Filter(state=state) for state in states), *(Filter(queue=name) for name in (*SEEN, *HIDDEN))]
    found += [Filter(text=text) for text in TEXTS] if texts else []
    for _ in range(number):
        found.append(Filter(rng.choice(["", "", *SEEN, *HIDDEN]), rng.choice(["", *states]),
                            rng.choice(["", "", *TEXTS]) if texts else "", rng.choice(["", "", *AGES]),
                            rng.choice(["", "", *AGES])))  # fmt: skip
    return found


# --- the tests -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("keys", "is_all"), [((), True), (KEY, False)], ids=["plain, all", "signed, some"])
def test_the_pages_of_a_list_are_what_a_naive_look_finds(make_service: MakeService, keys: Any, is_all: bool) -> None:
    service, rng = make_service(secret_key=keys), random.Random(f"{keys}{is_all}")
    queues = (*SEEN, *HIDDEN) if is_all else SEEN
    fill(service, rng, 28, (*SEEN, *HIDDEN))
    assert len(rows(service, "item")) > 60 < len(endings(service))
    lists, now = lists_of(service, queues, is_all), now_of(service)
    standing, letters, past = rows(service, "item"), rows(service, "dead"), endings(service)
    sizes = [1, 2, 3, 4, 5, 6, 7, *[50] * 7]
    for wanted in filters(rng, ("waiting", "running", "scheduled"), 25):
        expected = [row.id for row in standing if meant(row, wanted, queues, now)]
        assert all_pages(lists.items, wanted, rng.choice(sizes)) == expected, wanted
        if rng.random() < 0.3:
            _same_in_bulk(service, "items", wanted, queues, expected)
    for wanted in filters(rng, (), 15):
        expected = [row.id for row in letters if meant(row, wanted, queues, now)]
        assert all_pages(lists.dead, wanted, rng.choice(sizes)) == expected, wanted
        if rng.random() < 0.3:
            _same_in_bulk(service, "dead", wanted, queues, expected)
    for wanted in filters(rng, tuple(OUTCOMES), 40, texts=False):
        assert all_pages(lists.history, wanted, rng.choice(sizes)) == ended(past, wanted, queues, now), wanted


def ended(past: Sequence[Row], wanted: Filter, queues: Sequence[str], now: int) -> list[int]:
    """What a naive look finds in the history."""
    outcomes = OUTCOMES.get(wanted.state)
    return [row.id for row in past if meant(row, wanted, queues, now) and row.text[0] not in ("reset", "pruned")
            and (outcomes is None or row.text[0] in outcomes)]  # fmt: skip


@pytest.mark.parametrize("is_all", [True, False], ids=["all", "some"])
@pytest.mark.parametrize("part", [1, 3, 10])
def test_history_that_is_gone_through_in_parts_is_the_same(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch, part: int, is_all: bool
) -> None:
    # given
    monkeypatch.setattr(lists_module, "_ENDINGS", part)
    monkeypatch.setattr(lists_module, "_PATIENCE", -1.0)  # at its end after the first part
    service, rng = make_service(), random.Random(f"{part}{is_all}")
    queues = (*SEEN, *HIDDEN) if is_all else SEEN
    fill(service, rng, 20, (*SEEN, *HIDDEN))
    lists, now, past = lists_of(service, queues, is_all), now_of(service), endings(service)
    # when, then
    for wanted in filters(rng, tuple(OUTCOMES), 15, texts=False):
        assert all_pages(lists.history, wanted, rng.choice([1, 4, 50])) == ended(past, wanted, queues, now), wanted
    page = lists.history(Filter(state="cancelled"), None)
    assert page.next is not None and page.examined == (part if is_all else max(part // len(SEEN), 1) * len(SEEN))


def _same_in_bulk(service: QueueService, what: str, wanted: Filter, queues: Sequence[str], expected: list[int]) -> None:
    chosen = tuple(name for name in queues if not wanted.queue or name == wanted.queue)
    bulk = Bulk(service, what, wanted, chosen, tuple(queues))
    bound, moment = bulk.now()
    assert [line.id for lines in bulk.lines(bound, moment) for line in lines] == expected, wanted
    number, is_more = bulk.count(bound, moment)
    assert number == len(expected) or (is_more and number < len(expected))


def test_with_many_queues_the_newest_of_all_are_gone_through(make_service: MakeService) -> None:
    service, rng = make_service(), random.Random(5)
    seen, hidden = [f"queue{number}" for number in range(23)], ["hidden-one", "hidden-two"]
    fill(service, rng, 6, [*seen, *hidden])
    standing, letters, now = rows(service, "item"), rows(service, "dead"), now_of(service)
    for queues, is_all in ((seen, False), ([*seen, *hidden], True), ([], False)):
        lists = lists_of(service, queues, is_all)
        for wanted in (Filter(), Filter(text="ä"), Filter(since="1h"), Filter(until="1h", text="e"), Filter(state="waiting"),
                       Filter("queue3"), Filter("hidden-one")):  # fmt: skip
            expected = [row.id for row in standing if meant(row, wanted, queues, now)]
            assert all_pages(lists.items, wanted, rng.randrange(1, 8)) == expected, wanted
        assert all_pages(lists.dead, Filter(), 5) == [row.id for row in letters if row.queue in queues]


def test_more_weights_than_are_looked_at_one_by_one(make_service: MakeService) -> None:
    service = make_service()
    queue, rng = service.create("Sql", "first"), random.Random(1)
    ids = [queue.create_item(number, weight=rng.randrange(-300, 300)).id for number in range(150)]
    lists = lists_of(service, ["first"], True)
    for state in ("", "waiting"):
        for queues in (Filter(state=state), Filter("first", state)):
            assert all_pages(lists.items, queues, 7) == sorted(ids, reverse=True)
    assert all_pages(lists.items, Filter(state="running"), 7) == []


@pytest.mark.parametrize("wanted", [Filter(), Filter("first"), Filter(state="waiting"), Filter(text="title"),
                                    Filter(since="1h")], ids=str)  # fmt: skip
def test_what_is_there_all_the_time_is_shown_once_whatever_comes_and_goes(
    make_service: MakeService, wanted: Filter
) -> None:
    service, rng = make_service(), random.Random(str(wanted))
    queues = [service.create("SqlParallel", name) for name in ("first", "second")]
    for number in range(60):
        rng.choice(queues).create_item({"title": f"title {number}"}, weight=rng.randrange(30))
    lists = lists_of(service, ["first", "second"], True)
    was_there = {row.id for row in rows(service, "item") if meant(row, wanted, ["first", "second"], now_of(service))}
    gone: set[int] = set()

    def between() -> None:
        for item in rng.sample(list(rng.choice(queues).items()), 2):
            if rng.random() < 0.5:
                service.load(item.queue_name).cancel_item(item.id)  # type: ignore[attr-defined]
                gone.add(item.id)
        rng.choice(queues).create_item({"title": "title new"}, weight=rng.randrange(30))

    found = all_pages(lists.items, wanted, rng.randrange(1, 8), between)
    assert len(found) == len(set(found))
    assert found == sorted(found, reverse=True)
    assert was_there - gone <= set(found) <= was_there


def test_dead_letters_that_come_and_go_between_pages(make_service: MakeService) -> None:
    service, rng = make_service(), random.Random(3)
    fill(service, rng, 60, ("first", "second"))
    lists = lists_of(service, ["first", "second"], True)
    was_there, gone = {row.id for row in rows(service, "dead")}, set()

    def between() -> None:
        for letter in rng.sample(rows(service, "dead"), 2):
            queue: Any = service.load(letter.queue)
            if rng.random() < 0.5:
                queue.revive_item(letter.id)
            else:
                queue.delete_dead_items([letter.id])
            gone.add(letter.id)

    found = all_pages(lists.dead, Filter(), 4, between)
    assert len(found) == len(set(found))
    assert was_there - gone <= set(found) <= was_there
