"""``Outbox``: the services of an application whose calls are recorded, and what delivers them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from sqlalchemy import Connection
from sqlalchemy.orm import Session, scoped_session

from ..errors import ConfigurationError, SpecError
from ..service import QueueService
from ..spec import check_name, nearest, shown
from .dispatch import Dispatcher
from .options import ServiceOptions, refuse_conflict
from .proxy import CALL_OPTIONS, Queued
from .queues import Queues
from .recording import Deferred, Immediate, Persistent, Recorder
from .series import Series
from .target import Target

Class = TypeVar("Class", bound=type)
Thing = TypeVar("Thing")
KINDS = ("persistent", "memory", "off")
#: The payload of an outbox's queues: what worker processes look up to deliver a message.
PAYLOAD = "outbox"
#: The queued forms of a session, by service, so that asking twice gives the same one.
_FORMS = "taskqueue.queued"


class Outbox:
    """The services of an application, by name, on the queues of one service.

    Arguments:
        service: whose database the messages stand in. Workers on it deliver them, once they have the same services.
        services: options by name (see :class:`ServiceOptions`); they override what the classes declare.
        kind: "persistent"; "memory": delivered once after the commit, never tried again; "off": calls are made at once.
        session: gives the session of the moment, or is a ``scoped_session``: for calls that were given none.
        user: gives the id of the user of the moment, or a mapping with "user", "claims" and "locale".
        app_id: keeps several applications on one database apart.
        version: of the application; messages with a greater ``min_version`` are left to its newer workers.
        defaults: options of all services.

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
    ) -> None:
        if not isinstance(service, QueueService):
            raise SpecError(f"an Outbox takes a QueueService, not {shown(service)}")
        if kind not in KINDS:
            raise SpecError(f"kind is one of {', '.join(KINDS)}, not {shown(kind)}{nearest(str(kind), KINDS)}")
        if PAYLOAD in service.settings.handlers:
            raise ConfigurationError("this QueueService has an outbox already: one Outbox serves all its services")
        if app_id is not None:
            check_name(app_id, "application")
        self._service = service
        self._defaults = ServiceOptions().with_options(defaults or {})
        self._configured = {name: dict(options) for name, options in (services or {}).items()}
        self._user = user
        self._targets: dict[str, Target] = {}
        self._lock = threading.RLock()
        self._dispatcher = Dispatcher(service.settings, self._targets, version)
        self.queues = Queues(service, app_id)
        self._recorder = self._make_recorder(kind, session or _no_session, tenant)
        self._series = Series(service, self.queues, self._recorder)
        service.settings.handlers[PAYLOAD] = self._dispatcher.handler()

    def _make_recorder(self, kind: str, session: Callable[[], Any], tenant: str | None) -> Recorder:
        common = self._dispatcher, self._facts, session, tenant
        if kind == "persistent":
            return Persistent(*common, self.queues)
        if kind == "memory":
            return Deferred(*common, lambda: Session(self._service.engine))
        return Immediate(*common)

    def _facts(self) -> Mapping[str, Any]:
        found = self._user() if self._user is not None else None
        return found if isinstance(found, Mapping) else {"user": found}

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
        """Make any object with methods a service; return it. Raises :class:`SpecError` on a name that is taken."""
        check_name(name, "service")
        declared = {**getattr(thing, "outbox_options", {}), **options}
        if "outboxed" not in declared and hasattr(thing, "outboxed"):
            declared["outboxed"] = thing.outboxed
        with self._lock:
            if name in self._targets:
                raise SpecError(f"the outbox has a service {name!r} already")
            target = Target(
                self, name, thing, self._defaults.with_options({**declared, **self._configured.get(name, {})})
            )
            self._targets[name] = target
            _targets[id(thing)] = target
        return thing

    def connect(self, name: str) -> Any:
        """The service of that name: its queued form if it is configured so, else itself. Raises :class:`SpecError`."""
        target = self._target(name)
        return self.queued(target.thing) if target.options.outboxed else target.thing

    def _target(self, name: str) -> Target:
        if name not in self._targets:
            raise SpecError(f"the outbox has no service {name!r}{nearest(name, self._targets)}")
        return self._targets[name]

    # --- queued forms ---

    def queued(self, thing: Any, session: Any = None, **options: Any) -> Any:
        """The queued form of a service (see :func:`queued`)."""
        target = self._own(thing)
        call = {key: value for key, value in options.items() if key in CALL_OPTIONS}
        rest = {key: value for key, value in options.items() if key not in CALL_OPTIONS}
        with self._lock:
            if rest:
                self._configure(target, rest)
            target.is_queued = True
        if call:
            return Queued(target, self._recorder, session, call)
        form = Queued(target, self._recorder, session, {})
        if session is None:
            return target.forms.setdefault(_FORMS, form)
        # A Connection cannot keep it: its info belongs to the connection of the driver, which others get next.
        return form if isinstance(session, Connection) else session.info.setdefault((_FORMS, target.name), form)

    def _own(self, thing: Any) -> Target:
        target = target_of(thing)
        if target.owner is not self:
            raise SpecError(f"service {target.name!r} belongs to another outbox")
        return target

    def _configure(self, target: Target, options: Mapping[str, Any]) -> None:
        wanted = target.options.with_options(options)
        if target.is_queued:
            refuse_conflict(target.name, target.options, wanted)
        target.options = wanted

    # --- schedules ---

    def schedule(self, thing: Any, session: Any = None, **options: Any) -> Any:
        """The form of a service whose calls are scheduled (see :func:`schedule`)."""
        return self._series.form(self._own(thing), session, options)

    def unschedule(self, thing: Any, name: str, session: Any = None) -> bool:
        """Let a schedule of a service come no more (see :func:`unschedule`)."""
        return self._series.remove(self._own(thing), name, session)

    # --- delivery ---

    def prepare(self) -> None:
        """Make the tables and queues that do not exist yet, so that no transaction of the application has to."""
        for target in list(self._targets.values()):
            self.queues.of(target.options, None)

    def flush(self, queue: str | None = None, *, wait: bool = True) -> int:
        """Deliver what is due now, on one queue or all of them; return how many attempts were made.

        Failing handlers raise nothing; what is delayed or waits for its retry is left.

        Arguments:
            wait: also for what workers are just delivering.
        """
        found = self.queues.standing()
        chosen = [one for one in found if queue is None or one.name == queue]
        if queue is not None and not chosen:
            raise SpecError(f"the outbox has no queue {queue!r}{nearest(queue, [one.name for one in found])}")
        return sum(self.queues.flush(one, wait=wait) for one in chosen)


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
        session: the SQLAlchemy Session or Connection in whose transaction calls are recorded; None: the outbox's
            ``session`` of the moment, else the open transaction of the handler that calls, else one of our own.
        options: those of the service (:class:`ServiceOptions`) may be said once; differing ones raise
            :class:`ConfigurationError`. Those of a call: ``order_key`` (messages with the same key are delivered one
            after the other), ``delay``, ``release_time``, ``dedup_key``, ``weight``, ``headers``, ``expires``,
            ``min_version``, ``user``, ``claims``, ``locale``.

    Asked twice for the same service and session it gives the same object; of a queued form, itself.
    """
    if isinstance(thing, Queued) and session is None and not options:
        return thing
    return target_of(thing).owner.queued(thing, session, **options)


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


def _no_session() -> None:
    return None
