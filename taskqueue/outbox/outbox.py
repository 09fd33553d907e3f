"""``Outbox``: the services of an application whose calls are recorded, and what delivers them."""

from __future__ import annotations

import inspect
import threading
import warnings
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cached_property, partial
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from sqlalchemy import Connection
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from ..errors import ConfigurationError, DatabaseError, NotSupported, SpecError
from ..forks import inherit
from ..queues.batch import BatchQueue
from ..service import QueueService
from ..spec import OUTBOX_PAYLOAD, check_name, nearest, shown
from .context import current_message
from .dead import DeadMessages
from .dispatch import Dispatcher
from .inbox import Inbox
from .mapped import StoredMessage, message_class
from .message import EMIT, Message
from .moment import Moment, checked_session
from .options import ServiceOptions, refuse_conflict, refuse_unequal
from .proxy import CALL_OPTIONS, Queued
from .queues import Queues
from .recording import Deferred, Immediate, Persistent, Recorder
from .series import Series
from .target import Target
from .tenants import Services, Tenants

Class = TypeVar("Class", bound=type)
Thing = TypeVar("Thing")
KINDS = ("persistent", "memory", "off")
#: The queued forms of a session, by service, so that asking twice gives the same one.
_FORMS = "taskqueue.queued"


class Outbox:
    """The services of an application, by name, on the queues of one service.

    Arguments:
        service: whose database the messages stand in. Workers on it deliver them, once they have the same services.
        services: options by name (see :class:`ServiceOptions`); they override what the classes declare.
        kind: "persistent"; "memory": delivered once after the commit, never tried again (see :attr:`lost`); "off":
            calls are made at once. Only the first tells anybody what became of a message (see :func:`.handlers.after`).
        session: gives the session of the moment, or is a ``scoped_session``: for calls that were given none and are not
            made by a handler.
        user: gives the id of the user of the moment, or a mapping with "user", "claims" and "locale"; not asked where
            a handler calls: that goes on in the name of its own user.
        app_id: keeps several applications on one database apart.
        version: of the application; messages with a greater ``min_version`` are left to its newer workers.
        defaults: options of all services.
        tenant: the name of the tenant whose database that is; :meth:`for_tenant` gives it.
        tenants: the :class:`QueueService` of each tenant by its name, or a function that gives it for a name.

    Raises :class:`ConfigurationError` when the service has an outbox already, :class:`SpecError`.
    """

    def __init__(
        self,
        service: QueueService,
        *,
        services: Mapping[str, Mapping[str, Any]] | None = None,
        kind: str = "persistent",
        session: Callable[[], Any] | scoped_session[Any] | None = None,
        user: Callable[[], Any] | None = None,
        app_id: str | None = None,
        version: int | None = None,
        defaults: Mapping[str, Any] | None = None,
        tenant: str | None = None,
        tenants: Services | None = None,
        _root: Outbox | None = None,
    ) -> None:
        if not isinstance(service, QueueService):
            raise SpecError(f"an Outbox takes a QueueService, not {shown(service)}")
        if kind not in KINDS:
            raise SpecError(f"kind is one of {', '.join(KINDS)}, not {shown(kind)}{nearest(str(kind), KINDS)}")
        if OUTBOX_PAYLOAD in service.settings.handlers:
            raise ConfigurationError("this QueueService has an outbox already: one Outbox serves all its services")
        if app_id is not None and ":" in check_name(app_id, "application"):
            raise SpecError(f"the id of an application has no ':', as {app_id!r} has")
        self._service = service
        self._defaults = ServiceOptions().with_options(defaults or {})
        for options in (services or {}).values():
            self._defaults.with_options(options)
        self._configured = {name: dict(options) for name, options in (services or {}).items()}
        #: The outbox that is declared; those of its tenants have its services.
        self._root = _root or self
        self._targets: dict[str, Target] = {} if _root is None else _root._targets
        #: The queued forms that belong to no session.
        self._forms: dict[str, Queued] = {}
        self._lock = threading.RLock()
        self._dispatcher = Dispatcher(service.settings, self._targets, self._open_session, version, tenant)
        self._app_id = app_id
        self.queues = Queues(service, app_id)
        #: The messages that used up their attempts, or that nothing can deliver.
        self.dead = DeadMessages(self.queues.named)
        self._tenant = tenant
        self._recorder = self._make_recorder(kind, Moment(session, user), tenant)
        self._recorder.owner = self
        self._series = Series(service, self.queues, self._recorder)

        def for_one(name: str, service: QueueService) -> Outbox:
            return Outbox(
                service, services=services, kind=kind, session=session, user=user, app_id=app_id, version=version,
                defaults=defaults, tenant=name, _root=self,
            )  # fmt: skip

        self._tenants = Tenants(tenants, for_one) if tenants is not None else None
        service.settings.handlers[OUTBOX_PAYLOAD] = replace(self._dispatcher.handler(), serves=self.queues.owns)
        service.settings.outbox = self
        inherit(self)

    def forget_parent(self) -> None:
        """In a forked child: nobody holds the lock."""
        self._lock = threading.RLock()

    def _make_recorder(self, kind: str, moment: Moment, tenant: str | None) -> Recorder:
        common = self._dispatcher, moment.facts, moment.session, tenant
        if kind == "persistent":
            return Persistent(*common, self.queues)
        return Deferred(*common) if kind == "memory" else Immediate(*common)

    def _open_session(self) -> AbstractContextManager[Session]:
        return sessionmaker(self._service.engine).begin()

    # --- services ---

    def service(self, name: str, **options: Any) -> Callable[[Class], Class]:
        """Class decorator: an instance, made without arguments, is a service of that name.

        A class attribute ``outboxed`` (True or False) and ``outbox_options`` (a mapping) are its options, unless
        ``options`` or those given to the outbox say otherwise.
        """

        def register(kind: Class) -> Class:
            self.register(name, kind(), **options)
            return kind

        return register

    def register(self, name: str, thing: Thing, **options: Any) -> Thing:
        """Make any object with methods a service; return it.

        Raises :class:`SpecError` on a name that is taken, or marks that make no sense, :class:`ConfigurationError` when
        it shares a queue with a service that says something else of it.
        """
        check_name(name, "service")
        if isinstance(thing, type):
            raise SpecError(f"a service is an object, not the class {thing.__name__}: register {thing.__name__}()")
        declared = {**inspect.getattr_static(thing, "outbox_options", {}), **options}
        outboxed = inspect.getattr_static(thing, "outboxed", None)
        if outboxed is not None:
            declared.setdefault("outboxed", outboxed)
        with self._lock:
            if name in self._targets:
                raise SpecError(f"the outbox has a service {name!r} already")
            known = _targets.get(id(thing))
            if known is not None:
                where = "" if known.owner is self else " with another outbox"
                raise SpecError(f"this service is registered as {known.name!r}{where} already: register another object")
            said = self._defaults.with_options({**declared, **self._configured.get(name, {})})
            for other in self._targets.values():
                refuse_unequal(name, said, other.name, other.options)
            target = Target(self, name, thing, said)
            self._targets[name] = target
            _targets[id(thing)] = target
        return thing

    def connect(self, name: str) -> Any:
        """The service of that name: its queued form if it is configured so, else itself. Raises :class:`SpecError`."""
        target = self._target(name)
        return self.queued(target.thing) if target.options.outboxed else target.thing

    def check_service(self, name: str) -> None:
        """Raises :class:`SpecError` on an unknown service."""
        self._target(name)

    def _target(self, name: str) -> Target:
        if name not in self._targets:
            raise SpecError(f"the outbox has no service {name!r}{nearest(name, self._targets)}")
        return self._targets[name]

    # --- queued forms ---

    def queued(self, thing: Any, session: Any = None, **options: Any) -> Any:
        """The queued form of a service (see :func:`queued`)."""
        target, session = self._own(thing), checked_session(session)
        call = {key: value for key, value in options.items() if key in CALL_OPTIONS}
        rest = {key: value for key, value in options.items() if key not in CALL_OPTIONS}
        with self._lock:
            if rest:
                wanted = target.options.with_options(rest, CALL_OPTIONS)
                if target.is_queued:
                    refuse_conflict(target.name, target.options, wanted)
                target.options = wanted
            target.is_queued = True
            form = Queued(target, self._recorder, session, call)
            if call or isinstance(session, Connection):  # its info is the driver's connection's, which others get next
                return form
            if session is not None:
                return session.info.setdefault((_FORMS, self, target), form)
            return self._forms.setdefault(target.name, form)

    def _own(self, thing: Any) -> Target:
        target = target_of(thing)
        if target.owner is not self._root:
            raise SpecError(f"service {target.name!r} belongs to another outbox")
        return target

    @property
    def lost(self) -> int:
        """How many messages an outbox in memory has lost, because they failed after the commit."""
        return self._recorder.lost

    def inbox(self, service: str) -> Inbox:
        """What takes the messages of a broker in for the handlers of a service (see :class:`Inbox`).

        Raises :class:`SpecError` on an unknown service, :class:`NotSupported` when the outbox stores nothing.
        """
        target = self._target(service)
        recorder = self._recorder
        if not isinstance(recorder, Persistent):
            raise NotSupported("an inbox stores what it receives: it needs an Outbox of kind='persistent'")

        def message_of(event: str, data: Any, headers: Mapping[str, Any] | None) -> Message:
            return recorder.message(target, EMIT, event, [data], {}, {} if headers is None else {"headers": headers})

        return Inbox(target, partial(self.queues.of, target), message_of)

    # --- tenants ---

    def for_tenant(self, name: str) -> Outbox:
        """The outbox of a tenant: the same services and options on the tenant's database; made once.

        Raises :class:`SpecError` on an unknown tenant, or when there are none.
        """
        tenants = self._root._tenants
        if tenants is None:
            raise SpecError("the outbox knows no tenants: give it tenants=, their QueueServices by name")
        return tenants.outbox(name)

    @property
    def has_tenants(self) -> bool:
        """Whether there may be any; :meth:`known_tenants` may know none yet."""
        return self._tenants is not None

    def known_tenants(self) -> list[str]:
        """The names in ``tenants``; of a function, those that it was asked for."""
        return self._tenants.names() if self._tenants is not None else []

    @property
    def queue_service(self) -> QueueService:
        """The service on whose queues the messages stand."""
        return self._service

    def recorder_of_moment(self) -> Recorder:
        """What records a call: of a handler that has a tenant's message in hand, that of this tenant."""
        in_hand = current_message()
        if self._tenants is None or in_hand is None or in_hand.tenant is None:
            return self._recorder
        return self.for_tenant(in_hand.tenant)._recorder

    # --- looking ---

    @cached_property
    def Message(self) -> type[StoredMessage]:
        """A class over all messages that wait or are dead, for ``select()`` in a session of the application on the same
        database; it is mapped to no table of its own, and to change one of its objects raises :class:`NotSupported`."""
        database = self._service.database
        return message_class(
            database.tables, self._app_id, is_signed=self._service.settings.codec.signs,
            dialect_name=database.dialect.name,
        )  # fmt: skip

    # --- schedules ---

    def schedule(self, thing: Any, session: Any = None, **options: Any) -> Any:
        """The form of a service whose calls are scheduled (see :func:`schedule`)."""
        return self._series_of_moment(session).form(self._own(thing), checked_session(session), options)

    def unschedule(self, thing: Any, name: str, session: Any = None) -> bool:
        """Let a schedule of a service come no more (see :func:`unschedule`)."""
        return self._series_of_moment(session).remove(self._own(thing), name, checked_session(session))

    def _series_of_moment(self, session: Any) -> Series:
        found: Outbox = self if session is not None else self.recorder_of_moment().owner
        return found._series

    # --- delivery ---

    def prepare(self) -> None:
        """Make the tables and queues that do not exist yet, so that no transaction of the application has to;
        those that do get the ``timeout``, ``chunk_size`` and ``keep`` that are said now.

        Raises :class:`ConfigurationError` when services disagree on a queue, or say another ``parallel`` than that with
        which it was made.
        """
        for name in self._configured:
            if name not in self._targets:
                warnings.warn(
                    f"the outbox has options for a service {name!r}, which is not registered"
                    f"{nearest(name, self._targets)}",
                    stacklevel=2,
                )
        for target in list(self._targets.values()):
            target.is_queued = True
            self.queues.prepare(target)

    def flush(self, queue: str | None = None, tenant: str | None = None, wait: bool = True) -> int:
        """Deliver what is due now, on one queue or all of them; return how many attempts were made.

        Failing handlers raise nothing; what is delayed or waits for its retry is left.

        Arguments:
            tenant: only what is due for that tenant; None: what is due here and for all known tenants. When the
                database of one fails, the error is raised after the others.
            wait: also for what workers are just delivering.

        Raises :class:`SpecError` on an unknown queue or tenant, :class:`DatabaseError`, :class:`NotSupported` in a
        handler.
        """
        if tenant is not None:
            return self.for_tenant(tenant).flush(queue, wait=wait)
        attempts, is_known = 0, False
        unknown: SpecError | None = None
        failed: DatabaseError | None = None
        outboxes = [self, *map(self.for_tenant, self.known_tenants())]
        for one in outboxes:
            one._dispatcher.refuse_inside()
        for one in outboxes:
            try:
                attempts += sum(one.queues.flush(each, wait=wait) for each in one.queues.named(queue))
                is_known = True
            except SpecError as error:  # others may have a queue of that name
                unknown = unknown or error
            except DatabaseError as error:
                failed = failed or error
        if failed is not None:
            raise failed
        if unknown is not None and not is_known:
            raise unknown
        return attempts

    def suspend(self, *, queue: str | None = None, service: str | None = None) -> None:
        """Deliver nothing of a queue, or of a service that has one of its own, until :meth:`resume`; calls are recorded
        all the same. Raises :class:`SpecError`."""
        self._queue_of(queue, service).set_status("paused")

    def resume(self, *, queue: str | None = None, service: str | None = None) -> None:
        """Deliver again. Raises :class:`SpecError`."""
        self._queue_of(queue, service).set_status("active")

    def _queue_of(self, queue: str | None, service: str | None) -> BatchQueue:
        if (queue is None) == (service is None):
            raise SpecError("say which queue, or which service that has a queue of its own")
        if service is None:
            return self.queues.named(queue)[0]
        target = self._target(service)
        options = target.options
        others = [one.name for one in self._targets.values() if one.options.queue == options.queue]
        others.remove(service)
        if others:
            raise SpecError(
                f"service {service!r} shares the queue {options.queue!r} with {', '.join(others)}: name the queue, or "
                "give the service one of its own (option queue)"
            )
        return self.queues.of(target, None)


#: By the identity of the service, which its target keeps alive, as the outbox does the target.
_targets: WeakValueDictionary[int, Target] = WeakValueDictionary()


def target_of(thing: Any) -> Target:
    """The registration of a service, or of its queued form. Raises :class:`SpecError`."""
    target = thing._target if isinstance(thing, Queued) else _targets.get(id(thing))
    if target is None:
        raise SpecError(f"{shown(thing)} is no service of an outbox: register it with outbox.register(name, it)")
    return target


def queued(thing: Any, session: Any = None, **options: Any) -> Any:
    """The queued form of a service: it has the same methods, ``send`` and ``emit``, which record a call and return a
    :class:`MessageRef`, never a result.

    Arguments:
        thing: a service that was registered with an :class:`Outbox`, or a queued form.
        session: the SQLAlchemy Session or Connection in whose transaction calls are recorded; None: that of the handler
            or task that makes the call, else the outbox's ``session`` of the moment, else one of our own.
        options: those of the service (:class:`ServiceOptions`) may be said once; differing ones raise
            :class:`ConfigurationError`. Those of a call: ``order_key`` (messages with the same key are delivered one
            after the other), ``delay``, ``release_time``, ``dedup_key``, ``weight``, ``headers``, ``expires``,
            ``min_version``, ``user``, ``claims``, ``locale``.

    Asked twice for the same service and session it gives the same object; of a queued form, itself.
    """
    if isinstance(thing, Queued) and session is None and not options:
        return thing
    owner = thing._recorder.owner if isinstance(thing, Queued) else target_of(thing).owner
    return owner.queued(thing, session, **options)


def unqueued(thing: Any) -> Any:
    """The service itself, of its queued form; a service that is not queued is returned as it is."""
    return thing._target.thing if isinstance(thing, Queued) else thing


def schedule(thing: Any, session: Any = None, **options: Any) -> Any:
    """The form of a service whose calls are made later, or again and again::

        schedule(flights, session).replicate(entity="Airports").after("10m").every("1h").as_("replicate-airports")

    It has the same methods, ``send`` and ``emit``. They return a :class:`Plan`; only its ``as_()`` stores the schedule,
    once under each name: said again under the same one it replaces the other, its data included.

    Arguments:
        session: the SQLAlchemy Session or Connection in whose transaction it is stored; None: as with :func:`queued`.
        options: ``weight``, ``headers``, ``expires``, ``min_version``, ``user``, ``claims`` and ``locale`` of the call.
    """
    return target_of(thing).owner.schedule(thing, session, **options)


def unschedule(thing: Any, name: str, session: Any = None) -> bool:
    """Let a schedule of a service come no more; whether there was one.

    A run that waits on its queue is taken back. One that is under way may come to its end; it is told by
    ``ctx.should_stop``, and if it fails, it is not tried again. With a session this is part of its transaction.
    """
    return bool(target_of(thing).owner.unschedule(thing, name, session))
