"""The service: makes, finds and removes queues, and carries what an application decides once for all of them."""

from __future__ import annotations

import logging
import os
import threading
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from typing import TYPE_CHECKING, Any, ClassVar, Concatenate, Generic, ParamSpec, TypeVar, overload

from .callbacks import AllowList
from .errors import ConfigurationError, DatabaseError, QueueNotFound, SpecError
from .forks import inherit
from .payload import MAX_BYTES, Codec
from .queues.arguments import Seconds, delay_ms
from .queues.batch import BatchQueue
from .queues.memory import MemoryQueue
from .queues.sql import SqlQueue
from .queues.sql_parallel import SqlParallelQueue
from .schedules import Scheduling
from .settings import Handler, IdentityHook, Settings, SwitchUser
from .spec import TASK_PAYLOAD, QueueSpec, check_name, check_options, make_spec, nearest, shown
from .storage import registry
from .storage.database import Database, Joinable
from .storage.registry import Registration
from .storage.retention import Pruned, prune

if TYPE_CHECKING:
    from sqlalchemy import URL, Engine

_log = logging.getLogger(__name__)
DEFAULT_DATABASE = "sqlite:///taskqueue.db"
#: Makes a queue of a registered type.
Factory = Callable[[QueueSpec, Settings, "QueueService"], BatchQueue]
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
Function = TypeVar("Function", bound=Callable[..., Any])


class OptionsKept(UserWarning):
    """``create`` found the queue registered with other options, and kept those."""


@dataclass(frozen=True)
class _Type:
    factory: Factory
    #: Whether its queues live in this process only and never open a database.
    is_local: bool


def _memory(spec: QueueSpec, settings: Settings, service: QueueService) -> BatchQueue:
    return MemoryQueue(spec, settings)


def _sql(spec: QueueSpec, settings: Settings, service: QueueService) -> BatchQueue:
    return SqlQueue(spec, settings, service.database)


def _sql_parallel(spec: QueueSpec, settings: Settings, service: QueueService) -> BatchQueue:
    return SqlParallelQueue(spec, settings, service.database)


class _OnDefault(Generic[Arguments, Result]):
    """A method that, called on the class, is called on the default service of the process."""

    def __init__(self, method: Callable[Concatenate[QueueService, Arguments], Result]) -> None:
        self._method = method
        self.__doc__ = method.__doc__

    @overload
    def __get__(self, service: None, owner: type[QueueService]) -> Callable[Arguments, Result]: ...

    @overload
    def __get__(self, service: QueueService, owner: type[QueueService]) -> Callable[Arguments, Result]: ...

    def __get__(self, service: QueueService | None, owner: type[QueueService]) -> Callable[Arguments, Result]:
        return partial(self._method, service if service is not None else owner.default())


class QueueService(Scheduling):
    """Makes, finds and removes the queues of one database (and the ``Memory`` queues of this process).

    Arguments:
        target: an SQLAlchemy URL, or the application's Engine; None: ``$TASKQUEUE_DATABASE_URL``, else SQLite in
            ``./taskqueue.db``. Nothing is opened before the first use; missing tables are created then.
        allow: packages or modules whose callbacks may run, besides those that this very process puts on a queue;
            None: ``$TASKQUEUE_ALLOW`` (names separated by commas), else no list.
        secret_key: signs what is stored, so that rows written by others are never executed; a sequence of keys
            rotates them, the newest last.
        identity: ``identity(run_as)``, asked before a task with ``run_as``; raises or returns False to refuse.
        switch_user: ``switch_user(run_as)`` gives a context manager in which such a task is called.
        max_bytes: the largest item, in bytes as stored.
        prefix, schema: of the names of our tables.
        hosts: all hosts of the database as "name:port", the preferred one first, when it has several (the nodes of a
            Galera cluster, a server and its stand-by); None: those that the URL names as ``?host=a:3306&host=b:3306``.
        lease_slice, heartbeat, stale_after, interrupt_limit, prefetch: see :class:`Settings`.

    Raises :class:`ConfigurationError` or :class:`SpecError` on unusable arguments.
    """

    _default: ClassVar[QueueService | None] = None
    _default_lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(
        self,
        target: str | URL | Engine | None = None,
        *,
        allow: Iterable[str] | None = None,
        secret_key: str | bytes | Sequence[str | bytes] = (),
        identity: IdentityHook | None = None,
        switch_user: SwitchUser | None = None,
        max_bytes: int = MAX_BYTES,
        prefix: str = "taskqueue_",
        schema: str | None = None,
        hosts: Sequence[str] | None = None,
        **settings: Any,
    ) -> None:
        keys = [secret_key] if isinstance(secret_key, (str, bytes)) else list(secret_key)
        given = allow if allow is not None else allowed_by_environment()
        if unknown := settings.keys() - _TUNABLE:
            name = sorted(unknown)[0]
            raise SpecError(f"unknown setting {name!r}{nearest(name, _TUNABLE)}; known are {', '.join(_TUNABLE)}")
        self.settings = Settings(AllowList(given), Codec(keys, max_bytes), identity, switch_user, **settings)
        self._target = target
        self._names: dict[str, Any] = {"prefix": prefix, "schema": schema, "hosts": hosts}
        self._database: Database | None = None
        self._lock = threading.RLock()
        self._queues: dict[str, BatchQueue] = {}
        self._left_out: set[str] = set()
        self._types = {
            "Memory": _Type(_memory, is_local=True),
            "Sql": _Type(_sql, is_local=False),
            "SqlParallel": _Type(_sql_parallel, is_local=False),
        }
        inherit(self)

    def forget_parent(self) -> None:
        """In a forked child: nobody holds the lock. What it guards is changed in single steps, and found again."""
        self._lock = threading.RLock()

    # --- the default service ---

    @classmethod
    def default(cls) -> QueueService:
        """The default service of the process, made at first use from the environment."""
        with cls._default_lock:
            if cls._default is None:
                cls._default = cls()
            return cls._default

    def make_default(self) -> QueueService:
        """Let ``QueueService.create`` and ``taskqueue.queue`` work on this service from now on; return it."""
        type(self)._default = self
        return self

    # --- queues ---

    def _create(self, /, type: str | None, name: str, reset: bool = False, **options: Any) -> BatchQueue:
        """Find or make a queue.

        Arguments:
            type: "Memory", "Sql" (both strictly sequential), "SqlParallel", or a registered type.
            name: 1 to 128 ASCII letters, digits and ``_ . : -``, compared exactly.
            reset: True: throw the items and the registration of an existing queue away. Nothing is lost otherwise.
            options: see :class:`QueueSpec`. Those of a registered queue stay; differing ones are warned about.

        Returns the same object for the same name in one process. Raises :class:`SpecError`.
        """
        check_name(name)
        if not isinstance(reset, bool):
            raise SpecError(f"reset must be True or False, not {shown(reset)}")
        checked = check_options(options)
        with self._lock:
            queue = None if reset else self._standing(name, type)
            if queue is not None:
                self._warn_about(queue.spec, type, checked)
                return queue
            return self._make(self._spec(name, type, checked), reset)

    create = _OnDefault(_create)

    def create_within(self, session: Joinable, /, type: str, name: str, **options: Any) -> BatchQueue:
        """:meth:`create` inside the caller's own transaction, on whose commit a new registration depends.

        For the first use of a queue while that transaction has already written: on SQLite no other could.
        """
        with self._lock:
            spec, tx = self._spec(check_name(name), type, check_options(options)), self.database.joined(session)
            found = registry.find(tx, name)
            if found is None:
                registry.add(tx, _registration(spec))
            else:
                spec = QueueSpec(name=name, type=found.type, status=found.status, **found.options)
            queue = self._queues.get(name)
            return queue if queue is not None and queue.spec.type == spec.type else self._open(spec)

    def _load(self, /, name: str) -> BatchQueue:
        """The registered queue of that name. Raises :class:`QueueNotFound`."""
        with self._lock:
            queue = self._find(check_name(name))
        if queue is None:
            raise QueueNotFound(f"there is no queue {name!r}{nearest(name, self._known_names())}")
        return queue

    load = _OnDefault(_load)

    def _exists(self, /, name: str) -> bool:
        """Whether a queue of that name is registered."""
        with self._lock:
            return self._find(check_name(name)) is not None

    exists = _OnDefault(_exists)

    def _delete(self, /, name: str) -> None:
        """Remove a queue with all it holds. Raises :class:`QueueNotFound`."""
        with self._lock:
            self._load(name).delete()
            self._queues.pop(name, None)

    delete = _OnDefault(_delete)

    def _list(self, /) -> list[BatchQueue]:
        """All registered queues, by name; a database is opened only if this service has one to look at."""
        with self._lock:
            names = {queue.name for queue in self.local_queues()}
            if self._database is not None or not names:
                names |= {entry.name for entry in self._registrations()}
            found = [self._find(name) for name in sorted(names)]
        return [queue for queue in found if queue is not None]

    queues = _OnDefault(_list)

    def served(self, names: Sequence[str] | None = None) -> list[BatchQueue]:
        """The active queues that a worker serves: those of the names, else all with ``agent="server"``; by name.

        One read, however many queues there are. A queue that this process cannot open is left out, with a warning.
        """
        with self._lock:
            local = self.local_queues()
            found = [queue for queue in local if queue.status == "active"]
            if self.uses_database and (names is None or set(names) - {queue.name for queue in local}):
                entries = self.database.statement(registry.stored, write=False)
                found += [queue for name, read in entries if (queue := self._served(name, read)) is not None]
        if names is not None:
            return [queue for queue in found if queue.name in names]
        return [queue for queue in found if queue.spec.agent == "server"]

    def _served(self, name: str, read: Callable[[], Registration]) -> BatchQueue | None:
        try:
            entry = read()
            if (
                entry.status != "active"
                or entry.options.get("is_template")
                or not self.serves(name, entry.options.get("payload"))
            ):
                return None
            spec = QueueSpec(name=name, type=entry.type, status=entry.status, **entry.options)
            queue = self._queues.get(name)
            if queue is None or queue.spec.type != entry.type:
                return self._open(spec)
        except (SpecError, DatabaseError) as error:
            if name not in self._left_out:
                _log.warning("queue %s is not served here: %s", name, error)
                self._left_out.add(name)
            return None
        if queue.spec != spec:
            queue.spec = spec  # another process has updated the options
        return queue

    def serves(self, name: str, payload: str | None) -> bool:
        """Whether a queue with that payload is for the workers of this application, and not of another one."""
        handler = self.settings.handlers.get(payload or TASK_PAYLOAD)
        return handler is None or handler.serves is None or handler.serves(name)

    def local_queues(self) -> list[BatchQueue]:
        """The queues that live in this process only, by name; no database is opened."""
        with self._lock:
            return [queue for _name, queue in sorted(self._queues.items()) if self._is_local(queue)]

    def _known_names(self) -> list[str]:
        return [*self._queues, *(entry.name for entry in self._registrations())]

    def _standing(self, name: str, type: str | None) -> BatchQueue | None:
        if type is not None and type in self._types and self._types[type].is_local:
            return self._queues.get(name)  # a queue of this process opens no database
        return self._find(name)

    def _find(self, name: str) -> BatchQueue | None:
        queue = self._queues.get(name)
        if queue is not None and (self._is_local(queue) or not queue.spec.is_persistent):
            return queue
        entry = self.database.statement(lambda tx: registry.find(tx, name), write=False)
        if entry is None:
            self._queues.pop(name, None)  # another process has deleted it
            return None
        if queue is None or queue.spec.type != entry.type:
            queue = self._open(QueueSpec(name=name, type=entry.type, status=entry.status, **entry.options))
        return queue

    def _make(self, spec: QueueSpec, reset: bool) -> BatchQueue:
        if reset and (standing := self._find_for_reset(spec)) is not None:
            standing.delete()
            self._queues.pop(spec.name, None)
        if spec.is_persistent and not self._types[spec.type].is_local:
            self.database.transaction(lambda tx: registry.add(tx, _registration(spec)))
            # Whoever registered the name first has decided.
            return self._find(spec.name) or self._open(spec)
        return self._open(spec)

    def _find_for_reset(self, spec: QueueSpec) -> BatchQueue | None:
        if spec.name in self._queues:
            return self._queues[spec.name]
        if self._types[spec.type].is_local:
            return None
        # Items of a queue that was not registered may stand in the database all the same.
        return self._find(spec.name) or self._types[spec.type].factory(spec, self.settings, self)

    def _open(self, spec: QueueSpec) -> BatchQueue:
        queue = self._type(spec.type).factory(spec, self.settings, self)
        self._queues[spec.name] = queue
        return queue

    def _registrations(self) -> list[Registration]:
        return self.database.statement(registry.every, write=False)

    def _spec(self, name: str, type: str | None, options: Mapping[str, Any]) -> QueueSpec:
        template = options.get("template")
        if template is not None:
            inherited = self._template(template)
            type = type or inherited.type
            own = {**inherited.options(), "is_template": False, "template": None}
            options = {**own, **options}
        if type is None:
            raise SpecError(f"queue {name!r} is new and needs a type: one of {', '.join(self._types)}")
        self._type(type)
        return make_spec(name, type, options)

    def _template(self, name: str) -> QueueSpec:
        queue = self._find(check_name(name))
        if queue is None or not queue.spec.is_template:
            what = "is no template (is_template=True)" if queue else "does not exist"
            raise SpecError(f"template {name!r} {what}: create it first")
        return queue.spec

    def _warn_about(self, kept: QueueSpec, type: str | None, given: Mapping[str, Any]) -> None:
        stored = {**kept.options(), "type": kept.type}
        asked = {**given, **({"type": type} if type is not None else {})}
        asked.pop("status", None)  # that of a registered queue moves on
        differing = sorted(key for key, value in asked.items() if stored[key] != value)
        if differing:
            listed = ", ".join(f"{key}={stored[key]!r} (not {asked[key]!r})" for key in differing)
            warnings.warn(
                f"queue {kept.name!r} is registered and keeps {listed}: change options with queue.update()",
                OptionsKept,
                stacklevel=4,
            )

    # --- types and handlers ---

    def register_type(self, name: str, factory: Factory, *, is_local: bool = False) -> None:
        """Add a type of queue.

        Arguments:
            factory: ``factory(spec, settings, service)`` returns a :class:`BatchQueue`.
            is_local: its queues live in this process only: nothing is registered, no database is opened.
        """
        self._types[check_name(name)] = _Type(factory, is_local)

    def _type(self, name: object) -> _Type:
        if isinstance(name, str) and name in self._types:
            return self._types[name]
        hint = nearest(name, self._types) if isinstance(name, str) else ""
        raise SpecError(f"unknown queue type {shown(name)}{hint}; known are {', '.join(self._types)}")

    def _is_local(self, queue: BatchQueue) -> bool:
        return self._types[queue.spec.type].is_local

    def handler(self, payload: str, *, batch: bool = False) -> Callable[[Function], Function]:
        """Decorator: the function runs the items of queues with ``payload=payload``.

        Arguments:
            batch: False: it is called as ``handler(ctx, data)`` for each item. True: as ``handler(contexts,
                data_list)`` for up to ``batch_limit`` items, and returns None when all went well, or a list with one
                answer for each: an exception or False for one that failed.
        """
        if check_name(payload) == TASK_PAYLOAD:
            raise SpecError("the handler of payload 'task' is built in: choose another name")

        def register(function: Function) -> Function:
            self.settings.handlers[payload] = Handler(function, batch)
            return function

        return register

    # --- retention ---

    def prune(self, older_than: Seconds, *, dead: bool = False, dry_run: bool = False) -> Pruned:
        """Remove what is no longer needed, some hundred rows at a time.

        Arguments:
            older_than: seconds or a timedelta; what ended longer ago goes: the history of items, ended batches, and
                ended runs with their logs, what was noted of what was done by hand, and what is left of calls of
                operations whose time was over then. Results go when their own time (``keep_result``, ``result_ttl``) is
                over; what an inbox remembers, after 14 days at the earliest.
            dead: dead letters that died longer ago go as well, on record.
            dry_run: True: nothing is removed, only counted.

        Returns how much was removed. Raises :class:`SpecError`. Of items whose history was pruned, and of those
        before them, :meth:`Queue.outcome_of` does not say "ok" any more, but None.
        """
        age = delay_ms(older_than, "older_than")
        local = self.local_queues()
        found = [queue.archive.prune(age, dead=dead, dry_run=dry_run) for queue in local]
        if self._database is not None or not local:  # a process with queues in memory alone opens none
            operations = self.settings.operations
            end_strays = operations.end_strays if operations is not None else None
            found.append(prune(self.database, age, dead=dead, dry_run=dry_run, end_strays=end_strays))
        return reduce(Pruned.plus, found)

    # --- the database ---

    @property
    def database(self) -> Database:
        """The database behind the SQL queues, connected at first use."""
        if self._database is None:
            with self._lock:
                if self._database is None:
                    target = self._target or os.environ.get("TASKQUEUE_DATABASE_URL") or DEFAULT_DATABASE
                    self._database = Database(target, **self._names)
                    self._check_lease(self._database)
        return self._database

    def _check_lease(self, database: Database) -> None:
        timeout, lease = database.statement_timeout, self.settings.lease_slice
        if database.addresses and timeout is not None and timeout >= lease:
            _log.warning(
                "a host that hangs is given up after %g s, when leases of %g s have ended: raise lease_slice, or lower "
                "read_timeout in the URL",
                timeout,
                lease,
            )

    @property
    def uses_database(self) -> bool:
        """Whether there is more to look after than queues of this process."""
        named = self._target is not None or bool(os.environ.get("TASKQUEUE_DATABASE_URL"))
        return named or self._database is not None or not self.local_queues()

    @property
    def engine(self) -> Engine:
        """An SQLAlchemy engine on the service's database, for sessions that join a queue (``session=``)."""
        return self.database.engine

    def close(self) -> None:
        """Close pooled connections; the service stays usable. What was counted for the trends is stored before."""
        if self._database is not None:
            self._database.trends.flush()
            self._database.close()


def _renew_default_lock() -> None:
    QueueService._default_lock = threading.Lock()


os.register_at_fork(after_in_child=_renew_default_lock)
_TUNABLE = ("lease_slice", "heartbeat", "stale_after", "interrupt_limit", "prefetch")


def allowed_by_environment() -> list[str] | None:
    """The packages that ``$TASKQUEUE_ALLOW`` names, or None."""
    text = os.environ.get("TASKQUEUE_ALLOW", "")
    names = [name.strip() for name in text.split(",") if name.strip()]
    if text.strip() and not names:
        raise ConfigurationError("TASKQUEUE_ALLOW names no package: separate package names by commas")
    return names or None


def _registration(spec: QueueSpec) -> Registration:
    return Registration(spec.name, spec.type, spec.status, spec.options())


def queue(name: str, *, type: str | None = None, **options: Any) -> BatchQueue:
    """Find or create a queue on the default service: ``taskqueue.queue("import", type="SqlParallel")``."""
    return QueueService.create(type, name, **options)
