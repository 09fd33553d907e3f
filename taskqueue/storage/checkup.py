"""What can be seen from outside of how well a database keeps what it has promised: ``taskqueue doctor``."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from .database import Database
from .dialects import MySQL, PostgreSQL
from .hosts import Address

#: A cluster of fewer nodes stands still when it loses one of them.
_SMALLEST = 3


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    #: The host, as it was named, or "" where it is about all of them.
    host: str
    what: str
    is_good: bool
    #: What was found, and what to do when that is not good.
    text: str


@dataclass(frozen=True)
class _Look:
    """What a host has told for the comparison with others."""

    host: str
    #: Seconds by which its clock is ahead of ours.
    ahead: float
    #: Of which cluster it is, or "".
    cluster: str


def examine(database: Database, lease: float) -> list[Finding]:
    """Look at every host of a database.

    Arguments:
        lease: seconds for which an item in hand is leased at a time.

    Raises nothing: a host that cannot be reached is a finding, too.
    """
    findings: list[Finding] = []
    looks: list[_Look] = []
    addresses: list[Address | None] = [*database.addresses] or [None]
    for address in addresses:
        host = str(address) if address is not None else database.url.host or "the database"
        try:
            with database.connected_to(address) as connection:
                looks.append(_look(connection, host, database))
                findings += _of_host(connection, host, database)
        except Exception as error:
            findings.append(Finding(host, "answers", False, f"no: {' '.join(str(error).split())}"))
    return findings + list(_of_all(database, looks, lease))


def _look(connection: Connection, host: str, database: Database) -> _Look:
    database.dialect.check_cluster(lambda sql: list(connection.exec_driver_sql(sql)))
    now = f"SELECT {database.dialect.now}"
    connection.exec_driver_sql(now)  # the first one may be slow
    before = time.time()
    told = int(connection.exec_driver_sql(now).scalar() or 0) / 1000
    cluster = ""
    if database.dialect.is_cluster:
        cluster = _named(connection, "GLOBAL STATUS", "wsrep_cluster_state_uuid")
    return _Look(host, told - (before + time.time()) / 2, cluster)


def _of_host(connection: Connection, host: str, database: Database) -> Iterator[Finding]:
    yield Finding(host, "answers", True, "yes")
    checks: Callable[[Connection], Iterator[tuple[str, bool, str]]] = _of_sqlite
    if isinstance(database.dialect, MySQL):
        checks = _of_cluster if database.dialect.is_cluster else _of_mysql
    elif isinstance(database.dialect, PostgreSQL):
        checks = _of_postgresql
    for what, is_good, text in checks(connection):
        yield Finding(host, what, is_good, text)


# --- one host ------------------------------------------------------------------------------------


def _of_mysql(connection: Connection) -> Iterator[tuple[str, bool, str]]:
    flush = _named(connection, "GLOBAL VARIABLES", "innodb_flush_log_at_trx_commit")
    yield (
        "commits survive a power cut",
        flush == "1",
        "yes" if flush == "1" else f"innodb_flush_log_at_trx_commit is {flush}: the last commits are lost; set it to 1",
    )


def _of_cluster(connection: Connection) -> Iterator[tuple[str, bool, str]]:
    yield from _of_mysql(connection)
    for name, wanted, hint in (
        ("wsrep_cluster_status", "Primary", "this node is cut off from the others and takes no writes"),
        ("wsrep_local_state_comment", "Synced", "this node is still catching up, or gives its data to another one"),
    ):
        found = _named(connection, "GLOBAL STATUS", name)
        yield name, found == wanted, found if found == wanted else f"{found}, not {wanted}: {hint}"
    size = int(_named(connection, "GLOBAL STATUS", "wsrep_cluster_size") or 0)
    enough = size >= _SMALLEST
    yield (
        "nodes of the cluster",
        enough,
        str(size) if enough else f"{size}: it stands still when it loses one; run {_SMALLEST}, or an arbitrator beside",
    )


def _of_postgresql(connection: Connection) -> Iterator[tuple[str, bool, str]]:
    for name in ("fsync", "synchronous_commit"):
        found = str(connection.exec_driver_sql(f"SHOW {name}").scalar())
        is_good = found not in ("off",)
        yield name, is_good, found if is_good else "off: the last commits are lost in a power cut; set it to on"


def _of_sqlite(connection: Connection) -> Iterator[tuple[str, bool, str]]:
    level = int(connection.exec_driver_sql("PRAGMA synchronous").scalar() or 0)
    names = ("OFF", "NORMAL", "FULL", "EXTRA")
    is_good = level >= 2
    yield (
        "synchronous",
        is_good,
        names[level] if is_good else f"{names[level]}: the last commits are lost in a power cut; set it to FULL",
    )


def _named(connection: Connection, kind: str, name: str) -> str:
    row = connection.exec_driver_sql(f"SHOW {kind} LIKE '{name}'").fetchone()
    return str(row[1]) if row else ""


# --- all hosts together --------------------------------------------------------------------------


def _of_all(database: Database, looks: list[_Look], lease: float) -> Iterator[Finding]:
    if len(looks) > 1:
        spread = max(look.ahead for look in looks) - min(look.ahead for look in looks)
        is_good = spread <= lease / 4
        found = f"{spread:.1f} s apart"
        hint = f", with leases of {lease:g} s: after a fail-over items are given out too early; set the clocks (NTP)"
        yield Finding("", "clocks of the hosts", is_good, found if is_good else found + hint)
    if database.dialect.is_cluster and len(looks) > 1:
        is_one = len({look.cluster for look in looks}) == 1
        yield Finding("", "the hosts are one cluster", is_one, "yes" if is_one else "no: they hold different data")
    timeout = database.statement_timeout
    if timeout is not None and database.addresses:
        is_good = timeout < lease
        found = f"{timeout:g} s, leases last {lease:g} s"
        hint = ": a hanging host is given up when leases have ended; raise lease_slice or lower read_timeout in the URL"
        yield Finding("", "a hanging host is given up after", is_good, found if is_good else found + hint)
        yield from _patience_of_cluster(database, timeout)


def _patience_of_cluster(database: Database, timeout: float) -> Iterator[Finding]:
    """A client must be more patient than the nodes among themselves, or it leaves those that work."""
    if not database.dialect.is_cluster:
        return
    with suppress(Exception), database.engine.connect() as connection:
        options = _named(connection, "GLOBAL VARIABLES", "wsrep_provider_options")
        found: Any = re.search(r"evs\.suspect_timeout *= *PT([\d.]+)S", options)
        if found is None:
            return
        patience = float(found[1])
        is_good = timeout >= 2 * patience
        text = f"{patience:g} s, less than half of ours" if is_good else (
            f"{patience:g} s: clients that wait {timeout:g} s leave nodes that work; raise read_timeout in the URL"
        )  # fmt: skip
        yield Finding("", "nodes give one another up after", is_good, text)
