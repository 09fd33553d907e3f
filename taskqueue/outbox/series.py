"""Schedules of a service: calls that are made later, or again and again, one of a name at a time."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from .. import singles
from ..durations import seconds_of
from ..errors import NotSupported, SpecError
from ..queues.arguments import delay_ms
from ..queues.sql_base import SqlBase
from ..rhythm import Rhythm
from ..schedules import Schedule
from ..service import QueueService
from ..spec import check_weight, nearest, shown
from ..storage.transaction import Transaction
from .message import Message
from .proxy import Queued
from .queues import Queues
from .recording import Persistent, Recorder
from .target import Target

if TYPE_CHECKING:
    from ..queues.base import Joinable

Result = TypeVar("Result")
#: What may be said about a call that is scheduled.
_OPTIONS = ("weight", "headers", "expires", "min_version", "user", "claims", "locale")
#: A cron expression has at least so many words; a span of time has one.
_CRON_WORDS = 5
#: The lookout of a worker looks once a second.
_SHORTEST_MS = 1000


class Plan:
    """A scheduled call in the making. Nothing is stored before :meth:`as_`: one that is dropped warns of that."""

    def __init__(self, event: str, store: Callable[[str, Rhythm], Schedule]) -> None:
        self._event = event
        self._store = store
        self._rhythm = Rhythm()
        #: Whether somebody still has to be told that nothing was stored.
        self._is_open = True

    def after(self, delay: float | timedelta | str) -> Plan:
        """Let it come (for the first time) so long after it is stored: seconds, a timedelta, or a text as "10m".

        With a cron expression: not before that. Without :meth:`every` it comes once. Raises :class:`SpecError`.
        """
        return self._with(lambda: replace(self._rhythm, after=delay_ms(seconds_of(delay, "after"), "after")))

    def every(self, rhythm: float | timedelta | str, *, timezone: str = "UTC") -> Plan:
        """Let it come again and again.

        Arguments:
            rhythm: a span of time as in :meth:`after`, at least a second: so long after the successful end of a run
                the next one begins, and the first one without delay. Or a cron expression of five fields, or of six
                with leading seconds; times that pass while a run is under way are left out.
            timezone: an IANA name; the clock whose hours the expression means.

        Raises :class:`SpecError`, :class:`ConfigurationError` on an unknown expression or time zone.
        """
        return self._with(lambda: self._every(rhythm, timezone))

    def _every(self, rhythm: float | timedelta | str, timezone: str) -> Rhythm:
        if isinstance(rhythm, str) and len(rhythm.split()) >= _CRON_WORDS:
            return replace(self._rhythm, cron=" ".join(rhythm.split()), timezone=timezone, distance=0)
        distance = delay_ms(seconds_of(rhythm, "every (which may also be a cron expression)"), "every")
        if distance < _SHORTEST_MS:
            raise SpecError(f"every must be at least a second, not {shown(rhythm)}")
        return replace(self._rhythm, cron="", timezone="UTC", distance=distance)

    def as_(self, name: str | None = None) -> Schedule:
        """Store it, in place of the one that the service has under this name.

        One that stands there as it is said now stays as it is, with its next time, so that an application can say it
        at each start; one that comes once is always set anew.

        Arguments:
            name: letters, digits and ``_ . -``; that of the event or method if left out.

        Raises :class:`SpecError`, :class:`NotSupported`, :class:`SerializationError`.
        """
        self._is_open = False
        return self._store(self._event if name is None else name, self._rhythm)

    def _with(self, make: Callable[[], Rhythm]) -> Plan:
        self._is_open = False  # whoever is told of an error need not be told that nothing was stored
        self._rhythm = make()
        self._is_open = True
        return self

    def __del__(self) -> None:
        if self._is_open:
            warnings.warn(
                f"the schedule of {self._event!r} was not stored: end it with .as_() or .as_(name)",
                RuntimeWarning,
                stacklevel=2,
            )


class Series:
    """The schedules of the services of one outbox."""

    def __init__(self, service: QueueService, queues: Queues, recorder: Recorder) -> None:
        self._service = service
        self._queues = queues
        self._recorder = recorder

    def form(self, target: Target, session: Joinable | None, options: Mapping[str, Any]) -> Scheduled:
        """The form of a service whose calls are scheduled. Raises :class:`SpecError`, :class:`NotSupported`."""
        self._refuse_without_database()
        for name in options:
            if name not in _OPTIONS:
                raise SpecError(f"unknown option {name!r} of a scheduled call{nearest(name, _OPTIONS)}")
        return Scheduled(self, target, self._recorder, session, options)

    def put(
        self, target: Target, session: Joinable | None, message: Message, weight: int, name: str, rhythm: Rhythm
    ) -> Schedule:
        """Store a schedule."""
        session = self._recorder.session_of(session)
        series, queue = self._queues.series(target.name, name), self._queue(target, session)
        data = replace(message, series=series).to_data()
        return self._within(session, lambda tx: singles.put(self._service, tx, series, data, rhythm, queue, weight))

    def remove(self, target: Target, name: str, session: Joinable | None) -> bool:
        """Remove a schedule; whether there was one."""
        self._refuse_without_database()
        session = self._recorder.session_of(session)
        series, queue = self._queues.series(target.name, name), self._queue(target, session)
        return self._within(session, lambda tx: singles.remove(self._service, tx, series, queue))

    def _queue(self, target: Target, session: Joinable | None) -> SqlBase:
        queue = self._queues.of(target, session)
        assert isinstance(queue, SqlBase)  # noqa: S101  (an outbox has no others)
        return queue

    def _within(self, session: Joinable | None, work: Callable[[Transaction], Result]) -> Result:
        database = self._service.database
        joined = session if session is not None else database.current_session
        return database.transaction(work) if joined is None else work(database.joined(joined))

    def _refuse_without_database(self) -> None:
        if not isinstance(self._recorder, Persistent):
            raise NotSupported("only an outbox of kind 'persistent' has schedules: the others store nothing")


class Scheduled(Queued):
    """Has the methods of the service, and ``send`` and ``emit``. All of them return a :class:`Plan`."""

    def __init__(
        self, series: Series, target: Target, recorder: Recorder, session: Joinable | None, options: Mapping[str, Any]
    ) -> None:
        super().__init__(target, recorder, session, options)
        self._series = series

    def _record(
        self, kind: str, event: str, args: list[Any], kwargs: Mapping[str, Any], headers: Mapping[str, Any] | None
    ) -> Any:
        target, session = self._target, self._session
        target.check(kind, event)
        target.check_arguments(kind, event, args, kwargs)
        options = {**self._options, **({"headers": headers} if headers is not None else {})}
        message = self._recorder.message(target, kind, event, args, kwargs, options)
        weight = check_weight(options.get("weight", 0))
        return Plan(event, lambda name, rhythm: self._series.put(target, session, message, weight, name, rhythm))

    def __repr__(self) -> str:
        return f"<scheduled {self._target.name!r}>"
