"""How a database executes a statement: which index of which table it goes by, whether it sorts, how much it reads."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg

from tests.plans.watched import Seen

_TABLES = ("item", "dead", "ending", "run", "run_log", "operation", "audit", "trend", "activity", "holder", "queue")
PRIMARY, SCAN = "primary", "scan"
_PREFIX = "taskqueue_"
_PARAMETER = re.compile(r"%\((\w+)\)s")
_ALIAS = re.compile(rf"\b{_PREFIX}(\w+) (?:AS )?(\w+)\b")
_SQLITE = re.compile(r"(SEARCH|SCAN) (\w+)(?: USING (?:COVERING )?(INTEGER PRIMARY KEY|INDEX (\w+)))?")
#: For a row SQLite's machine takes some ten steps.
_STEPS_OF_A_ROW = 10


@dataclass
class Plan:
    """One way to execute a statement."""

    #: Tables without their prefix, with the index by which they are gone through, or ``SCAN``.
    uses: list[tuple[str, str]] = field(default_factory=list)
    #: Whether rows are sorted, other than those alike in what an index gives in order.
    sorts: bool = False
    #: Index entries and rows that were read, as far as the database tells; 0: it was not executed.
    reads: int = 0
    text: str = ""
    is_generic: bool = False


def plans(kind: str, cursor: Any, seen: Seen) -> Iterator[Plan]:
    """The plan of a statement, which is executed once more; on PostgreSQL also that for whatever parameters, as it is
    used for one that was prepared."""
    yield {"sqlite": _sqlite, "mariadb": _mariadb, "postgresql": _postgresql}[kind](cursor, seen)
    if kind == "postgresql":
        yield _generic(cursor, seen)


def _sqlite(cursor: Any, seen: Seen) -> Plan:
    steps = [row[3] for row in cursor.execute(f"EXPLAIN QUERY PLAN {seen.sql}", seen.parameters).fetchall()]
    aliases, plan = _aliases(seen.sql), Plan(text="\n".join(steps))
    for step in steps:
        plan.sorts |= "TEMP B-TREE FOR ORDER BY" in step or "TEMP B-TREE FOR DISTINCT" in step
        if found := _SQLITE.match(step):
            word, table, how, index = found.groups()
            name = table.removeprefix(_PREFIX) if table.startswith(_PREFIX) else aliases.get(table)
            if name is None:  # a subquery
                continue
            is_primary = how is None or index is None or index.startswith("sqlite_autoindex")
            plan.uses.append((name, SCAN if word == "SCAN" else PRIMARY if is_primary else _short(index)))
    calls = itertools.count()
    cursor.connection.set_progress_handler(lambda: next(calls) and 0, 10)
    cursor.execute(seen.sql, seen.parameters).fetchall()
    cursor.connection.set_progress_handler(None, 0)
    plan.reads = next(calls) * 10 // _STEPS_OF_A_ROW
    return plan


def _mariadb(cursor: Any, seen: Seen) -> Plan:
    cursor.execute(f"EXPLAIN {seen.sql}", seen.parameters)
    names = [column[0] for column in cursor.description]
    steps = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    aliases, plan = _aliases(seen.sql), Plan(text="\n".join(map(str, steps)))
    for step in steps:
        extra, table = step["Extra"] or "", step["table"] or ""
        plan.sorts |= "Using filesort" in extra or "Using temporary" in extra
        name = table.removeprefix(_PREFIX) if table.startswith(_PREFIX) else aliases.get(table)
        if name is None:  # a subquery, or nothing that has to be read
            continue
        is_scan = step["type"] in ("ALL", "index")
        plan.uses.append(
            (name, SCAN if is_scan else PRIMARY if step["key"] == "PRIMARY" else _short(step["key"] or ""))
        )
    before, own = _handler_reads(cursor), _handler_reads(cursor)  # to show the counters is to read, too
    cursor.execute(seen.sql, seen.parameters)
    cursor.fetchall()
    plan.reads = _handler_reads(cursor) - own - (own - before)
    return plan


def _handler_reads(cursor: Any) -> int:
    cursor.execute("SHOW SESSION STATUS LIKE 'Handler_read%'")
    return sum(int(value) for _name, value in cursor.fetchall())


def _postgresql(cursor: Any, seen: Seen) -> Plan:
    cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) {seen.sql}", seen.parameters)
    return _of_json(cursor.fetchone()[0])


def _generic(cursor: Any, seen: Seen) -> Plan:
    names = list(dict.fromkeys(_PARAMETER.findall(seen.sql)))
    prepared = _PARAMETER.sub(lambda match: f"${names.index(match[1]) + 1}", seen.sql).replace("%%", "%")
    values = ", ".join(f"%({name})s" for name in names)
    with psycopg.ClientCursor(cursor.connection) as aside:
        aside.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        aside.execute(f"PREPARE probe AS {prepared}".replace("%", "%%"), {})
        aside.execute(f"EXPLAIN (FORMAT JSON) EXECUTE probe{f'({values})' if values else ''}", seen.parameters)
        plan = _of_json(aside.fetchone()[0])  # type: ignore[index]
        plan.is_generic = True
        aside.execute("DEALLOCATE probe")
        aside.execute("SET LOCAL plan_cache_mode = auto")
    return plan


def _of_json(answer: Any) -> Plan:
    (found,) = json.loads(answer) if isinstance(answer, str) else answer
    plan = Plan(text=json.dumps(found["Plan"], indent=1))
    for node in _nodes(found["Plan"]):
        plan.sorts |= node["Node Type"] == "Sort"  # an "Incremental Sort" is one of rows that are alike
        table = node.get("Relation Name", "").removeprefix(_PREFIX)
        index = node.get("Index Name", "").removeprefix(_PREFIX)
        if node["Node Type"] == "Seq Scan":
            plan.uses.append((table, SCAN))
        elif index:
            table = table or max((name for name in _TABLES if index.startswith(f"{name}_")), key=len)  # of a bitmap
            plan.uses.append((table, PRIMARY if index.endswith("_pkey") else index))
        if index or table:
            removed = sum(node.get(f"Rows Removed by {why}", 0) for why in ("Filter", "Index Recheck"))
            plan.reads += round((node.get("Actual Rows", 0) + removed) * node.get("Actual Loops", 0))
    return plan


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from _nodes(child)


def _aliases(sql: str) -> dict[str, str]:
    return {alias: table for table, alias in _ALIAS.findall(sql)}


def _short(index: str) -> str:
    return index.removeprefix(_PREFIX)
