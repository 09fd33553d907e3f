"""A registered service: which of its methods are called for a message."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..errors import SpecError, TaskFailed
from ..retries import RetryPolicy
from ..spec import nearest
from ..verdicts import Unrecoverable
from .context import MessageContext
from .handlers import ANY, OUTCOMES, Mark, marks_of
from .message import CALLBACK, EMIT, SEND, Message
from .methods import public_methods
from .options import ServiceOptions
from .signatures import Signatures


class Target:
    """One service under its name.

    Arguments:
        owner: the outbox that it belongs to.
        thing: any object with methods. Those that are marked (see :mod:`.handlers`) get a :class:`MessageContext`
            first; the others are called as they are.
        options: of its configuration.
    """

    def __init__(self, owner: Any, name: str, thing: Any, options: ServiceOptions) -> None:
        self.owner = owner
        self.name = name
        self.thing = thing
        self.options = options
        #: Whether the options were used, so that others would come too late.
        self.is_queued = False
        self._signatures = Signatures(thing)
        self._public = public_methods(thing)
        self._methods: dict[tuple[str, str], list[tuple[str, Mark]]] = {}
        #: What the marked methods handle, by their own names.
        self._marked: dict[str, list[Mark]] = {}
        for method, mark in marks_of(type(thing)):
            self._methods.setdefault((mark.kind, mark.event), []).append((method, mark))
            self._marked.setdefault(method, []).append(mark)
        for kind, event in self._methods:
            if kind in OUTCOMES and not self._listeners(event) and self._request(event) is None:
                known = [*self._requests(), *(other for kind, other in self._methods if kind == "event")]
                raise SpecError(
                    f"service {name!r} has a handler marked with @after({event!r}, {kind!r}), but no method or handler "
                    f"{event!r}{nearest(event, known)}"
                )
        for (kind, event), handlers in self._methods.items():
            if kind == "request" and len(handlers) > 1:
                named = " and ".join(method for method, _mark in handlers)
                raise SpecError(f"{named} of service {name!r} both handle {event!r}: a call has one handler")

    # --- what there is ---

    def check(self, kind: str, event: str) -> None:
        """Refuse a call that nothing here could ever handle. Raises :class:`SpecError`."""
        if kind == EMIT:
            if not self._listeners(event):
                hint = nearest(str(event), [known for kind, known in self._methods if kind == "event"])
                raise SpecError(f"{self._without_listener(event)}{hint}")
        elif self._request(event) is None:
            raise SpecError(
                f"service {self.name!r} has no method or handler {event!r}{nearest(event, self._requests())}"
            )

    def check_arguments(self, kind: str, event: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Refuse arguments that a handler does not take. Raises :class:`SpecError`."""
        if kind == EMIT:
            methods = [(method, True) for method, _mark in self._listeners(event)]
        else:
            found = self._methods.get(("request", event))
            methods = [(found[0][0], True) if found else (event, event in self._marked)]
        for method, is_marked in methods:
            problem = self._signatures.problem(method, (None, *args) if is_marked else args, kwargs)
            if problem is not None:
                why = "; send() passes the entries of a mapping by name" if kind == SEND and kwargs else ""
                raise SpecError(f"{self.name}.{problem}{why}")

    def has_method(self, name: str) -> bool:
        """Whether the service itself has a method of that name."""
        return name in self._public

    def event_of(self, method: str) -> str:
        """What a call of that method is a call of: the event that it handles, else itself."""
        return next((mark.event for mark in self._marked.get(method, ()) if mark.kind == "request"), method)

    def has_callback(self, event: str, outcome: str) -> bool:
        """Whether anything here wants to know what became of messages of that event."""
        return (outcome, event) in self._methods

    def policy(self, message: Message) -> RetryPolicy:
        """How often the message is tried: the first policy among those of its handlers, else that of the service."""
        marks = [mark for _method, mark in self._handlers(message) if mark.retry is not None]
        return marks[0].retry or self.options.policy if marks else self.options.policy

    def _requests(self) -> list[str]:
        marked = [event for kind, event in self._methods if kind == "request"]
        return marked + sorted(self._public)

    def _request(self, event: str) -> Callable[..., Any] | None:
        found = self._methods.get(("request", event))
        if not found and event not in self._public:
            return None
        return getattr(self.thing, found[0][0] if found else event)  # type: ignore[no-any-return]

    def _handlers(self, message: Message) -> list[tuple[str, Mark]]:
        if message.kind == CALLBACK:
            return self._methods.get((message.outcome or "", message.event), [])
        if message.kind != EMIT:
            return self._methods.get(("request", message.event), [])
        return self._listeners(message.event)

    def _listeners(self, event: str) -> list[tuple[str, Mark]]:
        return self._methods.get(("event", event), []) + self._methods.get(("event", ANY), [])

    def _without_listener(self, event: str) -> str:
        return f"service {self.name!r} has no handler of the event {event!r}: mark one with @on({event!r})"

    # --- delivery ---

    def deliver(self, context: MessageContext, message: Message, finish: Callable[[Any], Any]) -> Any:
        """Call what handles the message; ``finish`` runs a coroutine to its end. Returns the result.

        Raises :class:`Unrecoverable` when nothing handles it, and whatever a handler raises.
        """
        results = [
            finish(getattr(self.thing, method)(context, *message.args, **message.kwargs))
            for method, _mark in self._handlers(message)
        ]
        if not results:
            results = [self._call(context, message, finish)]
        if any(result is False for result in results):
            raise TaskFailed("the handler returned False")
        return results[0] if len(results) == 1 else None

    def _call(self, context: MessageContext, message: Message, finish: Callable[[Any], Any]) -> Any:
        if message.kind == EMIT:  # by a newer version, which has the handler
            raise Unrecoverable(self._without_listener(message.event))
        if message.kind == CALLBACK:
            raise Unrecoverable(
                f"service {self.name!r} has no handler of {message.event!r} marked with "
                f"@after({message.event!r}, {message.outcome!r})"
            )
        method = self._request(message.event)
        if method is None:
            raise Unrecoverable(f"service {self.name!r} has no method or handler {message.event!r}")
        first = (context,) if message.event in self._marked else ()
        return finish(method(*first, *message.args, **message.kwargs))
