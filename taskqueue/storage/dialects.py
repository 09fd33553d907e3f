"""What differs between SQLite, MariaDB/MySQL and PostgreSQL, and nothing else.

Statements are written once, with ``:name`` for parameters and ``{word}`` for what a dialect fills in:
``{now}``, the database's clock in milliseconds; ``{claim_index}``, ``{order_index}``, ``{turn_index}``, of calls of
operations ``{owner_index}``, ``{time_index}`` and ``{open_index}``, of history ``{ending_index}``, hints after a table;
``{for_update}`` and ``{skip_locked}``; and the names of the tables.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from functools import lru_cache, partial
from typing import Any, ClassVar

from sqlalchemy.engine import URL

from .. import clock
from ..errors import ConfigurationError, DatabaseError
from .hosts import NotWritable

_PARAMETER = re.compile(r":([a-z_]+)")
#: Seconds after which a connection attempt, or a statement on our own connections, is given up.
CONNECT_TIMEOUT = 10
STATEMENT_TIMEOUT = 60


#: ``ask(sql)`` gives the rows of a query; with values, in the driver's style, where that is said.
Ask = Callable[..., "list[Any]"]
#: By what a server knows a connection: a number, which comes back after a restart, and from where it came, or None.
Session = tuple[int, "str | None"]


#: What statements are filled in with besides the clock and the names of tables: attributes of a dialect.
_WORDS = (
    "claim_index", "order_index", "turn_index", "owner_index", "time_index", "open_index", "ending_index",
    "for_update", "skip_locked", "share", "insert", "on_duplicate", "before", "of_weight", "like", "registered",
)  # fmt: skip


class Dialect:
    """The common part; an instance belongs to one database and knows the names of its tables."""

    name = ""
    #: The database's own clock: whole milliseconds since 1970, the moment of the statement.
    now = ""
    begin = "BEGIN"
    #: One process at a time may write.
    single_writer = False
    claim_index = order_index = turn_index = for_update = skip_locked = share = ""
    owner_index = time_index = open_index = ending_index = ""
    #: Whether an item stands before the place :weight, :id.
    before = "(weight, id) < (:weight, :id)"
    #: Whether an item has the weight :weight, and an id between :above and :below.
    of_weight = "weight = :weight AND id > :above AND id < :below"
    #: Compares with a pattern, whatever the case of ASCII letters.
    like = "LIKE"
    insert, on_duplicate = "INSERT INTO", ""
    #: Two connections with the same answer speak to the same database.
    identity = ""
    version = ""
    #: Asks for the character set of a connection; empty where there is no choice.
    charset = ""
    #: The highest id that the item table has given out.
    last_id = ""
    oldest: ClassVar[Mapping[str, tuple[int, ...]]] = {}
    #: Whether INSERT and DELETE can return the rows they touched.
    returning = True
    #: How its driver marks the place of a value that is given by its position.
    mark = "%s"
    #: Whether rows can be streamed into a table, which is quicker than any INSERT.
    copies = False
    #: How many rows an INSERT should bring where the driver's ``executemany`` sends each alone; 0: it does not.
    rows_at_once = 0
    #: Whether the usual driver reads answers in Python: there each column, and each value in a row, takes long.
    reads_slowly = False
    #: Whether the driver's cursor knows the id of the row that was just inserted.
    knows_new_id = True
    #: What ``registry.parsed`` reads: the registration of the queue ``:queue`` as one value, or NULL.
    registered = "(SELECT type || ' ' || status || ' ' || options FROM {queue} WHERE name = :queue)"
    #: An expression that tells listening workers of the queue ``:queue`` once the statement is committed.
    call = ""

    def __init__(self, tables: Mapping[str, str]) -> None:
        self._words = dict(tables)
        #: :meth:`render` on the hot path: by the template and ``clock.shift_ms``, kept without end.
        self.rendered: Callable[[str, int], str] = lru_cache(maxsize=None)(self._render)

    def render(self, template: str) -> str:
        """The statement in this dialect and its driver's parameter style."""
        return self.rendered(template, clock.shift_ms)

    def _render(self, template: str, shift: int) -> str:
        now = f"({self.now} + {shift})" if shift else self.now
        words = {name: getattr(self, name) for name in _WORDS} | {"now": now}
        index_names = {word: hint.format(**self._words) for word, hint in words.items()}
        return self.parameters(template.format(**self._words, **index_names))

    @property
    def channel(self) -> str:
        """The name under which workers listen for :attr:`call`; empty where the database cannot tell them."""
        return f"{self._words['prefix']}wake" if self.call else ""

    def parameters(self, sql: str) -> str:
        """``:name`` in the style of the driver."""
        return _PARAMETER.sub(r"%(\1)s", sql)

    def stretch(self, column: str, first: str, last: str) -> str:
        """The condition that a row belongs to the queue :queue, and lies in a stretch of an index of the queue and that
        column: from ``first`` to ``last``, such as "> :above" and "< :below". To be ordered by both columns."""
        return f"queue_name = :queue AND {column} {first} AND {column} {last}"

    def engine_options(self, url: URL) -> dict[str, Any]:
        """What an engine of our own is created with."""
        return {}

    def session_of(self, connection: Any) -> Session | None:
        """By what the server knows a connection; None where that says nothing."""
        return None

    def is_at_work(self, ask: Ask, session: Session, age: float) -> bool:
        """Whether the server may still be at work for a session whose connection was lost.

        Arguments:
            ask: takes values, too.
            age: so long ago (seconds) it was known to be there; numbers come back.
        """
        return False

    def merging(self, table: str, key: Sequence[str], sums: Sequence[str], latest: str) -> str:
        """What an INSERT into a table ends with, so that a row that is there already is added to.

        Arguments:
            key: the columns of its primary key.
            sums: columns that grow by what is inserted.
            latest: a column that becomes what is inserted, unless that is NULL.
        """
        changes = [f"{name} = {table}.{name} + excluded.{name}" for name in sums]
        changes.append(f"{latest} = COALESCE(excluded.{latest}, {table}.{latest})")
        return f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET {', '.join(changes)}"

    #: Whether several nodes take writes at the same time, and find out at the commit that they got in each other's way.
    is_cluster = False

    def prepare(self, connection: Any) -> None:
        """Set up a new connection of an engine of our own."""

    def check_cluster(self, ask: Ask) -> None:
        """Take note of whether the server is a node of a cluster."""

    def check_writable(self, connection: Any) -> None:
        """Raise :class:`NotWritable` when a host, one of several, takes no writes."""

    def check_version(self, answer: str) -> None:
        """Take note of the server's version. Raises :class:`DatabaseError` when it is too old."""
        product = self.product(answer)
        found = tuple(int(part) for part in re.findall(r"\d+", answer)[:3])
        oldest = self.oldest[product]
        if found < oldest:
            wanted, given = (".".join(map(str, version)) for version in (oldest, found))
            raise DatabaseError(f"{product} {given} is too old: taskqueue needs {product} {wanted} or newer")

    def check_charset(self, answer: str) -> None:
        """Raise :class:`ConfigurationError` when a connection would damage text on its way."""
        if answer.lower() != "utf8mb4":
            raise ConfigurationError(
                f"the connections to the database speak {answer}, which cannot carry all characters: add "
                "charset=utf8mb4 to its URL"
            )

    def product(self, answer: str) -> str:
        """Which product the version answer is of."""
        return next(iter(self.oldest))


class SQLite(Dialect):
    """One writer: a write transaction takes the lock at its beginning, so that it never has to upgrade."""

    name = "sqlite"
    now = "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"
    begin = "BEGIN IMMEDIATE"
    single_writer = True
    mark = "?"
    # A third of the time: the counter of an AUTOINCREMENT is read and written by each statement. Old builds take no
    # more than 999 values.
    rows_at_once = 50
    claim_index = "INDEXED BY {prefix}item_claim"
    turn_index = "INDEXED BY {prefix}item_turn"
    on_duplicate = "ON CONFLICT DO NOTHING"
    identity = "SELECT file FROM pragma_database_list WHERE name = 'main'"
    version = "SELECT sqlite_version()"
    last_id = "SELECT seq FROM sqlite_sequence WHERE name = '{item}'"
    oldest: ClassVar[Mapping[str, tuple[int, ...]]] = {"SQLite": (3, 35, 0)}

    def parameters(self, sql: str) -> str:
        """sqlite3 knows ``:name`` itself."""
        return sql

    def engine_options(self, url: URL) -> dict[str, Any]:
        """Wait for a busy file; transactions are begun by us, not by the driver."""
        return {"connect_args": {"timeout": 20, "isolation_level": None, "check_same_thread": False}}

    def prepare(self, connection: Any) -> None:
        """WAL lets readers read while one writes; FULL makes each commit survive a power cut."""
        # A row with damaged text must not make its neighbours unreadable.
        connection.text_factory = partial(str, encoding="utf-8", errors="surrogateescape")
        cursor = connection.cursor()
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA foreign_keys = ON")
        for pause in (0.01, 0.05, 0.2, 0.5, 1.0, None):
            try:
                cursor.execute("PRAGMA journal_mode = WAL")
                break
            except Exception as error:  # the switch ignores the busy timeout; a read-only file cannot switch
                if pause is None or "locked" not in str(error):
                    break
                time.sleep(pause)
        cursor.close()


class MySQL(Dialect):
    """MariaDB and MySQL, at READ COMMITTED: repeatable reads take gap locks and deadlock."""

    name = "mysql"
    now = "(TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(3)) DIV 1000)"
    begin = "START TRANSACTION"
    claim_index = "FORCE INDEX ({prefix}item_claim)"
    order_index = "FORCE INDEX ({prefix}item_order)"
    turn_index = "FORCE INDEX ({prefix}item_turn)"
    # Else it reads such a list from its beginning, wherever the page begins.
    owner_index = "FORCE INDEX ({prefix}operation_owner)"
    time_index = "FORCE INDEX ({prefix}operation_time)"
    open_index = "FORCE INDEX ({prefix}operation_open)"
    # Else it goes through the endings of all queues for the place of one.
    ending_index = "FORCE INDEX ({prefix}ending_queue)"
    for_update, skip_locked, share = "FOR UPDATE", "FOR UPDATE SKIP LOCKED", "LOCK IN SHARE MODE"
    insert = "INSERT IGNORE INTO"
    like = "COLLATE utf8mb4_general_ci LIKE"
    registered = "(SELECT CONCAT(type, ' ', status, ' ', options) FROM {queue} WHERE name = :queue)"
    # It reads a comparison of pairs from the start of the index.
    before = "(weight < :weight OR (weight = :weight AND id < :id))"
    identity = "SELECT CONCAT_WS('/', @@hostname, @@port, @@datadir, DATABASE())"
    version = "SELECT VERSION()"
    charset = "SELECT @@character_set_client"
    last_id = (
        "SELECT /*+ SET_VAR(information_schema_stats_expiry = 0) */ AUTO_INCREMENT - 1 FROM information_schema.TABLES "
        "WHERE TABLE_SCHEMA = {schema} AND TABLE_NAME = '{prefix}item'"
    )
    oldest: ClassVar[Mapping[str, tuple[int, ...]]] = {"MySQL": (8, 0, 1), "MariaDB": (10, 6)}
    reads_slowly = True

    def engine_options(self, url: URL) -> dict[str, Any]:
        """On the loopback no TLS, whose context costs 17 ms at each connect."""
        options: dict[str, Any] = {}
        if url.get_driver_name() == "pymysql":
            asked_for_tls = any(key.startswith("ssl") for key in url.query)
            if is_loopback(url.host) and not asked_for_tls:
                options["ssl_disabled"] = True
        return {"connect_args": options}

    def prepare(self, connection: Any) -> None:
        """READ COMMITTED for the session; on a cluster also what makes it read its own writes on every node."""
        with closing(connection.cursor()) as cursor:
            self.check_cluster(partial(_asked, cursor))
            cursor.execute(self.session_setup)
            with suppress(Exception):  # of no use before it is lost
                found = _asked(cursor, "SELECT host FROM information_schema.processlist WHERE id = CONNECTION_ID()")
                connection.taskqueue_origin = str(found[0][0])

    def merging(self, table: str, key: Sequence[str], sums: Sequence[str], latest: str) -> str:
        """It finds the key by itself."""
        changes = [f"{name} = {name} + VALUES({name})" for name in sums]
        changes.append(f"{latest} = COALESCE(VALUES({latest}), {latest})")
        return f"ON DUPLICATE KEY UPDATE {', '.join(changes)}"

    def check_cluster(self, ask: Ask) -> None:
        """Take note of whether the server is a node of a Galera cluster; asked once."""
        if not self._is_known:
            # SHOW is answered also by a node that has lost its cluster; the first variable is MariaDB's alone.
            found = [str(row[1]).upper() for row in ask("SHOW VARIABLES LIKE 'wsrep_on'")]
            self.is_cluster, self._is_known = found in (["ON"], ["1"]), True
            if self.is_cluster:
                self.identity = _CLUSTER_IDENTITY

    def check_writable(self, connection: Any) -> None:
        """Of a cluster a node that has joined it; else a server that is no copy of another one."""
        with closing(connection.cursor()) as cursor:
            self.check_cluster(partial(_asked, cursor))
            name, wanted, ask = ("read_only", "OFF", "SHOW VARIABLES LIKE")
            if self.is_cluster:
                name, wanted, ask = ("wsrep_ready", "ON", "SHOW GLOBAL STATUS LIKE")
            found = _asked(cursor, f"{ask} '{name}'")
        if found and str(found[0][1]).upper() != wanted:
            raise NotWritable(f"{name} is {found[0][1]}")

    def session_of(self, connection: Any) -> Session | None:
        """The id of its thread, and the client's address as the server sees it."""
        return int(connection.thread_id()), getattr(connection, "taskqueue_origin", None)

    def is_at_work(self, ask: Ask, session: Session, age: float) -> bool:
        """Until it has ended, or has read nothing for two seconds. After a restart ids begin anew."""
        number, origin = session
        if origin is None and float(ask("SHOW GLOBAL STATUS LIKE 'Uptime'")[0][1]) + 2 < age:  # two, in whole seconds
            return False
        found = ask("SELECT host FROM information_schema.processlist WHERE id = %s "
                    "AND NOT (command = 'Sleep' AND time >= 2)", number)  # fmt: skip
        return bool(found) and origin in (None, found[0][0])

    @property
    def session_setup(self) -> str:
        """What each session begins with."""
        if self.is_cluster:
            return "SET SESSION tx_isolation = 'READ-COMMITTED', SESSION wsrep_sync_wait = 7"
        return "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"

    _is_known = False

    def product(self, answer: str) -> str:
        """MariaDB names itself; it alone can return rows from INSERT and DELETE."""
        product = "MariaDB" if "MariaDB" in answer else "MySQL"
        self.returning = product == "MariaDB"
        return product


class PostgreSQL(Dialect):
    """PostgreSQL: the claim is one statement."""

    name = "postgresql"
    # In a subselect, because the bare function is volatile: a comparison with it could not use an index.
    now = "(SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint))"
    for_update, skip_locked, share = "FOR UPDATE", "FOR UPDATE SKIP LOCKED", "FOR SHARE"
    on_duplicate = "ON CONFLICT DO NOTHING"
    knows_new_id = False
    copies = True
    # Spelt so that only the index of the claim can give the order: a weight that is a constant would be left out of it,
    # and the ids of all queues gone through in the hope of finding these soon.
    of_weight = "weight >= :weight AND (weight, id) > (:weight, :above) AND (weight, id) < (:weight, :below)"
    like = "ILIKE"
    call = "pg_notify('{prefix}wake', CAST(:queue AS text))"
    identity = "SELECT concat_ws('/', pg_postmaster_start_time(), inet_server_port(), current_database())"
    version = "SHOW server_version_num"
    last_id = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {item}_id_seq"
    oldest: ClassVar[Mapping[str, tuple[int, ...]]] = {"PostgreSQL": (120000,)}

    def stretch(self, column: str, first: str, last: str) -> str:
        """Spelt like :attr:`of_weight`, for the same reason: a queue that is a constant would be left out of the order,
        and the rows of all queues gone through."""
        bounds = (re.sub(r"^([<>]=?) (.*)$", r"\1 (:queue, \2)", bound) for bound in (first, last))
        return " AND ".join(f"(queue_name, {column}) {bound}" for bound in bounds)

    def engine_options(self, url: URL) -> dict[str, Any]:
        """A deadline where the network swallows packets, which keepalives alone do not notice."""
        return {"connect_args": {"tcp_user_timeout": STATEMENT_TIMEOUT * 1000}}

    def session_of(self, connection: Any) -> Session | None:
        """The id of its process."""
        return int(connection.info.backend_pid), None

    def is_at_work(self, ask: Ask, session: Session, age: float) -> bool:
        """Until it has ended, or has read nothing for a second."""
        return bool(ask(
            f"SELECT 1 FROM pg_stat_activity WHERE pid = {int(session[0])} "
            f"AND backend_start < clock_timestamp() - interval '{int(age * 1000)} milliseconds' "
            "AND NOT (state = 'idle' AND state_change < clock_timestamp() - interval '1 second')"
        ))  # fmt: skip

    def check_writable(self, connection: Any) -> None:
        """No copy of another server."""
        with closing(connection.cursor()) as cursor:
            found = _asked(cursor, "SELECT pg_is_in_recovery()")
        connection.rollback()
        if found[0][0]:
            raise NotWritable("it is a copy of another server")


def is_loopback(host: str | None) -> bool:
    """Whether that is this machine."""
    return host in ("localhost", "127.0.0.1", "::1", "", None)


def _asked(cursor: Any, sql: str) -> list[Any]:
    cursor.execute(sql)
    return list(cursor.fetchall())


#: The same on all nodes.
_CLUSTER_IDENTITY = (
    "SELECT CONCAT_WS('/', (SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS "
    "WHERE VARIABLE_NAME = 'WSREP_CLUSTER_STATE_UUID'), DATABASE())"
)


DIALECTS: dict[str, type[Dialect]] = {"sqlite": SQLite, "mysql": MySQL, "mariadb": MySQL, "postgresql": PostgreSQL}
