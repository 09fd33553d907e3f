"""The queued form of a service: its calls are recorded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from ..errors import SpecError
from .message import CALL, EMIT, SEND
from .reference import MessageRef
from .target import Target

if TYPE_CHECKING:
    from .recording import Recorder

#: What may be said about the calls of one queued form, besides the options of the service.
CALL_OPTIONS = (
    "order_key", "delay", "release_time", "dedup_key", "weight", "headers", "expires", "min_version", "user", "claims",
    "locale",
)  # fmt: skip


class Queued:
    """Has the methods of the service, and ``send`` and ``emit``. All of them record a call and return at once."""

    def __init__(self, target: Target, recorder: Recorder, session: Any, options: Mapping[str, Any]) -> None:
        self._target = target
        self._recorder = recorder
        self._session = session
        self._options = options
        for name in ("send", "emit", "flush"):
            if target.has_method(name):  # that of the service goes before ours
                vars(self)[name] = partial(self._call, name)

    def send(self, event: str, data: Any = None, headers: Mapping[str, Any] | None = None) -> MessageRef:
        """Record a request to the one handler of ``event``; the entries of a mapping are passed by name."""
        if isinstance(data, Mapping) and all(isinstance(key, str) for key in data):
            return self._record(SEND, event, [], data, headers)
        return self._record(SEND, event, [] if data is None else [data], {}, headers)

    def emit(self, event: str, data: Any = None, headers: Mapping[str, Any] | None = None) -> MessageRef:
        """Record an event for all handlers of it, in one message."""
        return self._record(EMIT, event, [data], {}, headers)

    def flush(self) -> int:
        """Deliver what is due on the service's queue now; return how many attempts were made."""
        return self._recorder.flush(self._target)

    def __getattr__(self, name: str) -> Callable[..., MessageRef]:
        if name.startswith("_"):
            raise AttributeError(
                f"{name!r} of service {self._target.name!r} is private: only public methods are queued"
            )
        try:
            self._target.check(CALL, name)
        except SpecError as error:
            raise AttributeError(str(error)) from None
        return partial(self._call, name)

    def _call(self, name: str, /, *args: Any, **kwargs: Any) -> MessageRef:
        return self._record(CALL, self._target.event_of(name), list(args), kwargs, None)

    def _record(
        self, kind: str, event: str, args: list[Any], kwargs: Mapping[str, Any], headers: Mapping[str, Any] | None
    ) -> MessageRef:
        self._target.check(kind, event)
        self._target.check_arguments(kind, event, args, kwargs)
        options = {**self._options, **({"headers": headers} if headers is not None else {})}
        return self._recorder.record(self._target, kind, event, args, kwargs, self._session, options)

    def __repr__(self) -> str:
        return f"<queued {self._target.name!r}>"
