"""The data of an operation from fields that may all be texts, by what the operation's schema expects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..operations import Operation
from .webservice_request import loads

_DEEPEST = 20
_KINDS = {bool: "boolean", int: "number", float: "number", dict: "object", list: "array", type(None): "null"}


def data_of(operation: Operation, fields: Mapping[str, Any]) -> Any:
    """What the operation is called with: an object of the fields.

    A text stays one where a text may stand, and where the schema says nothing. Elsewhere it is decoded as JSON, if
    that gives what is expected; if not, the schema finds that it does not fit.
    """
    schema = operation.takes
    if not fields and "object" not in (kinds := _kinds(schema, schema)) and "null" in kinds:
        return None
    return {name: _typed(value, [*_of_property(schema, schema, name)], schema) for name, value in fields.items()}


def _typed(value: Any, schemas: list[Any], root: Mapping[str, Any]) -> Any:
    if not isinstance(value, str):
        return value
    kinds = set[str]()
    for one in schemas:
        found = _kinds(one, root)
        if not found:  # anything
            return value
        kinds |= found
    if not kinds or "string" in kinds:
        return value
    try:
        decoded = loads(value)
    except (ValueError, RecursionError):
        return value
    return decoded if _KINDS.get(type(decoded)) in kinds else value


def _of_property(schema: Any, root: Mapping[str, Any], name: str) -> Iterator[Any]:
    """The schemas of a property, of which there may be several in a union."""
    for one in _alternatives(schema, root):
        properties, rest = one.get("properties"), one.get("additionalProperties")
        if isinstance(properties, dict) and name in properties:
            yield properties[name]
        elif isinstance(rest, dict):
            yield rest


def _kinds(schema: Any, root: Mapping[str, Any]) -> set[str]:
    """The JSON types that fit; none: nothing is known."""
    found = set[str]()
    for one in _alternatives(schema, root):
        kinds = one.get("type")
        if kinds is None and ("enum" in one or "const" in one):
            kinds = [_KINDS.get(type(value), "string") for value in one.get("enum", [one.get("const")])]
        if kinds is None:
            return set()
        found |= {kinds} if isinstance(kinds, str) else set(kinds)
    return {"number" if kind == "integer" else kind for kind in found}


def _alternatives(schema: Any, root: Mapping[str, Any], depth: int = 0) -> Iterator[Mapping[str, Any]]:
    if not isinstance(schema, Mapping) or depth > _DEEPEST:
        yield {}
        return
    reference = schema.get("$ref")
    if isinstance(reference, str):
        yield from _alternatives(root.get("$defs", {}).get(reference.rpartition("/")[2]), root, depth + 1)
        return
    parts = [part for word in ("anyOf", "oneOf", "allOf") for part in schema.get(word, ())]
    if not parts:
        yield schema
    for part in parts:
        yield from _alternatives(part, root, depth + 1)
