"""Every statement that a page of the dashboard sends is executed as it was meant to be, whatever stands in the tables.

The statements are taken down while all pages are asked for, with each filter. For each there is a line in ``MEANT``:
by which indexes its tables are gone through, and whether it may sort. What has no line fails, so that no statement
comes in unseen.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

import pytest

from taskqueue import QueueService
from taskqueue.storage.dialects import Dialect, PostgreSQL
from taskqueue.storage.transaction import Transaction, filled
from tests.dashboard_stage import TABLES, Amounts, Stage, end_soon, pages, stage
from tests.databases import analyze, fresh_database
from tests.plans.explained import PRIMARY, SCAN, Plan, plans
from tests.plans.watched import Seen
from tests.servers import ALL_DATABASES

#: Nothing is counted further in these tests, and no more is looked through at a time.
CAP = 40
#: A page has fifty lines, and looks at one more; so many hundred entries may be read for those of one statement.
MANY_READS = 600
HIDDEN = 1_500
SMALL = Amounts(items=150, dead=30, endings=60, hidden=20, others=20)
LARGE = Amounts(items=30_000, dead=9_000, endings=30_000, hidden=HIDDEN, others=9_000)
#: What a planner with statistics may read from its beginning to its end: the table has a few pages.
FEW_ROWS = 1_200
#: Entries and rows that are not worth a word.
TRIFLE = 250
JUDGED = ("item", "dead", "ending", "run", "operation", "audit", "trend", "run_log", "activity")


class Meant(NamedTuple):
    """How statements of one kind shall be executed."""

    #: Stands in the text of these statements, and of no others.
    text: str
    #: For each table the indexes by which it may be gone through.
    indexes: Mapping[str, tuple[str, ...]]
    #: Why they may sort; "": they may not.
    may_sort: str = ""
    #: So many entries and rows may be read.
    reads: int = MANY_READS
    #: What PostgreSQL may go by besides.
    also: tuple[str, ...] = ()

    @property
    def is_of_items(self) -> bool:
        """Whether it is the table of items that is gone through: there may be a million."""
        return "item" in self.indexes and "operation" not in self.indexes


_FOUND = "the rows of a page were found before, and are put in order"
_CLAIM = {"item": ("item_claim",)}
_OF_ITEM = {"item": (PRIMARY,), "holder": (PRIMARY, SCAN), "activity": (PRIMARY,)}
_OF_CALL = {"operation": ("operation_time", "operation_open"), "item": (PRIMARY,), "dead": (PRIMARY,),
            "activity": (PRIMARY,)}  # fmt: skip
MEANT = (
    Meant(r"^SELECT id, queue_name FROM item WHERE id ", {"item": (PRIMARY,)}),
    Meant(r"ORDER BY weight DESC, id DESC", _CLAIM),
    Meant(r"^SELECT weight FROM item .*ORDER BY weight, id LIMIT 1", _CLAIM),
    Meant(
        r"ORDER BY id \+ 0 DESC", _CLAIM,
        "what is leased or delayed stands in the index by time: all of it in this queue is gone through, and no row",
        reads=3 * HIDDEN,
    ),
    Meant(r"WHERE item\.id IN ", _OF_ITEM, _FOUND),
    Meant(r"AND item\.id = ", _OF_ITEM),
    Meant(r"^SELECT dead_time, id FROM dead WHERE \(?queue_name", {"dead": ("dead_time",)}),
    Meant(r"FROM dead WHERE id IN .*ORDER BY dead_time", {"dead": (PRIMARY,)}, _FOUND),
    Meant(r"FROM dead WHERE queue_name = \S+ AND id IN ", {"dead": (PRIMARY, "dead_queue")}, "one row"),
    Meant(r"^SELECT id FROM dead WHERE queue_name = \S+ AND id = ", {"dead": (PRIMARY, "dead_queue")}),
    Meant(r"outcome, attempt, SUBSTR.* FROM ending WHERE id ", {"ending": (PRIMARY,)}),
    Meant(r"outcome, attempt, SUBSTR.* FROM ending WHERE \(?queue_name", {"ending": ("ending_queue",)}),
    Meant(r"^SELECT id FROM ending WHERE id .*OFFSET", {"ending": (PRIMARY,)}),
    Meant(r"^SELECT id FROM ending WHERE \(?queue_name.*OFFSET", {"ending": ("ending_queue",)}),
    Meant(r"FROM ending WHERE queue_name = \S+ AND item_id = .* ORDER BY id$", {"ending": ("ending_item",)}),
    Meant(r"^SELECT id, end_time FROM ending WHERE id >= ", {"ending": (PRIMARY,)}),
    Meant(r"MAX\(id\).* FROM ending$", {"ending": (PRIMARY,)}),
    Meant(r"^SELECT id, submit_time FROM item WHERE id >= ", {"item": (PRIMARY,)}),
    Meant(r"MAX\(id\).* FROM item$", {"item": (PRIMARY,)}),
    Meant(
        r"^SELECT \(SELECT COUNT", {**_CLAIM, "dead": ("dead_queue", "dead_time")},
        "where a queue has few dead letters PostgreSQL may sort them", reads=MANY_READS + LARGE.dead,
    ),
    Meant(r"^SELECT COUNT\(\*\) FROM \(SELECT id FROM ending", {"ending": ("ending_time",)}),
    Meant(
        r"SELECT DISTINCT SUBSTR", {**_CLAIM, "holder": (PRIMARY, SCAN)},
        "those who hold items of a queue are found among all that is held there", reads=4 * HIDDEN,
    ),
    Meant(r"- submit_time FROM item", _CLAIM),
    Meant(r"- release_time FROM item", _CLAIM),
    Meant(r"^SELECT queue_name, id, uid, .* FROM item WHERE id IN", {"item": (PRIMARY,)}),
    Meant(r"^SELECT id, fence, state FROM item WHERE id IN", {"item": (PRIMARY,)}),
    Meant(r"^SELECT queue_name FROM run WHERE end_time = 0", {"run": ("run_end",)}),
    Meant(r"FROM run WHERE create_time >= 0", {"run": ("run_time",)}),
    Meant(r"FROM run WHERE \(?queue_name.* ORDER BY queue_name DESC, create_time DESC", {"run": ("run_queue",)}),
    Meant(r"FROM run_log WHERE run_id", {"run_log": ("run_log_run", "run_log_level")}, _FOUND, reads=4_100,
          also=(PRIMARY,)),
    Meant(r"FROM operation o (?!.* IN \(\S+state)", _OF_CALL, reads=1_200),
    # A state that no call has any more is looked for among all calls that are kept.
    Meant(
        r"FROM operation o .* IN \(\S+state", _OF_CALL, "all calls, where few have that state",
        reads=8 * LARGE.others, also=(SCAN, "operation_expire", "operation_pending"),
    ),
    Meant(r"FROM audit WHERE id < ", {"audit": (PRIMARY,)}),
    Meant(r"FROM audit WHERE \(?queue_name.* ORDER BY queue_name DESC, id DESC", {"audit": ("audit_queue",)}),
    Meant(r"FROM audit WHERE queue_name = \S+ AND item_id = ", {"audit": ("audit_item",)}),
    Meant(r"FROM trend WHERE queue_name IN ", {"trend": (PRIMARY, "trend_start")}, reads=4_000),
    Meant(r"FROM trend WHERE queue_name = ", {"trend": (PRIMARY,)}, "a week of one queue", reads=4_000),
)  # fmt: skip


@dataclass
class Shown:
    """A stage, and the statements that all its pages have sent, each kind a few times."""

    kind: str
    stage: Stage
    seen: list[Seen]
    #: The cheapest way may be any: a table has a few pages.
    is_small: bool
    #: Whether the planner knows, by statistics or because it has looked, where there is next to nothing: there any way
    #: is as good.
    knows: bool

    def is_blind(self, meant: Meant) -> bool:
        """PostgreSQL without statistics rather sorts a table of some ten thousand narrow rows than reads a list by its
        index; it makes them by itself, soon. What is asked about items has to go by its index all the same."""
        return self.kind == "postgresql" and not self.knows and not meant.is_of_items

    def most(self, meant: Meant) -> int:
        """So much may be read by a statement."""
        rows = {"dead": 2 * LARGE.dead, "ending": LARGE.endings, "run_log": 5 * LARGE.others}
        whole = max((rows.get(table, 2 * LARGE.others) for table in meant.indexes), default=0)
        return max(meant.reads, whole) if self.is_blind(meant) else meant.reads


CASES = ("small", "large", "large-analyzed", "large-analyzed-before")


@pytest.fixture(scope="module", params=list(product(ALL_DATABASES, CASES)), ids="-".join)
def shown(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    """Much or little; without statistics, with fresh ones, and with those of a time when there was nothing."""
    kind, case = request.param
    url = fresh_database(request, tmp_path_factory, kind, "dashboard_plans")
    service = QueueService(url, allow=["operator"])
    _still(service)
    if case.endswith("before"):
        analyze(service, TABLES)
    here = stage(service, SMALL if case == "small" else LARGE)
    if case.endswith("analyzed"):
        analyze(service, TABLES)
    with pytest.MonkeyPatch.context() as patch:
        end_soon(patch, CAP)
        yield Shown(
            kind,
            here,
            _few_of_each(_taken_down(here)),
            case == "small",
            case == "large-analyzed" or kind != "postgresql",
        )
    service.close()


def _still(service: QueueService) -> None:
    """Let no server make statistics by itself."""
    if service.database.dialect.name == "postgresql":
        for table in JUDGED:
            service.database.statement(lambda tx: tx.change(f"ALTER TABLE {{{table}}} SET (autovacuum_enabled = off)"))  # noqa: B023


def _taken_down(here: Stage) -> list[Seen]:
    seen: list[Seen] = []
    with _recorded(seen):
        for client in (here.admin, here.guest):
            for address in pages(here):
                here.forget()
                here.get(address, client)
    return seen


@contextmanager
def _recorded(seen: list[Seen]) -> Iterator[None]:
    rows = Transaction.rows

    def recorded(tx: Transaction, statement: str, lists: Any = None, /, **parameters: Any) -> Any:
        sql = filled(tx._render(statement), lists or {})
        seen.append(Seen(sql, parameters))
        return rows(tx, statement, lists, **parameters)

    def refused(*_args: Any, **_values: Any) -> Any:
        raise AssertionError("a page that is only looked at writes something")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Transaction, "rows", recorded)
        for name in ("change", "insert", "many", "fill"):
            patch.setattr(Transaction, name, refused)
        yield


def _few_of_each(seen: list[Seen]) -> list[Seen]:
    """Of each kind of statement one for each queue, and for the first and the last page."""
    found: dict[Any, Seen] = {}
    for one in seen:
        shape = re.sub(r"\d+(, \d+)*", "#", one.sql)
        deep = any(one.parameters.get(name, 2**63) < 2**60 for name in ("below", "time"))
        found.setdefault((shape, one.parameters.get("queue"), one.parameters.get("weight", 0) > 1, deep), one)
    return list(found.values())


def _text(sql: str) -> str:
    """A statement without hints and prefixes, as ``MEANT`` speaks of it."""
    plain = re.sub(r" (INDEXED BY|FORCE INDEX) ?\(?\w+\)?", "", sql)
    return " ".join(plain.replace("taskqueue_", "").split())


def _meant(sql: str) -> Meant | None:
    found = [meant for meant in MEANT if re.search(meant.text, _text(sql))]
    assert len(found) < 2, f"{[meant.text for meant in found]} all speak of {_text(sql)}"
    return found[0] if found else None


def _is_judged(sql: str) -> bool:
    return bool(re.search(rf"\btaskqueue_({'|'.join(JUDGED)})\b", sql))


def _wrong(shown: Shown, cursor: Any, one: Seen, meant: Meant) -> list[str]:
    return [f"{what}: {_text(one.sql)}\n{one.parameters}\n{plan.text}" for plan in plans(shown.kind, cursor, one)
            for what in _complaints(shown, plan, meant)]  # fmt: skip


def _complaints(shown: Shown, plan: Plan, meant: Meant) -> Iterator[str]:
    if plan.reads > (FEW_ROWS if shown.is_small else shown.most(meant)):
        yield f"reads {plan.reads}"
    if shown.is_small or shown.is_blind(meant) or (plan.reads <= TRIFLE and not plan.is_generic and shown.knows):
        return
    for table, index in plan.uses:
        allowed = (*meant.indexes.get(table, ()), *(meant.also if shown.kind == "postgresql" else ()))
        if index not in allowed and not (plan.is_generic and index != SCAN and not meant.is_of_items):
            yield f"{table} by {index} instead of {' or '.join(allowed)}"
    if plan.sorts and not meant.may_sort and not (plan.is_generic and not meant.is_of_items):
        yield "sorts"


def test_given_pages_when_they_are_looked_at_then_each_statement_goes_by_its_index(shown: Shown) -> None:
    judged, wrong = [one for one in shown.seen if _is_judged(one.sql)], list[str]()

    def judge(tx: Transaction) -> None:
        for one in judged:
            meant = _meant(one.sql)
            assert meant is not None, f"nobody has said how this is to be executed: {_text(one.sql)}"
            wrong.extend(_wrong(shown, tx._cursor, one, meant))

    shown.stage.service.database.transaction(judge)

    assert len(judged) > 50
    assert not wrong, f"{len(wrong)} complaints\n" + "\n\n".join(wrong[:40])
    used = {meant.text for one in judged if (meant := _meant(one.sql)) is not None}
    assert shown.is_small or used == {meant.text for meant in MEANT}  # none is left over from another time


# --- what the spelling is there for --------------------------------------------------------------

_WITHIN = re.compile(r"\(queue_name, (\w+)\) ([<>]=?) \((%\(queue\)s), (%\(\w+\)s|\d+)\)")
#: What a statement would be without what keeps PostgreSQL on its way.
PLAIN: dict[str, Callable[[str], str]] = {
    "what is hidden": lambda sql: sql.replace("id + 0", "id"),
    "of a weight": lambda sql: sql.replace(_rendered(PostgreSQL.of_weight), _rendered(Dialect.of_weight)),
    "of a queue": lambda sql: _WITHIN.sub(r"queue_name = \3 AND \1 \2 \4", sql).replace("BY queue_name DESC, ", "BY "),
}


def _rendered(condition: str) -> str:
    return re.sub(r":(\w+)", r"%(\1)s", condition)


@pytest.mark.parametrize("shown", [("postgresql", "large-analyzed")], indirect=True, ids=["postgresql"])
@pytest.mark.parametrize("spelling", PLAIN)
def test_given_postgresql_when_a_statement_is_spelt_plainly_then_it_goes_another_way(
    shown: Shown, spelling: str
) -> None:
    tricky = [one for one in shown.seen if PLAIN[spelling](one.sql) != one.sql]
    wrong: list[str] = []

    def judge(tx: Transaction) -> None:
        for one in tricky:
            meant = _meant(one.sql)
            assert meant is not None
            assert not _wrong(shown, tx._cursor, one, meant)
            wrong.extend(_wrong(shown, tx._cursor, Seen(PLAIN[spelling](one.sql), one.parameters), meant))

    shown.stage.service.database.transaction(judge)

    assert tricky
    assert wrong
