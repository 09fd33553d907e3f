"""The registry: which operations there are, by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any, TypeVar

from ..durations import seconds_of
from ..errors import SpecError
from ..spec import check_name, nearest, shown
from .definition import Operation, Permit, retry_of
from .limits import Limits
from .news import Finished
from .problems import UnknownOperation
from .users import checked_roles

Function = TypeVar("Function", bound=Callable[..., Any])


class Registry:
    """Operations by name, and who is told of the ends of their calls."""

    def __init__(self) -> None:
        self._operations: dict[str, Operation] = {}
        self._aliases: dict[str, str] = {}
        self._finished: list[Finished] = []

    def operation(
        self, name: str, *, queueable: bool = False, idempotent: bool = False, schema: Any = None,
        roles: Iterable[str] | None = None, permit: Permit | None = None, retry: Any = None, on_lost: str = "retry",
        result_ttl: float | timedelta | str = "7d", limits: Limits | None = None, aliases: Iterable[str] = (),
    ) -> Callable[[Function], Function]:  # fmt: skip
        """Decorator: ``function(ctx, data)`` is the operation of that name.

        Arguments:
            queueable: whether it may be deferred.
            idempotent: whether calls with an idempotency key are answered by the first one's result.
            schema: what its data must be, as a pydantic model, a dataclass or any other type; None: the annotation of
                the function's second parameter, else anything. It is validated from JSON, when the call is made and
                again when it is executed. Fields that are secrets (``SecretStr`` and its kin, or whatever else JSON
                schema calls ``writeOnly``) are never stored: an operation that takes some is neither queueable nor
                idempotent. Of other fields nobody can know: data of deferred calls are stored as they are, and shown
                by nothing here.
            roles: the user needs one of them; None: everybody may.
            permit: ``permit(user, data)`` returns True (nothing else) when the user may call it with that (validated)
                data; asked when the call is made and again when it is executed.
            retry: how often a deferred call is tried when it fails otherwise than by an :class:`OperationError`: a
                :class:`RetryPolicy`, its name, or a number of attempts; None: three, the second after a second.
            on_lost: "retry": a call whose worker was lost in mid-operation is executed again; "dead": it is not.
            result_ttl: how long a result is kept and its idempotency key known: seconds, a timedelta or a text as "7d".
            limits: how much one user may have recorded.
            aliases: other names for it, such as its name of before: calls and keys recorded under that stay its.

        Raises :class:`SpecError` on a name that is taken, or marks, a schema or a function that make no sense.
        """
        if callable(name):
            raise SpecError(f"@operation takes the name: @ops.operation('...') above {getattr(name, '__name__', 'it')}")
        check_name(name, "operation")

        def register(function: Function) -> Function:
            summary = (inspect.getdoc(function) or "").split("\n\n")[0].replace("\n", " ")
            needed = None if roles is None else checked_roles(roles)
            made = Operation(
                name, function, queueable, idempotent, schema, needed, permit, retry_of(retry), on_lost,
                seconds_of(result_ttl, "result_ttl"), limits or Limits(), summary,
            )  # fmt: skip
            others = _checked_aliases(aliases)
            for one in (name, *others):
                if one in self._operations or one in self._aliases or (name, *others).count(one) > 1:
                    raise SpecError(f"there is an operation {one!r} already")
            self._operations[name] = made
            self._aliases.update((alias, name) for alias in others)
            return function

        return register

    def finished(self, function: Finished) -> Finished:
        """Decorator: ``function(call)`` is called by a worker for each recorded call that has ended, in whatever way;
        at least once, and again when it raises. Raises :class:`SpecError` on what cannot be called so."""
        if not callable(function):
            raise SpecError(f"@finished takes a function (call), not {shown(function)}")
        self._finished.append(function)
        return function

    def known(self, *, queueable: bool | None = None) -> list[Operation]:
        """The operations by name; all, or those that may (not) be deferred."""
        found = (self._operations[name] for name in sorted(self._operations))
        return [one for one in found if queueable is None or one.queueable is queueable]

    def aliases_of(self, name: str) -> list[str]:
        """The other names of the operation of that name."""
        return sorted(alias for alias, meant in self._aliases.items() if meant == name)

    def registered(self, name: str) -> Operation | None:
        """The operation of that name, or alias; None: there is none."""
        return self._operations.get(self._aliases.get(name, name))

    def alike(self, name: str) -> Operation | None:
        """The operation of that name, or alias; else the only one whose name differs in upper and lower case alone."""
        try:
            return self.named(name)
        except UnknownOperation:
            lowered = name.lower() if isinstance(name, str) and name.isascii() else None
            found = {
                self._aliases.get(one, one) for one in (*self._operations, *self._aliases) if one.lower() == lowered
            }
            return self._operations[found.pop()] if len(found) == 1 else None

    def named(self, name: str) -> Operation:
        """The operation of that name, or alias. Raises :class:`UnknownOperation`."""
        found = self.registered(name) if isinstance(name, str) else None
        if found is None:
            hint = nearest(name, self._operations) if isinstance(name, str) else ""
            raise UnknownOperation(f"there is no operation {shown(name)}{hint}")
        return found


def _checked_aliases(given: object) -> tuple[str, ...]:
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise SpecError(f"aliases is a list of names, not {shown(given)}")
    return tuple(check_name(one, "operation") for one in given)
