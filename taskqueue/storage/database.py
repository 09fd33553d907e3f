"""Access to one database: connections, transactions that are retried, and the caller's own transactions.

Hot statements go to the driver's own cursor: building them anew through an expression language costs several
times the statement itself.
"""

from __future__ import annotations

import math
import random
import re
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.engine import URL
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import Session, scoped_session
from sqlalchemy.pool import QueuePool

from .. import clock
from ..errors import (
    ConfigurationError,
    NotSupported,
    OutcomeUnknown,
    SessionMismatch,
    TaskQueueError,
)
from ..forks import inherit
from .channel import Channel, open_channel
from .connector import Connector
from .dialects import DIALECTS
from .durability import warn
from .faults import Fault, classify, is_demoted, is_driver_error, masked, translate
from .first_use import has_tables, make_ready, make_ready_within
from .hosts import Address
from .lending import Lending
from .recorder import TrendRecorder
from .schema import define_tables
from .stranded import Stranded
from .transaction import SessionCursor, TaskSession, Transaction
from .writer import OneWriter

Result = TypeVar("Result")
#: What may carry the caller's own transaction.
Joinable = Session | scoped_session[Any] | Connection
#: Seconds for which a lost connection or a conflict is tried again.
PATIENCE = 10.0
#: The same for numbers that may as well be stored later.
_SHORT_PATIENCE = 1.0
#: Seconds for which it is waited that a server ends what was sent to it on a connection that was lost.
_LET_END = 5.0
#: Listening workers are told of new items at most so often (seconds) by one process.
CALL_EVERY = 0.01
#: Faults after which the same work may succeed.
_PASSING = (Fault.CONFLICT, Fault.LOST, Fault.UNREACHABLE)
_AT_ONCE = nullcontext()
_WORD = re.compile(r"[a-z_][a-z0-9_]{0,39}", re.ASCII)


def _age(began: tuple[float, float]) -> int:
    """Milliseconds since a moment by two clocks: while a machine sleeps its monotonic one may stand still."""
    return clock.to_ms(max(time.monotonic() - began[0], time.time() - began[1]))


class _Local(threading.local):
    #: The session that :meth:`Database.session_scope` has open in this thread.
    session: Session | None = None
    #: The transaction of the application's that statements have joined here, and its connection.
    joined: tuple[Any, Callable[[], Connection | None] | None] = (None, None)


class _Lost:
    """A connection that was lost while something was made durable on it."""

    def __init__(self, channel: Channel, host: Address | None) -> None:
        self.session, self.opened, self.host = channel.session, channel.opened, host


class Database:
    """One database with our tables in it.

    Arguments:
        target: an SQLAlchemy URL (text or object), for which pools of our own are made, or the application's
            Engine, which is used as it is and gets no listeners.
        prefix: what the names of our tables begin with.
        schema: the schema that holds them, where the database has schemas.
        patience: seconds for which a lost connection or a conflict is tried again.
        hosts: all hosts of the database, as "name:port", the preferred one first; None: those that the URL names.
    """

    def __init__(
        self,
        target: str | URL | Engine,
        *,
        prefix: str = "taskqueue_",
        schema: str | None = None,
        patience: float = PATIENCE,
        hosts: Sequence[str] | None = None,
    ) -> None:
        for name, what in ((prefix, "prefix"), (schema, "schema")):
            if name is not None and not _WORD.fullmatch(name):
                raise ConfigurationError(f"{what} {name!r} is no plain name: use small letters, digits and '_'")
        self.tables = define_tables(prefix, schema)
        self._connector = Connector(target, hosts, self.tables.names)
        self.url, self.dialect = self._connector.url, self._connector.dialect
        self._patience = patience
        self._local = _Local()
        self._lock = threading.RLock()
        self._writer = self._make_writer()
        self._engines: tuple[Engine, Engine] | None = None
        self._ready = False
        self._identity: str | None = None
        #: Which process gave a sign of life here, and when (monotonic seconds).
        self.last_beat: tuple[str, float] = ("", 0.0)
        self.lending = self._make_lending()
        self.stranded = Stranded()
        #: Counts what this process executes.
        self.trends = TrendRecorder(partial(self.transaction, patience=_SHORT_PATIENCE))
        #: When notes of old claims were last removed here (monotonic seconds).
        self.last_forgot = -math.inf
        self._called = 0.0
        inherit(self)

    # --- engines -------------------------------------------------------------------------------

    @property
    def engine(self) -> Engine:
        """For sessions: the application's engine, or one of our own that begins real transactions."""
        return self._both_engines()[0]

    def _both_engines(self) -> tuple[Engine, Engine]:
        if self._engines is None:
            with self._lock:
                if self._engines is None:
                    self._engines = self._connector.make()
        return self._engines

    def forget_parent(self) -> None:
        """In a forked child: its parent's sockets and locks are not ours."""
        self._local, self._lock, self._writer = _Local(), threading.RLock(), self._make_writer()
        self.lending = self._make_lending()
        self.trends.forget()
        for engine in self._engines or ():
            engine.dispose(close=False)

    def _make_writer(self) -> AbstractContextManager[None]:
        return OneWriter(masked(self.url), self._refuse_to_wait_for_itself) if self.dialect.single_writer else _AT_ONCE

    def _make_lending(self) -> Lending:
        return Lending(self._open_channel, keeps=self._connector.given is None)

    @property
    def addresses(self) -> list[Address]:
        """All hosts, when there are several, the preferred one first."""
        return list(self._connector.addresses)

    @property
    def host(self) -> Address | None:
        """Of several hosts the one to which connections go."""
        return self._connector.host

    @property
    def statement_timeout(self) -> float | None:
        """After so many seconds a statement of ours without an answer is given up; None: never."""
        return self._connector.statement_timeout

    @contextmanager
    def connected_to(self, address: Address | None) -> Iterator[Connection]:
        """A connection to one of the hosts, whatever it is good for; None: as any other."""
        with self.engine.connect() if address is None else self._connector.connected_to(address) as connection:
            yield connection

    def close(self) -> None:
        """Close the pooled connections of our own engines; they come back when needed."""
        if self._connector.given is not None:
            return
        engines = self._engines or ()
        pools = [engine.pool for engine in engines]
        for engine in engines:
            engine.dispose()
        self.lending.clear()
        for pool in pools:  # what came back meanwhile; what is still in use is closed when it does
            pool.dispose()

    # --- our own transactions ------------------------------------------------------------------

    def transaction(self, work: Callable[[Transaction], Result], *, patience: float | None = None) -> Result:
        """Call ``work`` inside a transaction and commit; conflicts and lost connections run it again, for so many
        seconds (None: as usual)."""
        return self._run(work, begin=True, patience=patience)

    def statement(self, work: Callable[[Transaction], Result], *, write: bool = True) -> Result:
        """Call ``work``, whose statements are each a transaction of its own; retried like :meth:`transaction`."""
        return self._run(work, begin=False, write=write)

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Let this thread keep one connection for all it does inside the block."""
        with nullcontext() if self.lending.is_held or not self._may_hold() else self.lending.hold():
            yield

    def _may_hold(self) -> bool:
        """Whether the pool has enough for a held connection, the heartbeat, and a task's own transaction."""
        pool = self._both_engines()[0].pool
        if not isinstance(pool, QueuePool) or pool._max_overflow < 0:
            return True
        capacity = pool.size() + pool._max_overflow
        if capacity < 2:
            raise ConfigurationError(
                "the Engine's pool gives one connection, but a runner needs another to renew its leases: "
                "give it pool_size=3 or more"
            )
        return capacity > 2

    def _run(
        self, work: Callable[[Transaction], Result], *, begin: bool, write: bool = True, patience: float | None = None
    ) -> Result:
        if not self._ready:
            self.ensure_schema()
        give_up: float | None = None
        began, pause, unsure = (time.monotonic(), time.time()), 0.002, False
        lost: _Lost | None = None
        while True:
            channel: Channel | None = None
            is_sent = False
            try:
                with self._writer if write else _AT_ONCE:
                    channel = self.lending.take()
                    try:
                        if lost is not None:
                            self._let_end(lost, channel)
                            lost = None
                        is_sent = True
                        transaction = Transaction(channel.cursor, self.dialect, unsure, _age(began) if unsure else 0)
                        return self._committed(work, transaction, channel) if begin else work(transaction)
                    except BaseException as error:
                        self._drop_if_bad(channel, error)
                        raise
                    finally:
                        self.lending.give_back(channel)
            except Exception as error:
                if not is_driver_error(error):
                    raise
                fault = self._fault(error)
                if is_sent and write and fault is Fault.LOST:
                    unsure = unsure or getattr(error, "was_committing", not begin)
                    lost = _Lost(channel, self.host) if unsure and channel is not None else None
                # From the first failure on: a call that hung for long deserves another try as well.
                give_up = give_up or time.monotonic() + (self._patience if patience is None else patience)
                if fault not in _PASSING or time.monotonic() > give_up:
                    raise self._final(error, fault, unsure) from error
            time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311  (jitter, not a secret)
            pause = min(pause * 2, 0.5)

    def _let_end(self, lost: _Lost, channel: Channel) -> None:
        """Wait until the server is through with what was sent on a lost connection: what it does later nobody finds."""
        if lost.session is None or lost.host != self.host:
            return
        give_up, pause = time.monotonic() + _LET_END, 0.001
        while time.monotonic() < give_up:
            if not self.dialect.is_at_work(channel.ask, lost.session, time.monotonic() - lost.opened):
                return
            time.sleep(pause)
            pause = min(pause * 2, 0.1)

    def _fault(self, error: BaseException) -> Fault:
        """What an error means here: where there are several hosts, one that takes no writes any more is left."""
        return Fault.UNREACHABLE if self._connector.addresses and is_demoted(error) else classify(error)

    def _final(self, error: Exception, fault: Fault, unsure: bool) -> TaskQueueError:
        if unsure and fault in _PASSING:
            return OutcomeUnknown(
                f"the connection to {masked(self.url)} was lost at a commit and did not come back: "
                "whether the commit took place is unknown; look, once the database is there again"
            )
        return translate(error, self.url)

    def _committed(self, work: Callable[[Transaction], Result], transaction: Transaction, channel: Channel) -> Result:
        channel.execute(self.dialect.begin)
        channel.in_transaction = True
        try:
            result = work(transaction)
        except Exception:
            channel.rollback()
            raise
        finally:
            channel.in_transaction = False
        try:
            channel.execute("COMMIT")
        except Exception as error:
            error.was_committing = True  # type: ignore[attr-defined]  # read by _run
            channel.rollback()
            raise
        return result

    def _open_channel(self) -> Channel:
        return open_channel(self._both_engines()[1], self.dialect, own=self._connector.given is None)

    def _drop_if_bad(self, channel: Channel, error: BaseException) -> None:
        # An interrupt may have cut a conversation in two: nobody can know what comes next on that line.
        is_interrupted = not isinstance(error, Exception)
        fault = self._fault(error) if not is_interrupted and is_driver_error(error) else None
        is_lost = fault in (Fault.LOST, Fault.UNREACHABLE)
        if is_interrupted or channel.is_broken or is_lost:
            self.lending.drop(channel, with_older=is_lost)

    def may_call(self) -> bool:
        """Whether it is time to tell listening workers again: those who were just woken look a little longer."""
        if not self.dialect.call or time.monotonic() - self._called < CALL_EVERY:
            return False
        self._called = time.monotonic()
        return True

    def is_being_written(self) -> bool:
        """Whether somebody holds the write lock at this moment, where there is one for the whole database."""
        if not self.dialect.single_writer:
            return False
        channel = self._open_channel()
        try:
            channel.execute("PRAGMA busy_timeout = 0")
            channel.execute(self.dialect.begin)
            channel.rollback()
            return False
        except Exception as error:
            if not is_driver_error(error):
                raise
            return classify(error) is Fault.CONFLICT  # for any other reason nobody could write, nor hold the lock
        finally:
            channel.discard()  # its patience is changed

    # --- the caller's transactions -------------------------------------------------------------

    def joined(self, session: Joinable) -> Transaction:
        """Statements that belong to the caller's own transaction. Raises :class:`SessionMismatch`."""
        if isinstance(session, scoped_session):
            session = session()
        connection = session.connection() if isinstance(session, Session) else session
        if not isinstance(connection, Connection):
            raise SessionMismatch(f"session= takes an SQLAlchemy Session or Connection, not {type(session).__name__}")
        if connection.engine is not self.engine and connection.engine.url != self.url:
            self._compare(connection)
        self._ensure_schema_within(connection)
        if not self.dialect.single_writer:
            self._refuse_autocommit(connection)
        if self.dialect.single_writer:
            self._local.joined = connection.get_transaction(), weakref.ref(connection)
        transaction = Transaction(SessionCursor(connection), self.dialect)
        transaction.can_tell = not (isinstance(session, Session) and session.twophase)
        return transaction

    def _refuse_to_wait_for_itself(self) -> None:
        """Raise when a session of this very thread, ours or the application's, holds the write lock."""
        if self._local.session is not None:
            raise NotSupported(
                "SQLite has one writer, and ctx.transaction() of this thread is it: pass session= to join it, "
                "or do this after the block"
            )
        begun, known = self._local.joined
        found: Connection | None = known() if known is not None else None
        if found is None or found.closed or found.invalidated or begun is None or found.get_transaction() is not begun:
            return
        if getattr(found.connection.driver_connection, "in_transaction", False) and self.is_being_written():
            raise NotSupported(
                "SQLite has one writer, and a session of this thread is it: pass session= to join it, or do this after "
                "its commit"
            )

    def orm_session(self, session: Joinable | None) -> Session | scoped_session[Any] | None:
        """The Session that statements join: the given one, or that of the task in hand; None when it is none."""
        found = session if session is not None else self.current_session
        return None if isinstance(found, Connection) else found

    def _compare(self, connection: Connection) -> None:
        same_kind = DIALECTS.get(connection.engine.url.get_backend_name()) is type(self.dialect)
        if same_kind and connection.exec_driver_sql(self.dialect.identity).scalar() == self._own_identity():
            return
        raise SessionMismatch(
            f"session= works on {masked(connection.engine.url)}, the queue on {masked(self.url)}: "
            "give a session on the queue's own database, or leave it out"
        )

    def _own_identity(self) -> str:
        if self._identity is None:
            with self._both_engines()[1].connect() as connection:
                self._identity = connection.exec_driver_sql(self.dialect.identity).scalar()
        return self._identity or ""

    @contextmanager
    def session_scope(self) -> Iterator[Session]:
        """A session of ours for the task in hand: committed at the end of the block, rolled back on an error.

        What this thread adds to a queue meanwhile joins it (see :attr:`current_session`).
        """
        if self.current_session is not None:
            raise NotSupported("a transaction is already open in this thread: ctx.transaction() opens one per task")
        self.ensure_schema()
        session = TaskSession(self.engine)
        connection: Connection | None = None
        with self._writer, self._as_current(session):
            try:
                connection = self._open(session)
                yield session
                _commit(session)
            except Exception as error:
                # What the caller's own statements did wrong stays as it is.
                if not is_driver_error(error) or classify(error) in (Fault.OTHER, Fault.SCHEMA):
                    raise
                raise translate(error, self.url) from error
            finally:
                _close(session, connection)

    def _open(self, session: Session) -> Connection:
        """Connect, and on SQLite take the write lock before anything is read; nothing has been done yet."""
        give_up = time.monotonic() + self._patience
        while True:
            try:
                connection = session.connection()
                self._begin(connection)
                return connection
            except Exception as error:
                if not is_driver_error(error) or time.monotonic() > give_up:
                    raise
                if classify(error, connecting=True) not in _PASSING:
                    raise
            time.sleep(random.uniform(0.05, 0.2))  # noqa: S311  (jitter, not a secret)

    def _begin(self, connection: Connection) -> None:
        """Make sure that a transaction is open, which on SQLite holds the write lock."""
        if not self.dialect.single_writer:
            self._refuse_autocommit(connection)
        elif not getattr(connection.connection.driver_connection, "in_transaction", True):
            connection.exec_driver_sql(self.dialect.begin)

    def _refuse_autocommit(self, connection: Connection) -> None:
        raw: Any = connection.connection.driver_connection
        if raw.get_autocommit() if hasattr(raw, "get_autocommit") else getattr(raw, "autocommit", False):
            raise ConfigurationError(
                "the Engine works in autocommit, where nothing can be rolled back: give one that begins transactions"
            )

    @property
    def current_session(self) -> Session | None:
        """The session that :meth:`session_scope` has open in this thread."""
        return self._local.session

    @contextmanager
    def _as_current(self, session: Session) -> Iterator[None]:
        self._local.session = session
        try:
            yield
        finally:
            self._local.session = None

    # --- the schema ---

    def ensure_schema(self) -> None:
        """Create our tables where they are missing; refuse those of another release. Checked once."""
        if self._ready:
            return
        with self._lock:
            if not self._ready:
                make_ready(*self._both_engines(), self.dialect, self.tables, self._patience)
                self._warn()
                self._ready = True

    def _warn(self) -> None:
        """Say once what of the database's settings does not keep what is promised; that never hinders anybody."""
        with suppress(Exception), self._both_engines()[1].connect() as connection:
            warn(connection, self.dialect)

    def _ensure_schema_within(self, connection: Connection) -> None:
        """:meth:`ensure_schema` for whoever joins the caller's transaction.

        That may be the one writer, without whom no tables can be made: then they are made in it, and gone with it.
        """
        if self._ready or not self.dialect.single_writer or has_tables(self._both_engines()[1], self.dialect):
            self.ensure_schema()
        else:
            make_ready_within(connection, self.dialect, self.tables)


def _commit(session: Session) -> None:
    session.flush()
    connection = session.connection()
    try:
        Session.commit(session)
    except Exception:
        # A transaction whose commit has failed may still be open, and the pool does not look.
        with suppress(InvalidRequestError):
            connection.invalidate()
        raise


def _close(session: Session, connection: Connection | None) -> None:
    """Roll back what was not committed."""
    try:
        Session.close(session)
    except Exception as error:
        if not is_driver_error(error):
            raise
        # Where that cannot even be said it is done by itself: what went wrong before is what counts.
        if connection is not None:
            with suppress(InvalidRequestError):
                connection.invalidate()
            connection.close()
