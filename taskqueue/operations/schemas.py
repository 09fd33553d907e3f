"""What the data of an operation must be, as pydantic has it, and what is said of data that are not so."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator, Mapping
from functools import cached_property
from itertools import islice
from typing import Any

import pydantic
from pydantic import (
    BaseModel,
    PydanticSchemaGenerationError,
    PydanticUserError,
    SecretBytes,
    SecretStr,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import to_json, to_jsonable_python

from ..errors import SerializationError, SpecError
from ..serializer import MAX_DEPTH, encode
from ..spec import shown
from .problems import InvalidData

_REFS = "#/components/schemas/{model}"
#: What pydantic raises when a type is no schema; a name that nobody has defined is a NameError.
_NO_SCHEMA = (PydanticSchemaGenerationError, PydanticUserError, TypeError, ValueError, NameError, RecursionError)
_SECRETS: tuple[type, ...] = (SecretStr, SecretBytes, *filter(None, [getattr(pydantic, "Secret", None)]))
#: One level is taken by what is stored around the data.
_DEEPEST = MAX_DEPTH - 1
_MOST_PROBLEMS = 50
#: Pydantic's own messages do not repeat the input, but for this one.
_ECHOES = "union_tag_invalid"
#: What validators of the application say, which is their affair, unless there are secrets about.
_OF_VALIDATORS = ("value_error", "assertion_error")
#: Shorter texts are no secrets, and stand in many a word.
_SHORTEST_ECHO = 3
_MOST_PARTS = 1000


class Schema:
    """What the data of one operation must be.

    Arguments:
        operation: its name, for messages.
        kind: a pydantic model, a dataclass or any other type.

    Raises :class:`SpecError` when that is no type whose values can be sent as JSON.
    """

    def __init__(self, operation: str, kind: Any) -> None:
        self._operation = operation
        try:
            self._adapter: TypeAdapter[Any] = TypeAdapter(kind)
            #: As JSON schema.
            self.json: dict[str, Any] = self._adapter.json_schema(ref_template=_REFS)
        except _NO_SCHEMA as error:
            raise SpecError(
                f"operation {operation!r}: {shown(kind)} is no schema that pydantic knows and JSON can fill: "
                f"{_first_line(error)}"
            ) from error

    def plain(self, data: Any) -> Any:
        """``data`` as JSON has it: models, dates and the like become what a client would have sent.

        Raises :class:`InvalidData` on what JSON, or one of the databases, cannot hold.
        """
        if any(isinstance(one, _SECRETS) for one in _parts(data)):
            raise InvalidData(
                f"the data of {self._operation} hold a secret of pydantic, of which JSON would have asterisks only: "
                "give its value, as a client sends it"
            )
        try:
            found = to_jsonable_python(data, inf_nan_mode="constants")
            encode(found, where="data", max_bytes=sys.maxsize, max_depth=_DEEPEST)
        except (SerializationError, ValueError, RecursionError) as error:  # pydantic's are ValueErrors
            reason = str(error) if isinstance(error, SerializationError) else _first_line(error)
            raise InvalidData(f"the data of {self._operation} cannot be sent as JSON: {reason}") from None
        return found

    def validated(self, data: Any) -> Any:
        """``data``, as :meth:`plain` gives them, as the function gets them.

        Raises :class:`InvalidData`, naming each place; what a validator raises otherwise passes.
        """
        try:
            # From JSON, so that a strict schema takes dates, tuples and the like in the form that JSON has for them.
            return self._adapter.validate_json(to_json(data))
        except (ValidationError, RecursionError) as error:
            problems = self._problems(error) if isinstance(error, ValidationError) else []
            # Not "from error": whoever logs that would log the data, secrets included.
            raise InvalidData(f"the data of {self._operation} do not fit its schema", details=problems) from None

    def _problems(self, error: ValidationError) -> list[dict[str, Any]]:
        echoes = (_ECHOES,) if self.secret is None else (_ECHOES, *_OF_VALIDATORS)
        problems: list[dict[str, Any]] = []
        for one in error.errors(include_url=False):
            # Keys of the caller's own data stand in a place, and may be long.
            place = [part if isinstance(part, int) else str(part)[:80] for part in one["loc"]]
            message = _without_input(one) if one["type"] in echoes else str(one["msg"])
            problem = {"at": place, "message": message[:300], "kind": one["type"]}
            if problem not in problems:
                problems.append(problem)
            if len(problems) == _MOST_PROBLEMS:
                break
        return problems

    @cached_property
    def secret(self) -> str | None:
        """The place of the first secret in the data, "" for the data themselves; None: there is none."""
        return next(_secrets(self.json), None)

    @staticmethod
    def has_secret(value: Any) -> bool:
        """Whether validated data hold a secret after all: of some the schema does not tell."""
        return any(isinstance(one, _SECRETS) for one in _parts(value))


def json_schema_of_result(kind: Any) -> dict[str, Any]:
    """The JSON schema of what is returned; {} when that says nothing."""
    try:
        return TypeAdapter(kind).json_schema(mode="serialization", ref_template=_REFS)
    except _NO_SCHEMA:
        return {}


def _secrets(schema: Any, name: str = "") -> Iterator[str]:
    """The names of what a JSON schema calls write-only, which is how it calls passwords and the like."""
    if isinstance(schema, list):
        for one in schema:
            yield from _secrets(one, name)
    if isinstance(schema, dict):
        if schema.get("writeOnly") is True:
            yield name
        for key, one in schema.items():
            is_named = key in ("properties", "$defs", "patternProperties") and isinstance(one, dict)
            for inner, part in one.items() if is_named else [(name, one)]:
                yield from _secrets(part, inner)


def _parts(value: Any) -> Iterator[Any]:
    """Whatever stands in a value, at any depth, each once."""
    waiting, seen = [value], set[int]()
    while waiting:
        one = waiting.pop()
        yield one
        if isinstance(one, (str, bytes, int, float, type(None))) or id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, Mapping):
            waiting += [*one.keys(), *one.values()]
        elif isinstance(one, (list, tuple, set, frozenset)):
            waiting += one
        elif isinstance(one, BaseModel):
            waiting += [*vars(one).values(), *(one.model_extra or {}).values()]
        elif dataclasses.is_dataclass(one) and not isinstance(one, type):
            waiting += [getattr(one, field.name, None) for field in dataclasses.fields(one)]


def _without_input(problem: Any) -> str:
    """The message without what was sent, which may be a secret, and is stored with the call."""
    message = str(problem["msg"])
    parts = [*islice(_parts(problem.get("input")), _MOST_PARTS)]
    if len(parts) == _MOST_PARTS:  # it would take too long
        return "the value is not allowed"
    sent = {str(one) for one in parts if isinstance(one, (str, int, float)) and not isinstance(one, bool)}
    for text in sorted(sent, key=len, reverse=True):
        if len(text) >= _SHORTEST_ECHO:
            message = message.replace(repr(text)[1:-1], "…").replace(text, "…")
    return message


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
