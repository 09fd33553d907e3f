"""What can be seen from outside of how well a database keeps what it has promised: ``taskqueue doctor``."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from .database import Database
from .durability import checked, named
from .faults import original
from .hosts import Address


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
                findings.append(Finding(host, "answers", True, "yes"))
                findings += [Finding(host, *one) for one in checked(connection, database.dialect)]
        except Exception as error:
            findings.append(Finding(host, "answers", False, f"no: {' '.join(str(original(error)).split())}"))
    return findings + list(_of_all(database, looks, lease))


def _look(connection: Connection, host: str, database: Database) -> _Look:
    database.dialect.check_cluster(lambda sql: list(connection.exec_driver_sql(sql)))
    now = f"SELECT {database.dialect.now}"
    connection.exec_driver_sql(now)  # the first one may be slow
    before = time.time()
    told = int(connection.exec_driver_sql(now).scalar() or 0) / 1000
    cluster = ""
    if database.dialect.is_cluster:
        cluster = named(connection, "GLOBAL STATUS", "wsrep_cluster_state_uuid")
    return _Look(host, told - (before + time.time()) / 2, cluster)


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
        options = named(connection, "GLOBAL VARIABLES", "wsrep_provider_options")
        found: Any = re.search(r"evs\.suspect_timeout *= *PT([\d.]+)S", options)
        if found is None:
            return
        patience = float(found[1])
        is_good = timeout >= 2 * patience
        text = f"{patience:g} s, less than half of ours" if is_good else (
            f"{patience:g} s: clients that wait {timeout:g} s leave nodes that work; raise read_timeout in the URL"
        )  # fmt: skip
        yield Finding("", "nodes give one another up after", is_good, text)
