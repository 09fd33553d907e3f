"""The floors: the same work as a bare loop on the driver, on the smallest table that a safe queue can live with.

One index, no keys, no signatures, no retries, no counters. A claim leaves a lease and is safe for several workers;
every commit is as durable as ours.
"""

from __future__ import annotations

import json
import random
import sqlite3
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any

import psycopg
import pymysql
from sqlalchemy.engine import URL, make_url

from . import work
from .measure import Contestant

_LEASE_MS = 30_000
_CHUNK = 1000
_BATCH = 100
_QUEUE = "bench"
_TABLE = """CREATE TABLE bare (id {id}, queue_name VARCHAR(64) NOT NULL, weight INT NOT NULL,
    submit_time BIGINT NOT NULL, release_time BIGINT NOT NULL, run_count INT NOT NULL, token BIGINT NOT NULL,
    data {text} NOT NULL)"""
_INDEX = "CREATE INDEX bare_claim ON bare (queue_name, release_time, weight, id)"
_COLUMNS = "queue_name, weight, submit_time, release_time, run_count, token, data"
_READY = "FROM bare WHERE queue_name = ? AND release_time = 0 ORDER BY weight, id LIMIT ?"
_TAKEN = "release_time = ?, token = ?, run_count = run_count + 1"

Row = tuple[Any, ...]
Claimed = Sequence[tuple[int, str]]


class Floor(ABC):
    """One connection in autocommit mode, one cursor."""

    id_type = text_type = ""
    mark = "%s"

    def __init__(self, url: str, *, create: bool = True) -> None:
        self.cursor = self.connect(make_url(url)).cursor()
        if create:
            self.execute(_TABLE.format(id=self.id_type, text=self.text_type))
            self.execute(_INDEX)

    def contestants(self) -> dict[str, Contestant]:
        """The floor of each benchmark."""
        return {
            "enqueue": Contestant("floor: INSERT + commit", self.insert_each, self.stands),
            "bulk": Contestant(f"floor: {self.bulk_name}", self.insert_bulk, self.stands),
            "run_all": Contestant("floor: p100", self.drain, self.ran, self.fill),
        }

    # --- what is timed ---

    def insert_each(self, count: int) -> None:
        """One INSERT and commit for each."""
        sql = self.sql(f"INSERT INTO bare ({_COLUMNS}) VALUES ({', '.join('?' * 7)})")
        for row in _rows(count):
            self.cursor.execute(sql, row)

    def insert_bulk(self, count: int) -> None:
        """A thousand rows a commit, the quickest way that the driver has."""
        rows = _rows(count)
        while chunk := list(islice(rows, _CHUNK)):
            self.begin()
            self.insert_chunk(chunk)
            self.execute("COMMIT")

    def drain(self, count: int) -> None:
        """Claim 100 in one commit, run each and delete it in a commit of its own."""
        delete = self.sql("DELETE FROM bare WHERE id = ? AND token = ?")
        while True:
            token = random.getrandbits(62)
            claimed = self.claim(_BATCH, token, _now() + _LEASE_MS)
            if not claimed:
                return
            for row_id, text in claimed:
                work.no_op(None, json.loads(text))
                self.cursor.execute(delete, (row_id, token))
                assert self.cursor.rowcount == 1

    # --- around it ---

    def fill(self, count: int) -> None:
        """Rows for a drain."""
        self.insert_bulk(count)
        work.expect(count)

    def stands(self, count: int) -> None:
        """All rows stand there once; then none."""
        self.execute("SELECT data FROM bare ORDER BY weight, id")
        work.verify_stands("floor", (work.number_of(text) for (text,) in self.cursor.fetchall()), count)
        self.execute("DELETE FROM bare")

    def ran(self, count: int) -> None:
        """All have run once, and no row is left."""
        work.verify_ran("floor")
        self.stands(0)

    def sql(self, text: str) -> str:
        """``?`` in the style of the driver."""
        return text.replace("?", self.mark)

    def execute(self, text: str, values: Row = ()) -> None:
        """A statement that is not hot."""
        self.cursor.execute(self.sql(text), values)

    def close(self) -> None:
        """Close the connection."""
        with suppress(Exception):
            self.cursor.connection.close()

    # --- what differs ---

    bulk_name = ""

    @abstractmethod
    def connect(self, url: URL) -> Any:
        """A connection in autocommit mode."""

    @abstractmethod
    def insert_chunk(self, rows: list[Row]) -> None:
        """Insert many rows at once."""

    @abstractmethod
    def claim(self, limit: int, token: int, until: int) -> Claimed:
        """Lease the next items in one commit."""

    def claim_within(self, limit: int, token: int, until: int) -> Claimed:
        """:meth:`claim` inside an open transaction."""
        return self.claim(limit, token, until)

    def begin(self) -> None:
        """Open a transaction."""
        self.execute("BEGIN")


class SQLiteFloor(Floor):
    """WAL with synchronous=FULL."""

    id_type, text_type, mark = "INTEGER PRIMARY KEY AUTOINCREMENT", "TEXT", "?"
    bulk_name = "executemany"

    def connect(self, url: URL) -> Any:
        connection = sqlite3.connect(str(url.database), isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        return connection

    def begin(self) -> None:
        self.execute("BEGIN IMMEDIATE")

    def insert_chunk(self, rows: list[Row]) -> None:
        self.cursor.executemany(f"INSERT INTO bare ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def claim(self, limit: int, token: int, until: int) -> Claimed:
        sql = f"UPDATE bare SET {_TAKEN} WHERE id IN (SELECT id {_READY}) RETURNING id, data"
        self.execute(sql, (until, token, _QUEUE, limit))
        return sorted(self.cursor.fetchall())


class MariaDBFloor(Floor):
    """READ COMMITTED; candidates by a plain read, then locked by primary key."""

    id_type, text_type = "BIGINT AUTO_INCREMENT PRIMARY KEY", "LONGTEXT"
    bulk_name = "multi-row INSERT"

    def connect(self, url: URL) -> Any:
        connection = pymysql.connect(
            host=url.host, port=url.port or 3306, user=url.username, database=url.database, charset="utf8mb4",
            autocommit=True, ssl_disabled=True,
        )  # fmt: skip
        connection.cursor().execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        return connection

    def insert_chunk(self, rows: list[Row]) -> None:
        self.cursor.executemany(f"INSERT INTO bare ({_COLUMNS}) VALUES (%s, %s, %s, %s, %s, %s, %s)", rows)

    def claim(self, limit: int, token: int, until: int) -> Claimed:
        claimed: Claimed = []
        while not claimed and (candidates := self._candidates(limit)):
            self.begin()
            claimed = self._take(candidates, token, until, limit)
            self.execute("COMMIT")
        return claimed

    def _candidates(self, limit: int) -> list[int]:
        """Twice as many as are wanted, because another worker may just be taking the first ones."""
        self.execute(f"SELECT id {_READY}", (_QUEUE, 2 * limit))
        return [row_id for (row_id,) in self.cursor.fetchall()]

    def claim_within(self, limit: int, token: int, until: int) -> Claimed:
        candidates = self._candidates(limit)
        return self._take(candidates, token, until, limit) if candidates else []

    def _take(self, candidates: Sequence[int], token: int, until: int, limit: int) -> Claimed:
        locked = f"SELECT id, data FROM bare WHERE id IN ({_listed(candidates)}) AND release_time = 0"
        self.execute(f"{locked} ORDER BY id LIMIT {limit} FOR UPDATE SKIP LOCKED")
        claimed: Claimed = self.cursor.fetchall()
        taken = _listed(row_id for row_id, _text in claimed)
        if taken:
            self.execute(f"UPDATE bare SET {_TAKEN} WHERE id IN ({taken})", (until, token))
        return claimed


class PostgreSQLFloor(Floor):
    """psycopg, which prepares what is executed often."""

    id_type, text_type = "BIGSERIAL PRIMARY KEY", "TEXT"
    bulk_name = "COPY"

    def connect(self, url: URL) -> Any:
        return psycopg.connect(
            host=url.host, port=url.port, user=url.username, dbname=url.database, autocommit=True
        )  # fmt: skip

    def insert_chunk(self, rows: list[Row]) -> None:
        with self.cursor.copy(f"COPY bare ({_COLUMNS}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)

    def claim(self, limit: int, token: int, until: int) -> Claimed:
        self.execute(
            f"WITH ready AS MATERIALIZED (SELECT id {_READY} FOR UPDATE SKIP LOCKED) UPDATE bare SET {_TAKEN} "
            "FROM ready WHERE bare.id = ready.id RETURNING bare.id, bare.data",
            (_QUEUE, limit, until, token),
        )
        return sorted(self.cursor.fetchall())


FLOORS: dict[str, type[Floor]] = {"sqlite": SQLiteFloor, "mariadb": MariaDBFloor, "postgresql": PostgreSQLFloor}


def bare_calls() -> dict[str, Contestant]:
    """The floor of a queue in memory: the call of the task, and nothing around it."""

    def call(count: int) -> None:
        for number in range(count):
            work.no_op(None, work.argument(number))

    return {"run_all": Contestant("floor: bare call", call, lambda count: work.verify_ran("floor"), work.expect)}


def _rows(count: int) -> Iterator[Row]:
    moment = _now()
    return ((_QUEUE, 0, moment, 0, 0, 0, work.argument_text(number)) for number in range(count))


def _now() -> int:
    return time.time_ns() // 1_000_000


def _listed(ids: Iterable[int]) -> str:
    return ", ".join(map(str, ids))
