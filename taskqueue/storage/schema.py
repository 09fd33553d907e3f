"""Our tables, and their creation at first use.

``item`` is the hot one; what ends leaves it at once, so that it stays as small as the work that waits.
The columns of an item's place in the queue:

========  ============  =================================================================
state     release_time  meaning
========  ============  =================================================================
READY     0             may be claimed
LEASED    > 0           held by somebody until then
DELAYED   > 0           hidden until then: scheduled, or waiting for its retry
========  ============  =================================================================

An item with an order key that waits for the one before it is DELAYED, too; its ``holder`` is then WAITS_ITS_TURN.

"Ready" is thus an equality on both columns, and one index serves the claim, the promotion of what is due, and
the counts. Times are milliseconds since 1970 (UTC), by the database's clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Double,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeEngine

READY, LEASED, DELAYED = 0, 1, 2
#: The holder of a delayed item that waits until those before it with the same order key have ended.
WAITS_ITS_TURN = "#order"
#: "Is delayed", spelt so that no planner takes the index on it for any other question than the one it is there for.
IS_DELAYED = f"state + 0 = {DELAYED}"
#: The revision of the migrations to which this module corresponds.
REVISION = "0008"
VERSION_TABLE = "version"
#: So many columns of ``trend`` count attempts by how long they took (see ``storage.histogram``).
RUN_TIME_BINS = 21

_BIG_ID = BigInteger().with_variant(Integer(), "sqlite")
_LONG_TEXT = Text().with_variant(mysql.LONGTEXT(charset="utf8mb4"), "mysql", "mariadb")
#: Empty until an item is claimed. Of fixed length on MariaDB: what makes a row longer takes twice the time.
_FIXED = mysql.CHAR(32, charset="ascii", collation="ascii_bin")
_HOLDER = String(64).with_variant(_FIXED, "mysql", "mariadb")


def _name(length: int = 128) -> TypeEngine[Any]:
    """ASCII, compared byte by byte: no database may take ``Mail`` for ``mail``."""
    ascii_bin = mysql.VARCHAR(length, charset="ascii", collation="ascii_bin")
    return String(length).with_variant(ascii_bin, "mysql", "mariadb")


def _key() -> TypeEngine[Any]:
    binary = mysql.VARCHAR(191, charset="utf8mb4", collation="utf8mb4_bin")
    return String(191).with_variant(binary, "mysql", "mariadb")


@dataclass(frozen=True)
class Tables:
    """The tables under one prefix and schema."""

    metadata: MetaData
    queue: Table
    item: Table
    dead: Table
    ending: Table
    lock: Table
    run: Table
    run_log: Table
    run_request: Table
    holder: Table
    activity: Table
    result: Table
    batch: Table
    periodic: Table
    received: Table
    operation: Table
    subscription: Table
    claimed: Table
    trend: Table
    audit: Table
    version: Table

    @property
    def names(self) -> dict[str, str]:
        """What the statements fill in: for each table its full name, and ``prefix`` and ``schema`` themselves."""
        prefix = len(self.prefix)
        schema = f"'{self.metadata.schema}'" if self.metadata.schema else "DATABASE()"
        names = {table.name[prefix:]: table.fullname for table in self.metadata.tables.values()}
        return {**names, "prefix": self.prefix, "schema": schema}

    @property
    def prefix(self) -> str:
        """What all names begin with."""
        return str(self.metadata.info["prefix"])


def define_tables(prefix: str = "taskqueue_", schema: str | None = None) -> Tables:
    """The tables as SQLAlchemy objects, for creation, migrations and reading."""
    metadata = MetaData(schema=schema, info={"prefix": prefix})
    options: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mariadb_engine": "InnoDB"}
    return Tables(
        metadata=metadata,
        queue=_queue_table(metadata, prefix, options),
        item=_item_table(metadata, prefix, options),
        dead=_dead_table(metadata, prefix, options),
        ending=_ending_table(metadata, prefix, options),
        lock=_lock_table(metadata, prefix, options),
        run=_run_table(metadata, prefix, options),
        run_log=_run_log_table(metadata, prefix, options),
        run_request=_run_request_table(metadata, prefix, options),
        holder=_holder_table(metadata, prefix, options),
        activity=_activity_table(metadata, prefix, options),
        result=_result_table(metadata, prefix, options),
        batch=_batch_table(metadata, prefix, options),
        periodic=_periodic_table(metadata, prefix, options),
        received=_received_table(metadata, prefix, options),
        operation=_operation_table(metadata, prefix, options),
        subscription=_subscription_table(metadata, prefix, options),
        claimed=_claimed_table(metadata, prefix, options),
        trend=_trend_table(metadata, prefix, options),
        audit=_audit_table(metadata, prefix, options),
        version=Table(
            f"{prefix}{VERSION_TABLE}", metadata, Column("version_num", _name(32), primary_key=True), **options
        ),
    )


def _queue_table(metadata: MetaData, prefix: str, options: dict[str, Any]) -> Table:
    return Table(
        f"{prefix}queue",
        metadata,
        Column("name", _name(), primary_key=True),
        Column("type", _name(64), nullable=False),
        Column("status", _name(16), nullable=False),
        Column("options", _LONG_TEXT, nullable=False),  # JSON: see spec.QueueSpec
        Column("create_time", BigInteger, nullable=False),
        # Something was claimed since the queue became active: only then may it complete by being empty.
        Column("is_begun", SmallInteger, nullable=False, server_default="0"),
        **options,
    )


def _identity_of_an_item() -> list[Column[Any]]:
    return [
        Column("queue_name", _name(), nullable=False),
        Column("uid", _name(32), nullable=False),
        Column("weight", Integer, nullable=False),
        Column("submit_time", BigInteger, nullable=False),
        Column("run_count", Integer, nullable=False, server_default="0"),
        Column("fence", BigInteger, nullable=False, server_default="0"),
        Column("failures", Integer, nullable=False, server_default="0"),
        Column("dedup_key", _key()),
        Column("order_key", _key()),
        Column("data", _LONG_TEXT, nullable=False),
    ]


def _item_table(metadata: MetaData, prefix: str, options: dict[str, Any]) -> Table:
    table = Table(
        f"{prefix}item",
        metadata,
        Column("id", _BIG_ID, primary_key=True, autoincrement=True),
        *_identity_of_an_item(),
        Column("state", SmallInteger, nullable=False, server_default="0"),
        Column("release_time", BigInteger, nullable=False, server_default="0"),
        Column("interruptions", Integer, nullable=False, server_default="0"),
        Column("holder", _HOLDER, nullable=False, server_default=""),
        Column("last_error", _LONG_TEXT),
        # Its holder was asked to stop; whoever claims it next removes it.
        Column("is_cancelled", SmallInteger, nullable=False, server_default="0"),
        # The dedup_key is free again as soon as the item is claimed.
        Column("until_start", SmallInteger, nullable=False, server_default="0"),
        Column("batch_id", BigInteger),
        # An id must never come back: leases, outcomes and pages refer to it.
        sqlite_autoincrement=True,
        **options,
    )
    columns = table.c
    Index(f"{prefix}item_claim", columns.queue_name, columns.state, columns.release_time, columns.weight, columns.id)
    keyed = columns.dedup_key.is_not(None)
    Index(
        f"{prefix}item_dedup",
        columns.queue_name,
        columns.dedup_key,
        unique=True,
        postgresql_where=keyed,
        sqlite_where=keyed,
    )
    # "Does a delayed item stand before the head of a sequential queue?" A partial index, so that no planner can
    # prefer it for the claim; MySQL has none, there the claim forces its own index.
    delayed = text(IS_DELAYED)
    Index(
        f"{prefix}item_order", columns.queue_name, columns.weight, columns.id,
        postgresql_where=delayed, sqlite_where=delayed,
    )  # fmt: skip
    # "What of this order key goes first, is held, is ready?" By the state, because thousands of one key may wait.
    in_turn = columns.order_key.is_not(None)
    Index(
        f"{prefix}item_turn", columns.queue_name, columns.order_key, columns.state, columns.weight, columns.id,
        postgresql_where=in_turn, sqlite_where=in_turn,
    )  # fmt: skip
    return table


def _dead_table(metadata: MetaData, prefix: str, options: dict[str, Any]) -> Table:
    table = Table(
        f"{prefix}dead",
        metadata,
        Column("id", BigInteger, primary_key=True, autoincrement=False),  # the id that the item had
        *_identity_of_an_item(),
        Column("error", _LONG_TEXT, nullable=False),
        Column("dead_time", BigInteger, nullable=False),
        Column("traceback", _LONG_TEXT),
        **options,
    )
    Index(f"{prefix}dead_queue", table.c.queue_name, table.c.id)
    Index(f"{prefix}dead_time", table.c.queue_name, table.c.dead_time)
    Index(f"{prefix}dead_uid", table.c.uid)  # messages of an outbox are asked for by it
    return table


def _ending_table(metadata: MetaData, prefix: str, options: dict[str, Any]) -> Table:
    """Every attempt or item that ended otherwise than ok (see design: nothing is lost silently)."""
    table = Table(
        f"{prefix}ending",
        metadata,
        Column("id", _BIG_ID, primary_key=True, autoincrement=True),
        Column("queue_name", _name(), nullable=False),
        Column("item_id", BigInteger, nullable=False),
        Column("outcome", _name(16), nullable=False),
        Column("attempt", Integer, nullable=False),
        Column("error", _LONG_TEXT),
        Column("data", _LONG_TEXT),
        Column("end_time", BigInteger, nullable=False),
        # So that what was removed can be put back as it was.
        Column("uid", _name(32)),
        Column("weight", Integer),
        Column("traceback", _LONG_TEXT),
        **options,
    )
    Index(f"{prefix}ending_item", table.c.queue_name, table.c.item_id, table.c.id)
    Index(f"{prefix}ending_time", table.c.queue_name, table.c.end_time)
    Index(f"{prefix}ending_queue", table.c.queue_name, table.c.id)  # the latest of a queue
    return table


def _lock_table(metadata: MetaData, prefix: str, options: dict[str, Any]) -> Table:
    """One row for each queue whose claims take turns."""
    return Table(
        f"{prefix}lock",
        metadata,
        Column("queue_name", _name(), primary_key=True),
        # Changed by each claim where the nodes of a cluster see only their own locks.
        Column("turn", BigInteger, nullable=False, server_default="0"),
        **options,
    )


def _run_table(metadata: MetaData, prefix: str, options: dict[str, Any]) -> Table:
    """One processing of a queue to its end (see ``taskqueue.runs``)."""
    table = Table(
        f"{prefix}run",
        metadata,
        Column("id", _name(32), primary_key=True),
        Column("queue_name", _name(), nullable=False),
        Column("owner", _key(), nullable=False),
        Column("definition", _LONG_TEXT, nullable=False),  # packed like an item, and signed like one
        Column("status", _name(16), nullable=False),
        Column("version", Integer, nullable=False, server_default="0"),
        # How many items there were at the beginning, how many so far, and what became of them.
        *(Column(name, BigInteger, nullable=False, server_default="0") for name in (
            "initial", "total", "done", "skipped", "failed")),
        Column("pace", BigInteger, nullable=False, server_default="0"),  # microseconds for one item; 0: unknown
        Column("problem", _LONG_TEXT),  # JSON: why the run is blocked
        # Who drives the run at the moment, and until when that is certain.
        Column("driver", _name(64), nullable=False, server_default=""),
        Column("driver_label", _key(), nullable=False, server_default=""),
        Column("driver_until", BigInteger, nullable=False, server_default="0"),
        Column("is_dirty", SmallInteger, nullable=False, server_default="0"),
        # How many items were counted for drivers that were killed before they could.
        Column("made_up", BigInteger, nullable=False, server_default="0"),
        # The step after the last item: its fence, and who executes it.
        Column("end_fence", BigInteger, nullable=False, server_default="0"),
        Column("end_holder", _name(32), nullable=False, server_default=""),
        Column("is_ended", SmallInteger, nullable=False, server_default="0"),
        # Aborted, and what is left up to this item shall be skipped; 0: it stays.
        Column("emptied_to", BigInteger, nullable=False, server_default="0"),
        Column("create_time", BigInteger, nullable=False),
        Column("start_time", BigInteger, nullable=False, server_default="0"),
        Column("end_time", BigInteger, nullable=False, server_default="0"),
        **options,
    )  # fmt: skip
    Index(f"{prefix}run_queue", table.c.queue_name, table.c.create_time)
    # Open runs have no end time: they are found although thousands have ended.
    Index(f"{prefix}run_open", table.c.queue_name, table.c.end_time, table.c.create_time)
    Index(f"{prefix}run_time", table.c.create_time)
    Index(f"{prefix}run_end", table.c.end_time)
    return table


def _run_log_table(metadata: MetaData, prefix: str, options: dict[str, Any]) -> Table:
    table = Table(
        f"{prefix}run_log",
        metadata,
        Column("id", _BIG_ID, primary_key=True, autoincrement=True),
        Column("run_id", _name(32), nullable=False),
        Column("time", BigInteger, nullable=False),
        Column("level", _name(8), nullable=False),
        Column("kind", _name(16), nullable=False),
        Column("item_id", BigInteger),
        Column("message", _LONG_TEXT, nullable=False),
        sqlite_autoincrement=True,  # pages ask for what is newer than the last id
        **options,
    )
    Index(f"{prefix}run_log_run", table.c.run_id, table.c.id)
    Index(f"{prefix}run_log_level", table.c.run_id, table.c.level, table.c.id)
    return table


def _run_request_table(metadata: MetaData, prefix: str, options: dict[str, Any]) -> Table:
    """What was asked for already: a request that is sent again after a lost answer has no second effect."""
    return Table(
        f"{prefix}run_request",
        metadata,
        Column("run_id", _name(32), primary_key=True),
        Column("request_id", _name(64), primary_key=True),
        Column("time", BigInteger, nullable=False),
        **options,
    )


def _holder_table(metadata: MetaData, prefix: str, options: dict[str, Any]) -> Table:
    """The processes that hold items, with their latest sign of life; an item's ``holder`` begins with the token."""
    return Table(
        f"{prefix}holder",
        metadata,
        Column("token", _name(32), primary_key=True),
        Column("label", _key(), nullable=False),
        Column("start_time", BigInteger, nullable=False),
        Column("beat_time", BigInteger, nullable=False),
        Column("beat_period", BigInteger, nullable=False),
        Column("worker", _LONG_TEXT),  # JSON: what a worker serves; None for terminals and pages
        **options,
    )


def _activity_table(metadata: MetaData, prefix: str, options: dict[str, Any]) -> Table:
    """What the items in hand report; only of those that take long enough for somebody to see it."""
    table = Table(
        f"{prefix}activity",
        metadata,
        Column("item_id", BigInteger, primary_key=True, autoincrement=False),
        Column("queue_name", _name(), nullable=False),
        Column("fence", BigInteger, nullable=False),
        Column("start_time", BigInteger, nullable=False),
        Column("done", Double),
        Column("total", Double),
        Column("message", _LONG_TEXT, nullable=False),
        Column("report_time", BigInteger, nullable=False, server_default="0"),
        **options,
    )
    Index(f"{prefix}activity_queue", table.c.queue_name)
    return table


def _result_table(metadata: MetaData, prefix: str, options: dict[str, Any]) -> Table:
    """What tasks returned, for queues that keep it."""
    table = Table(
        f"{prefix}result",
        metadata,
        Column("item_id", BigInteger, primary_key=True, autoincrement=False),
        Column("queue_name", _name(), nullable=False),
        Column("uid", _name(32), nullable=False),
        Column("data", _LONG_TEXT, nullable=False),  # packed like an item
        Column("end_time", BigInteger, nullable=False),
        Column("expire_time", BigInteger, nullable=False),
        **options,
    )
    Index(f"{prefix}result_expire", table.c.queue_name, table.c.expire_time)
    return table


def _batch_table(metadata: MetaData, prefix: str, options: dict[str, Any]) -> Table:
    """Items that belong together, and what is put on the queue when the last of them has ended."""
    table = Table(
        f"{prefix}batch",
        metadata,
        Column("id", _BIG_ID, primary_key=True, autoincrement=True),
        Column("queue_name", _name(), nullable=False),
        Column("uid", _name(32), nullable=False),
        Column("data", _LONG_TEXT, nullable=False),  # the callback, packed like an item
        Column("weight", Integer, nullable=False, server_default="0"),
        *(Column(name, BigInteger, nullable=False, server_default="0") for name in ("total", "pending", "failed")),
        Column("create_time", BigInteger, nullable=False),
        Column("end_time", BigInteger, nullable=False, server_default="0"),  # 0: not all of its items have ended
        sqlite_autoincrement=True,
        **options,
    )
    Index(f"{prefix}batch_end", table.c.queue_name, table.c.end_time)
    return table


def _periodic_table(metadata: MetaData, prefix: str, options: dict[str, Any]) -> Table:
    """Tasks that come again and again."""
    table = Table(
        f"{prefix}periodic",
        metadata,
        Column("name", _name(), primary_key=True),
        Column("queue_name", _name(), nullable=False),
        Column("cron", _key(), nullable=False),  # or another rhythm: see rhythm.Rhythm
        Column("timezone", _key(), nullable=False),
        Column("uid", _name(32), nullable=False),
        Column("data", _LONG_TEXT, nullable=False),  # the task, packed like an item
        Column("weight", Integer, nullable=False, server_default="0"),
        Column("is_paused", SmallInteger, nullable=False, server_default="0"),
        # The moment at which it is due next; whoever moves it on puts the item on the queue.
        Column("next_time", BigInteger, nullable=False),
        Column("last_time", BigInteger, nullable=False, server_default="0"),
        Column("create_time", BigInteger, nullable=False),
        # Its item is put on the queue only when the one before has ended.
        Column("is_single", SmallInteger, nullable=False, server_default="0"),
        **options,
    )
    Index(f"{prefix}periodic_next", table.c.is_paused, table.c.next_time)
    return table


def _received_table(metadata: MetaData, prefix: str, options: dict[str, Any]) -> Table:
    """The keys of messages that were received already, so that one that comes again has no second effect."""
    table = Table(
        f"{prefix}received",
        metadata,
        Column("queue_name", _name(), primary_key=True),
        Column("message_key", _key(), primary_key=True),
        Column("receive_time", BigInteger, nullable=False),
        **options,
    )
    Index(f"{prefix}received_time", table.c.queue_name, table.c.receive_time)
    return table


def _operation_table(metadata: MetaData, prefix: str, options: dict[str, Any]) -> Table:
    """Operations that were called with a tracking id: the request, and how it ended.

    While one waits or runs, the state is that of its item; ``state`` is set when it has ended otherwise than dead.
    """
    table = Table(
        f"{prefix}operation",
        metadata,
        Column("id", _name(32), primary_key=True),  # the tracking id, which is the uid of the item
        Column("name", _name(), nullable=False),
        Column("owner", _key(), nullable=False),
        Column("queue_name", _name(), nullable=False),
        Column("item_id", BigInteger, nullable=False, server_default="0"),
        # The idempotency key of the client, for as long as the result is kept, and what the request was.
        Column("client_key", _key()),
        Column("fingerprint", _name(64), nullable=False),
        # Somebody waits for the answer to the call itself.
        Column("is_direct", SmallInteger, nullable=False, server_default="0"),
        Column("state", _name(16), nullable=False, server_default=""),
        Column("attempts", Integer, nullable=False, server_default="0"),
        Column("create_time", BigInteger, nullable=False),
        Column("due_time", BigInteger, nullable=False, server_default="0"),
        # It is not begun after this moment; 0: there is none.
        Column("deadline", BigInteger, nullable=False, server_default="0"),
        Column("end_time", BigInteger, nullable=False, server_default="0"),
        # How long (ms) the result is kept, and, since it has ended, until when.
        Column("lasting", BigInteger, nullable=False),
        Column("expire_time", BigInteger, nullable=False, server_default="0"),
        # That time is over, and the texts were taken away; the row says so for a while.
        Column("is_emptied", SmallInteger, nullable=False, server_default="0"),
        Column("request", _LONG_TEXT, nullable=False),  # packed like an item
        Column("error", _LONG_TEXT),  # JSON: code, message, details
        Column("result", _LONG_TEXT),  # encoded by the serializer
        **options,
    )
    columns = table.c
    keyed = columns.client_key.is_not(None)
    Index(
        f"{prefix}operation_key", columns.owner, columns.name, columns.client_key, unique=True,
        postgresql_where=keyed, sqlite_where=keyed,
    )  # fmt: skip
    # Lists leave out what was emptied, however much that is.
    Index(f"{prefix}operation_owner", columns.owner, columns.is_emptied, columns.create_time, columns.id)
    Index(f"{prefix}operation_time", columns.is_emptied, columns.create_time, columns.id)
    Index(f"{prefix}operation_rate", columns.owner, columns.name, columns.create_time)
    # Open ones have no end time: they are found although many have ended.
    is_open = text("end_time = 0")
    Index(
        f"{prefix}operation_open", columns.end_time, columns.create_time, columns.id,
        postgresql_where=is_open, sqlite_where=is_open,
    )  # fmt: skip
    Index(
        f"{prefix}operation_pending", columns.owner, columns.name, columns.end_time, columns.create_time,
        postgresql_where=is_open, sqlite_where=is_open,
    )  # fmt: skip
    Index(f"{prefix}operation_expire", columns.is_emptied, columns.expire_time)
    return table


def _subscription_table(metadata: MetaData, prefix: str, options: dict[str, Any]) -> Table:
    """Who wants a copy of what is sent to a channel, and what is called when there is something."""
    return Table(
        f"{prefix}subscription",
        metadata,
        Column("channel", _name(), primary_key=True),
        Column("consumer", _name(), primary_key=True),
        Column("producer", _name(), primary_key=True),
        Column("callback", _name(), primary_key=True),
        Column("create_time", BigInteger, nullable=False),
        **options,
    )


def _claimed_table(metadata: MetaData, prefix: str, options: dict[str, Any]) -> Table:
    """Which items were claimed in the last minutes, a row for each claim (see ``storage.claimed``)."""
    table = Table(
        f"{prefix}claimed",
        metadata,
        Column("id", _BIG_ID, primary_key=True, autoincrement=True),
        Column("claim_time", BigInteger, nullable=False),
        Column("items", _LONG_TEXT, nullable=False),  # "uid:id:submit_time", a space between two
        **options,
    )
    Index(f"{prefix}claimed_time", table.c.claim_time)
    return table


def _trend_table(metadata: MetaData, prefix: str, options: dict[str, Any]) -> Table:
    """What was done in each minute and each hour (see ``storage.trends``)."""
    table = Table(
        f"{prefix}trend",
        metadata,
        Column("queue_name", _name(), primary_key=True),  # "": all queues together
        Column("resolution", Integer, primary_key=True, autoincrement=False),  # seconds: 60 or 3600
        Column("start", BigInteger, primary_key=True, autoincrement=False),  # a multiple of the resolution
        *(Column(name, BigInteger, nullable=False, server_default="0") for name in (
            "done", "failed", "dead", "run_time", *(f"ran_{number}" for number in range(RUN_TIME_BINS)))),
        Column("depth", BigInteger),  # how many items stood in the queue when that was looked at last
        **options,
    )  # fmt: skip
    Index(f"{prefix}trend_start", table.c.resolution, table.c.start)
    return table


def _audit_table(metadata: MetaData, prefix: str, options: dict[str, Any]) -> Table:
    """Who did what by hand to a queue or an item."""
    table = Table(
        f"{prefix}audit",
        metadata,
        Column("id", _BIG_ID, primary_key=True, autoincrement=True),
        Column("time", BigInteger, nullable=False),
        Column("actor", _key(), nullable=False),
        Column("action", _name(32), nullable=False),
        Column("queue_name", _name(), nullable=False, server_default=""),
        Column("item_id", BigInteger),
        Column("number", BigInteger),
        Column("detail", _LONG_TEXT, nullable=False),
        sqlite_autoincrement=True,  # pages ask for what is newer than the last id
        **options,
    )
    Index(f"{prefix}audit_queue", table.c.queue_name, table.c.id)
    Index(f"{prefix}audit_item", table.c.queue_name, table.c.item_id, table.c.id)
    Index(f"{prefix}audit_time", table.c.time)
    return table


def create_tables(tables: Tables, connection: Connection) -> None:
    """Create what is missing and stamp the revision last, so that whoever is interrupted is completed by the next."""
    for table in tables.metadata.sorted_tables:
        table.create(connection, checkfirst=True)
        for index in table.indexes:
            index.create(connection, checkfirst=True)
    if connection.execute(tables.version.select()).first() is None:
        connection.execute(tables.version.insert().values(version_num=REVISION))
