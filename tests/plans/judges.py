"""What is wrong with the way in which a database executes a statement: an empty list if nothing.

Allowed is what touches a handful of index entries; a scan, a sort, or reading much is not, however quick it is
on an idle machine.
"""

from __future__ import annotations

import itertools
import re
from typing import Any

import psycopg

from taskqueue.storage.schema import LEASED
from tests.plans.watched import Seen

#: Index entries and rows; a claim of ten looks at seventy candidates on MariaDB, and locks and writes ten.
MANY_READS = 200
#: Pages of 8 KB, each level of each index and each row that is written counted anew.
MANY_BUFFERS = 600
#: A step of SQLite's machine is a comparison, a move or the like: some ten for each row.
MANY_INSTRUCTIONS = 20_000
_PARAMETER = re.compile(r"%\((\w+)\)s")


def judge_sqlite(cursor: Any, seen: Seen) -> list[str]:
    steps = [row[3] for row in cursor.execute(f"EXPLAIN QUERY PLAN {seen.sql}", seen.parameters).fetchall()]
    found = [step for step in steps if step.startswith("SCAN") and step != "SCAN CONSTANT ROW"]
    found += [step for step in steps if "TEMP B-TREE" in step and not _may_sort(seen)]
    work = _instructions(cursor, seen)
    return [*found, f"takes {work} instructions: {steps}"] if work > MANY_INSTRUCTIONS else found


def _instructions(cursor: Any, seen: Seen) -> int:
    """How long SQLite's machine runs for the statement, to the hundred."""
    calls = itertools.count()
    cursor.connection.set_progress_handler(lambda: next(calls) and 0, 100)
    cursor.execute(seen.sql, seen.parameters).fetchall()
    cursor.connection.set_progress_handler(None, 0)
    return next(calls) * 100


def _may_sort(seen: Seen) -> bool:
    """What is leased stands in the index by the ends of the leases, not in order; it is never much."""
    return f"state = {LEASED} " in seen.sql and "ORDER BY weight, id" in seen.sql


def judge_mariadb(cursor: Any, seen: Seen) -> list[str]:
    found = [f"reads {seen.reads} entries and rows"] if seen.reads > MANY_READS else []
    cursor.execute(f"EXPLAIN {seen.sql}", seen.parameters)
    names = [column[0] for column in cursor.description]
    for step in (dict(zip(names, row, strict=True)) for row in cursor.fetchall()):
        if step["type"] in ("ALL", "index") and step["select_type"] != "INSERT":  # what it says of a place to put a row
            found.append(f"scans {step['table']} ({step['type']}, about {step['rows']} rows)")
        sorts = [what for what in ("Using filesort", "Using temporary") if what in (step["Extra"] or "")]
        found += [] if _may_sort(seen) else sorts
    return found


def judge_postgresql(cursor: Any, seen: Seen) -> list[str]:
    cursor.execute("SAVEPOINT before")
    cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF) {seen.sql}", seen.parameters)
    plan = _text(cursor)
    cursor.execute("ROLLBACK TO before")
    found = _complain(seen, plan) + _complain(seen, _generic_plan(cursor, seen))
    buffers = re.search(r"Buffers: shared(?: hit=(\d+))?(?: read=(\d+))?", plan)
    pages = sum(int(count or 0) for count in buffers.groups()) if buffers else 0
    return [*found, f"reads {pages} pages:\n{plan}"] if pages > MANY_BUFFERS else found


def _generic_plan(cursor: Any, seen: Seen) -> str:
    """The plan for whatever parameters: the driver prepares a statement after a few executions."""
    names = list(dict.fromkeys(_PARAMETER.findall(seen.sql)))
    prepared = _PARAMETER.sub(lambda match: f"${names.index(match[1]) + 1}", seen.sql)
    values = ", ".join(f"%({name})s" for name in names)
    with psycopg.ClientCursor(cursor.connection) as aside:
        aside.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        aside.execute(f"PREPARE probe AS {prepared}".replace("%", "%%"), {})
        aside.execute(f"EXPLAIN EXECUTE probe{f'({values})' if values else ''}", seen.parameters)
        plan = _text(aside)
        aside.execute("DEALLOCATE probe")
        aside.execute("SET LOCAL plan_cache_mode = auto")
    return plan


def _text(cursor: Any) -> str:
    return "\n".join(row[0] for row in cursor.fetchall())


def _complain(seen: Seen, plan: str) -> list[str]:
    wrong = ["Seq Scan"] if _may_sort(seen) else ["Seq Scan", "Sort"]
    return [f"{what}:\n{plan}" for what in wrong if what in plan]


JUDGES = {"sqlite": judge_sqlite, "mariadb": judge_mariadb, "postgresql": judge_postgresql}
