"""One operation: its function, its schema, and who may call it how."""

from __future__ import annotations

import inspect
import json
import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pydantic import BaseModel, PydanticSchemaGenerationError, PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, to_jsonable_python

from ..errors import SpecError
from ..interrupts import let_interrupt_pass
from ..retries import RetryPolicy, policy_of
from ..spec import check_name, shown
from .limits import Limits
from .problems import AccessDenied, InvalidData
from .results import File
from .users import User

#: ``permit(user, data)`` returns True when the user may call the operation with that data.
Permit = Callable[[User, Any], bool]
USUAL_RETRY = RetryPolicy(attempts=3, base=2.0, cap=60.0)
#: What becomes of an operation whose worker was lost in mid-operation.
ON_LOST = ("retry", "dead")
_MOST_PROBLEMS = 50


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
        if not callable(self.function):
            raise SpecError(f"operation {self.name!r}: {shown(self.function)} is no function")
        if self.on_lost not in ON_LOST:
            raise SpecError(f"on_lost must be one of {', '.join(ON_LOST)}, not {shown(self.on_lost)}")
        self._adapter  # noqa: B018  (a schema that makes no sense is refused when it is declared)

    # --- what it takes and gives ---

    @cached_property
    def _hints(self) -> dict[str, Any]:
        try:
            return typing.get_type_hints(self.function, include_extras=True)
        except Exception:  # names that exist for type checkers only
            return {}

    @cached_property
    def _adapter(self) -> TypeAdapter[Any]:
        schema = self.schema
        if schema is None:
            parameters = list(inspect.signature(self.function).parameters)
            schema = self._hints.get(parameters[1], Any) if len(parameters) > 1 else Any
        try:
            return TypeAdapter(schema)
        except (PydanticSchemaGenerationError, PydanticUserError, TypeError) as error:
            raise SpecError(f"operation {self.name!r}: {shown(schema)} is no schema that pydantic knows") from error

    @cached_property
    def takes(self) -> dict[str, Any]:
        """The JSON schema of its data."""
        return self._adapter.json_schema(ref_template="#/components/schemas/{model}")

    @cached_property
    def gives(self) -> dict[str, Any]:
        """The JSON schema of its result; {} when it says nothing of it."""
        kind = self._hints.get("return", Any)
        if kind in (Any, None, type(None)) or not self._gives_json(kind):
            return {}
        try:
            return TypeAdapter(kind).json_schema(mode="serialization", ref_template="#/components/schemas/{model}")
        except (PydanticSchemaGenerationError, PydanticUserError, TypeError, ValueError):
            return {}

    @cached_property
    def takes_nothing(self) -> bool:
        """Whether it may be called without data."""
        try:
            self.validated(None)
        except Exception:  # a validator of the user's may raise anything
            return False
        return True

    @cached_property
    def result_kind(self) -> str:
        """What its annotation says that it returns: "file", "json", or "any" when it does not say which."""
        kind = self._hints.get("return", Any)
        if typing.get_origin(kind) is typing.Annotated:
            kind = typing.get_args(kind)[0]
        kinds = set(typing.get_args(kind)) or {kind}
        files = {one for one in kinds if one in (File, bytes)}
        if kind is Any or (files and files != kinds):
            return "any"
        return "file" if files else "json"

    @staticmethod
    def _gives_json(kind: Any) -> bool:
        return isinstance(kind, type) and issubclass(kind, BaseModel)

    def plain(self, data: Any) -> Any:
        """``data`` as JSON has it: models, dates and the like become what a client would have sent.

        Raises :class:`InvalidData`.
        """
        try:
            return to_jsonable_python(data, inf_nan_mode="constants")
        except (PydanticSerializationError, ValueError) as error:
            raise InvalidData(f"the data of {self.name} cannot be sent as JSON: {error}") from error

    def validated(self, data: Any) -> Any:
        """``data`` (of :meth:`plain`) as the function gets it. Raises :class:`InvalidData`, naming each place."""
        try:
            # As JSON, so that a strict model takes the text of a date for what it is.
            return self._adapter.validate_json(json.dumps(data))
        except ValidationError as error:
            raise InvalidData(f"the data of {self.name} do not fit its schema", details=_problems(error)) from error
        except (ValueError, RecursionError) as error:  # a number of thousands of digits
            raise InvalidData(f"the data of {self.name} cannot be sent as JSON: {error}") from error

    # --- who may call it ---

    def check_user(self, user: User, data: Any) -> None:
        """Raise :class:`AccessDenied` unless the user may call it with that (validated) data."""
        if not user.is_active:
            raise AccessDenied("this user is not active (any more)")
        if self.roles is not None and not self.roles & user.roles:
            raise AccessDenied(f"this user may not call {self.name}")
        if self.permit is not None and self.permit(user, data) is not True:
            raise AccessDenied(f"this user may not call {self.name} with this data")


def retry_of(given: Any) -> RetryPolicy:
    """A policy: itself, its name, or a number of attempts. Raises :class:`SpecError`."""
    if isinstance(given, int) and not isinstance(given, bool):
        return RetryPolicy(attempts=given, base=USUAL_RETRY.base, cap=USUAL_RETRY.cap)
    return USUAL_RETRY if given is None else policy_of(given)


def _problems(error: ValidationError) -> list[dict[str, Any]]:
    try:
        found = error.errors(include_url=False, include_context=False, include_input=False)
    except BaseException as trouble:  # a validator of the user's raised something odd
        let_interrupt_pass(trouble)
        return []
    # Keys of the caller's own data stand in a place, and may be long.
    return [
        {"at": [part if isinstance(part, int) else str(part)[:80] for part in one["loc"]], "message": one["msg"][:300],
         "kind": one["type"]}
        for one in found[:_MOST_PROBLEMS]
    ]  # fmt: skip
