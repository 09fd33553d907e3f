"""One operation: its function, its schema, and who may call it how."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ..errors import SpecError
from ..retries import RetryPolicy, policy_of
from ..spec import check_name, shown
from .functions import annotation_of_data, annotation_of_result, check_function, default_of_data
from .limits import Limits
from .problems import AccessDenied, InvalidData
from .results import File
from .schemas import Schema, json_schema_of_result
from .users import User

#: ``permit(user, data)`` returns True when the user may call the operation with that data.
Permit = Callable[[User, Any], bool]
USUAL_RETRY = RetryPolicy(attempts=3, base=2.0, cap=60.0)
#: What becomes of an operation whose worker was lost in mid-operation.
ON_LOST = ("retry", "dead")
#: The longest time for which a result is kept (seconds).
_LONGEST_TTL = 100 * 366 * 86_400.0
_FILES = (File, bytes, bytearray)


@dataclass(frozen=True)
class Operation:
    """A named operation; made by :meth:`Operations.operation`, which explains the fields."""

    name: str
    function: Callable[..., Any]
    queueable: bool = False
    idempotent: bool = False
    schema: Any = None
    roles: frozenset[str] | None = None
    permit: Permit | None = None
    retry: RetryPolicy = USUAL_RETRY
    on_lost: str = "retry"
    #: Seconds for which a result is kept.
    result_ttl: float = 7 * 86_400.0
    limits: Limits = field(default_factory=Limits)
    summary: str = ""

    def __post_init__(self) -> None:
        check_name(self.name, "operation")
        check_function(self.name, self.function)
        for mark in ("queueable", "idempotent"):
            if not isinstance(getattr(self, mark), bool):
                raise SpecError(f"{mark} must be True or False, not {shown(getattr(self, mark))}")
        if self.roles is not None and not self.roles:
            raise SpecError("roles is empty, so that nobody could call it: leave it out where everybody may")
        if self.permit is not None and (not callable(self.permit) or inspect.iscoroutinefunction(self.permit)):
            raise SpecError(f"permit must be a function (user, data) that is not async, not {shown(self.permit)}")
        if not isinstance(self.on_lost, str) or self.on_lost not in ON_LOST:
            raise SpecError(f"on_lost must be one of {', '.join(ON_LOST)}, not {shown(self.on_lost)}")
        if not 0 < self.result_ttl <= _LONGEST_TTL:
            raise SpecError(
                f"result_ttl must be more than 0 seconds and at most a century, not {self.result_ttl:g} s: a result is "
                "there to be read"
            )
        if not isinstance(self.limits, Limits):
            raise SpecError(f"limits must be a Limits, not {shown(self.limits)}")
        self._check_secrets()
        self._check_default()

    def _check_secrets(self) -> None:
        """Also makes the schema, so that one that makes no sense is refused when it is declared."""
        secret = self._schema.secret
        if self.is_stored and secret is not None:
            raise SpecError(
                f"operation {self.name!r} takes a secret ({secret or 'its data'}), which a queue must not store: make "
                "it neither queueable nor idempotent, or let it take a reference to the secret"
            )

    def _check_default(self) -> None:
        if self._default is None:
            return
        try:
            self.validated(self._schema.plain(self._default))
        except InvalidData as error:
            raise SpecError(
                f"operation {self.name!r} has a default for its data that its schema refuses: {error}"
            ) from None

    @property
    def is_stored(self) -> bool:
        """Whether the data of some of its calls are stored."""
        return self.queueable or self.idempotent

    # --- what it takes and gives ---

    @cached_property
    def _schema(self) -> Schema:
        kind = self.schema if self.schema is not None else annotation_of_data(self.name, self.function)
        return Schema(self.name, kind)

    @cached_property
    def _default(self) -> Any:
        return default_of_data(self.name, self.function)

    @property
    def takes(self) -> dict[str, Any]:
        """The JSON schema of its data; what it refers to stands in ``$defs``, as ``#/components/schemas/..``."""
        return self._schema.json

    @cached_property
    def gives(self) -> dict[str, Any]:
        """The JSON schema of its result; {} when it says nothing of it, or returns a file."""
        kind = annotation_of_result(self.function)
        says_nothing = self.result_kind != "json" or kind in (None, type(None))
        return {} if says_nothing else json_schema_of_result(kind)

    @cached_property
    def takes_nothing(self) -> bool:
        """Whether it may be called without data."""
        try:
            self.validated(self.plain(None))
        except Exception:  # a validator of the user's may raise anything
            return False
        return True

    @cached_property
    def result_kind(self) -> str:
        """What its annotation says that it returns: "file", "json", or "any" when it does not say which."""
        kinds = _alternatives(annotation_of_result(self.function))
        files = [one in _FILES for one in kinds]
        if Any in kinds or (any(files) and not all(files)):
            return "any"
        return "file" if any(files) else "json"

    def plain(self, data: Any) -> Any:
        """``data`` as JSON has it: models, dates and the like become what a client would have sent, and None the
        default of the function, if it has one.

        Raises :class:`InvalidData` on what JSON, or one of the databases, cannot hold.
        """
        return self._schema.plain(self._default if data is None else data)

    def validated(self, data: Any) -> Any:
        """``data`` of :meth:`plain` as the function gets it. Raises :class:`InvalidData`, naming each place."""
        found = self._schema.validated(data)
        if self.is_stored and self._schema.has_secret(found):
            raise SpecError(
                f"operation {self.name!r} takes a secret, as its data show, which a queue must not store: make it "
                "neither queueable nor idempotent"
            )
        return found

    # --- who may call it ---

    def admit(self, user: User, data: Any) -> Any:
        """``data`` of :meth:`plain` as the function gets it, if the user may call it with that.

        Whoever may not call it at all is not told what its data should be. Raises :class:`AccessDenied`,
        :class:`InvalidData`.
        """
        if not user.is_active:
            raise AccessDenied("this user is unknown or not active")
        if self.roles is not None and not self.roles & user.roles:
            raise AccessDenied(f"this user may not call {self.name}")
        found = self.validated(data)
        if self.permit is not None and self.permit(user, found) is not True:
            raise AccessDenied(f"this user may not call {self.name} with this data")
        return found


def retry_of(given: Any) -> RetryPolicy:
    """A policy: itself, its name, or a number of attempts. Raises :class:`SpecError`."""
    if isinstance(given, int) and not isinstance(given, bool):
        return RetryPolicy(attempts=given, base=USUAL_RETRY.base, cap=USUAL_RETRY.cap)
    return USUAL_RETRY if given is None else policy_of(given)


def _alternatives(kind: Any) -> list[Any]:
    """The types of a union, or the only one."""
    if typing.get_origin(kind) is typing.Annotated:
        kind = typing.get_args(kind)[0]
    is_union = typing.get_origin(kind) in (typing.Union, types.UnionType)
    return list(typing.get_args(kind)) if is_union else [kind]
