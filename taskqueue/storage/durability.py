"""What the settings of one database say of how well it keeps commits: for ``doctor``, and once at its first use."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

from sqlalchemy import Connection

from .dialects import Dialect, MySQL, PostgreSQL

_log = logging.getLogger(__name__)
#: (what, whether it is good, what was found, and what to do when that is not good).
Fact = tuple[str, bool, str]
#: A cluster of fewer nodes stands still when it loses one of them.
_SMALLEST = 3
#: Their locks, or the memory that processes share, do not do for SQLite.
_NETWORK = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "lustre", "ocfs2", "gfs2", "vboxsf", "davfs",
            "fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.davfs2", "fuse.s3fs", "fuse.rclone"}  # fmt: skip
_IN_MEMORY = {"tmpfs", "ramfs"}
#: What undoes a setting of PostgreSQL, by where that stands (``pg_settings.source``); else the second one.
_RESET = {
    "database": "ALTER DATABASE ... RESET {0}",
    "user": "ALTER ROLE ... RESET {0}",
    "database user": "ALTER ROLE ... IN DATABASE ... RESET {0}",
    "client": "leave it out of the options of the connection",
}
_SET = "ALTER SYSTEM SET {0} = on; SELECT pg_reload_conf()"


def warn(connection: Connection, dialect: Dialect) -> None:
    """Log what is not good of the database at the other end; that never hinders anybody."""
    try:
        for what, is_good, text in certain(connection, dialect):
            if not is_good:
                _log.warning("the database does not keep all that is promised: %s: %s", what, text)
    except Exception as error:
        _log.debug("the settings of the database could not be looked at: %s", error)


def checked(connection: Connection, dialect: Dialect) -> Iterator[Fact]:
    """All that can be said of it; more than is worth a warning, for it may be meant so, or do no harm on that disk."""
    yield from certain(connection, dialect)
    if isinstance(dialect, MySQL):
        yield from _torn_pages_of_mysql(connection)
    elif isinstance(dialect, PostgreSQL):
        yield from _torn_pages_of_postgresql(connection)
    else:
        yield from _memory_of_sqlite(connection)


def certain(connection: Connection, dialect: Dialect) -> Iterator[Fact]:
    """What breaks a promise wherever the database lies."""
    checks: Callable[[Connection], Iterator[Fact]] = _of_sqlite
    if isinstance(dialect, MySQL):
        checks = _of_cluster if dialect.is_cluster else _of_mysql
    elif isinstance(dialect, PostgreSQL):
        checks = _of_postgresql
    return checks(connection)


def _of_mysql(connection: Connection) -> Iterator[Fact]:
    flush = named(connection, "GLOBAL VARIABLES", "innodb_flush_log_at_trx_commit")
    yield (
        "commits survive a power cut",
        flush in ("1", "3"),  # 3 is of MariaDB, and flushes even more often
        "yes" if flush in ("1", "3") else (
            f"innodb_flush_log_at_trx_commit is {flush}: the last commits are lost; set it to 1: "
            f"{_set_global('innodb_flush_log_at_trx_commit')}"
        ),
    )  # fmt: skip
    # With a binary log the server asks that log, after a crash, which transactions have happened.
    if named(connection, "GLOBAL VARIABLES", "log_bin") == "ON":
        sync = named(connection, "GLOBAL VARIABLES", "sync_binlog")
        yield (
            "the binary log survives a power cut",
            sync == "1",
            "yes" if sync == "1" else (
                f"sync_binlog is {sync}: the last commits may be lost; set it to 1: {_set_global('sync_binlog')}"
            ),
        )  # fmt: skip


def _set_global(name: str) -> str:
    return f"SET GLOBAL {name} = 1, and {name} = 1 in the server's configuration file, for its next start"


def _torn_pages_of_mysql(connection: Connection) -> Iterator[Fact]:
    found = named(connection, "GLOBAL VARIABLES", "innodb_doublewrite")
    if found:
        is_good = found not in ("OFF", "DETECT_ONLY")
        hint = (
            ": a page that a power cut has torn damages the database, unless its disk writes pages as a whole (as ZFS "
            "does); set innodb_doublewrite = ON in the server's configuration file, and start it anew"
        )
        yield "torn pages are mended", is_good, "yes" if is_good else f"innodb_doublewrite is {found}{hint}"


def _of_cluster(connection: Connection) -> Iterator[Fact]:
    yield from _of_mysql(connection)
    for name, wanted, hint in (
        ("wsrep_cluster_status", "Primary", "this node is cut off from the others and takes no writes"),
        ("wsrep_local_state_comment", "Synced", "this node is still catching up, or gives its data to another one"),
    ):
        found = named(connection, "GLOBAL STATUS", name)
        yield name, found == wanted, found if found == wanted else f"{found}, not {wanted}: {hint}"
    size = int(named(connection, "GLOBAL STATUS", "wsrep_cluster_size") or 0)
    enough = size >= _SMALLEST
    yield (
        "nodes of the cluster",
        enough,
        str(size) if enough else f"{size}: it stands still when it loses one; run {_SMALLEST}, or an arbitrator beside",
    )


def _of_postgresql(connection: Connection) -> Iterator[Fact]:
    for name, loss in (
        ("fsync", "the database may be damaged by a power cut, and be lost"),
        ("synchronous_commit", "the last commits are lost in a power cut"),
    ):
        yield _switch(connection, name, loss)


def _torn_pages_of_postgresql(connection: Connection) -> Iterator[Fact]:
    loss = (
        "a page that a power cut has torn damages the database, unless its disk writes pages as a whole (as ZFS does)"
    )
    yield _switch(connection, "full_page_writes", loss)


def _switch(connection: Connection, name: str, loss: str) -> Fact:
    row = connection.exec_driver_sql(f"SELECT setting, source FROM pg_settings WHERE name = '{name}'").one()
    found, source = map(str, row)
    if found != "off":
        return name, True, found
    return name, False, f"off: {loss}; set it to on: {_RESET.get(source, _SET).format(name)}"


def _of_sqlite(connection: Connection) -> Iterator[Fact]:
    level = int(connection.exec_driver_sql("PRAGMA synchronous").scalar() or 0)
    names = ("OFF", "NORMAL", "FULL", "EXTRA")
    is_good = level >= 2
    yield (
        "synchronous",
        is_good,
        names[level] if is_good else (
            f"{names[level]}: the last commits are lost in a power cut; set it to FULL: PRAGMA synchronous = FULL on "
            "each connection of your Engine"
        ),
    )  # fmt: skip
    if kind := _file_system_of_sqlite(connection):
        is_good = kind not in _NETWORK
        hint = ": SQLite loses and damages data over a network; move the file to a local disk, or use a server"
        yield "file system", is_good, kind if is_good else kind + hint


def _memory_of_sqlite(connection: Connection) -> Iterator[Fact]:
    if kind := _file_system_of_sqlite(connection):
        is_good = kind not in _IN_MEMORY
        lost = f"no: {kind} is memory, and the whole file is lost in a power cut or restart; move it to a disk"
        yield "the file survives a power cut", is_good, "yes" if is_good else lost


def _file_system_of_sqlite(connection: Connection) -> str:
    file = str(connection.exec_driver_sql("SELECT file FROM pragma_database_list WHERE name = 'main'").scalar() or "")
    return file_system_of(Path(file)) if file else ""


def file_system_of(path: Path) -> str:
    """The kind of the file system that holds a file, as Linux names it; "" where the system does not tell."""
    try:
        lines = Path("/proc/self/mounts").read_text("utf-8", "surrogateescape").splitlines()
        place = path.resolve()
    except OSError:
        return ""
    kinds = {}
    for line in lines:
        _device, folder, kind, *_ = line.split(" ")
        kinds[Path(folder.replace("\\040", " "))] = kind  # of two at one place the later one covers the other
    return next((kinds[parent] for parent in (place, *place.parents) if parent in kinds), "")


def named(connection: Connection, kind: str, name: str) -> str:
    """The value of a variable of MariaDB or MySQL."""
    row = connection.exec_driver_sql(f"SHOW {kind} LIKE '{name}'").fetchone()
    return str(row[1]) if row else ""
