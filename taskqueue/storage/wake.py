"""How a worker that has nothing to do hears of work that other processes bring.

PostgreSQL tells (LISTEN and NOTIFY). SQLite says cheaply whether anything was written. Elsewhere one small query looks
for items that are ready or due. All of them only hurry: the truth is that query, which is asked now and then anyway.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from ..errors import TaskQueueError
from ..spec import check_name
from .database import Database
from .deadlines import within
from .schema import DELAYED, LEASED, READY
from .transaction import Transaction

#: Seconds between two probes, and between two looks at the version of a file, which cost next to nothing.
_PROBE_EVERY, _VERSION_EVERY = 0.019, 0.015
#: After so long a silence (seconds) who listens asks whether the line works, and waits so long for the answer.
QUIET = 10.0
_PROBE_TIMEOUT = 3.0
_IS_READY = f"state = {READY} AND release_time = 0"
_IS_DUE = tuple(f"state = {state} AND release_time <= {{now}}" for state in (DELAYED, LEASED))


#: SQLite takes no more than 500 parts of a UNION.
_CHUNK = 100


def queues_with_work(tx: Transaction, names: Sequence[str]) -> set[str]:
    """Those of the queues in which something is ready or due, or which are empty and have not completed yet."""
    chunks = (names[begin : begin + _CHUNK] for begin in range(0, len(names), _CHUNK))
    return {name for chunk in chunks for name in _ask(tx, chunk)} | _begun(tx, set(names))


def _ask(tx: Transaction, names: Sequence[str]) -> set[str]:
    values = {f"queue_{letters(index)}": name for index, name in enumerate(names)}
    branches = (
        f"SELECT :{key} WHERE EXISTS (SELECT 1 FROM {{item}} {{claim_index}} WHERE queue_name = :{key} AND {state})"
        for key in values
        for state in (_IS_READY, *_IS_DUE)
    )
    return {row[0] for row in tx.rows(" UNION ALL ".join(branches), **values)}


def _begun(tx: Transaction, names: set[str]) -> set[str]:
    """Those that nobody has completed: a worker may have died between their last item and that."""
    rows = tx.rows(
        "SELECT name FROM {queue} AS queue WHERE is_begun = 1 AND status = 'active' "
        "AND NOT EXISTS (SELECT 1 FROM {item} WHERE queue_name = queue.name)"
    )
    return {row[0] for row in rows} & names


def letters(index: int) -> str:
    """A number without digits, which names of parameters may not have."""
    return f"{index:b}".translate({48: "a", 49: "b"})


Names = Callable[[], Sequence[str]]


class Watch(ABC):
    """Waits for work of others. To be used by one thread."""

    def __init__(self, database: Database, stop: threading.Event) -> None:
        self._database = database
        self._stop = stop

    @abstractmethod
    def wait(self, names: Names, seconds: float) -> set[str]:
        """Queues that may have got work; returns as soon as there is one, or when the time is over.

        ``names()`` gives those for which to look at that moment; others may be among the answer.
        """

    @abstractmethod
    def close(self) -> None:
        """Give back what it holds."""


class Probing(Watch):
    """Asks again and again."""

    _every = _PROBE_EVERY

    def __init__(self, database: Database, stop: threading.Event) -> None:
        super().__init__(database, stop)
        self._names: Sequence[str] = ()
        self._questions: list[str] = []

    def wait(self, names: Names, seconds: float) -> set[str]:
        """See :class:`Watch`."""
        end = time.monotonic() + seconds
        while not self._stop.is_set():
            time.sleep(min(self._every, seconds))  # at this pace an event's own waiting would cost as much as the probe
            if self._has_changed() and (found := self._look(names())):
                return found
            if time.monotonic() >= end:
                break
        return set()

    def _has_changed(self) -> bool:
        return True

    def _look(self, names: Sequence[str]) -> set[str]:
        if names != self._names:
            self._names, self._questions = names, self._written(names)
        return self._database.statement(self._answers, write=False) if names else set()

    def _answers(self, tx: Transaction) -> set[str]:
        return {row[0] for text in self._questions for row in tx.rows("$question", {"question": text})}

    def _written(self, names: Sequence[str]) -> list[str]:
        """What is asked each time, with the names in it, which are no more than letters, digits and ``_ . : -``."""
        one = self._database.dialect.render(
            "SELECT $name WHERE EXISTS "
            f"(SELECT 1 FROM {{item}} {{claim_index}} WHERE queue_name = $name AND {_IS_READY})"
        )
        texts = [one.replace("$name", f"'{check_name(name)}'") for name in names]
        return [" UNION ALL ".join(texts[begin : begin + _CHUNK]) for begin in range(0, len(texts), _CHUNK)]

    def close(self) -> None:
        """See :class:`Watch`."""


class Versioned(Probing):
    """SQLite: asks only when the file has changed. What becomes due changes nothing: that is for those who wait."""

    _every = _VERSION_EVERY

    def __init__(self, database: Database, stop: threading.Event) -> None:
        super().__init__(database, stop)
        self._connection: Any = None
        self._cursor: Any = None
        self._version: int | None = None

    def _has_changed(self) -> bool:
        if self._connection is None:
            self._connection = self._database.engine.raw_connection()
            self._cursor = self._connection.driver_connection.cursor()
        self._cursor.execute("PRAGMA data_version")
        before, self._version = self._version, self._cursor.fetchone()[0]
        return before != self._version

    def close(self) -> None:
        """See :class:`Watch`."""
        if self._connection is not None:
            self._cursor.close()
            self._connection.close()
            self._connection = self._cursor = None


class Listening(Watch):
    """PostgreSQL: sleeps on a connection of its own until an enqueue of another process is committed."""

    def __init__(self, database: Database, stop: threading.Event) -> None:
        super().__init__(database, stop)
        self._connection: Any = None
        self._host: Any = None
        #: When (monotonic seconds) it was last known that the line works.
        self._heard = 0.0

    def wait(self, names: Names, seconds: float) -> set[str]:
        """See :class:`Watch`."""
        try:
            connection = self._listening()
            self._probe(connection)
            told = {notice.payload for notice in connection.notifies(timeout=seconds, stop_after=1)}
        except Exception as error:
            # Whatever it was: this only hurries, and the next call connects anew.
            self.close()
            self._stop.wait(seconds)
            if isinstance(error, TaskQueueError):
                raise
            return set()
        if told:
            self._heard = time.monotonic()
        return told

    def _probe(self, connection: Any) -> None:
        """A line that is dead is as silent as one on which there is nothing to tell."""
        if time.monotonic() - self._heard < QUIET:
            return
        with within(connection, _PROBE_TIMEOUT):
            connection.execute("SELECT 1")
        self._heard = time.monotonic()

    def _listening(self) -> Any:
        if self._host != self._database.host:
            self.close()  # it is told where the others write
        if self._connection is None:
            pooled = self._database.engine.raw_connection()
            raw: Any = pooled.driver_connection
            pooled.detach()
            raw.autocommit = True
            self._connection, self._host = raw, self._database.host
            with within(raw, _PROBE_TIMEOUT):
                raw.execute(f"LISTEN {self._database.dialect.channel}")
            self._heard = time.monotonic()
        return self._connection

    def close(self) -> None:
        """See :class:`Watch`."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def open_watch(database: Database, stop: threading.Event) -> Watch:
    """The best way that the database has; ``stop`` ends any waiting soon."""
    if database.dialect.channel:
        return Listening(database, stop)
    return Versioned(database, stop) if database.dialect.single_writer else Probing(database, stop)
