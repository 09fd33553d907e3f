"""JSON schemas of operations, moved to where a document keeps them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

#: Where pydantic is told that definitions stand, and where it puts them.
_PLACES = ("#/components/schemas/", "#/$defs/")


def self_contained(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema that carries its definitions."""
    return {**_referring(schema, lambda name: f"#/$defs/{name}")}


def moved(schema: dict[str, Any], prefix: str, components: dict[str, Any]) -> dict[str, Any]:
    """A schema without its definitions, which are added to ``components`` under names that begin with ``prefix``."""
    names: dict[str, str] = {}
    for name in schema.get("$defs", {}):
        wanted = component_name(f"{prefix}.{name}")
        while wanted in components or wanted in names.values():
            wanted += "_"
        names[name] = wanted

    def place(name: str) -> str:
        return f"#/components/schemas/{names.get(name, name)}"

    for name, definition in schema.get("$defs", {}).items():
        components[names[name]] = _referring(definition, place)
    found: dict[str, Any] = _referring({key: value for key, value in schema.items() if key != "$defs"}, place)
    return found


def component_name(text: str) -> str:
    """As OpenAPI allows it."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", text)


def _referring(part: Any, place: Callable[[str], str]) -> Any:
    """A copy in which each reference to a definition is ``place(name)``."""
    if isinstance(part, list):
        return [_referring(each, place) for each in part]
    if not isinstance(part, dict):
        return part
    found = {key: _referring(value, place) for key, value in part.items()}
    if isinstance(part.get("$ref"), str):
        found["$ref"] = _placed(part["$ref"], place)
    mapping = part.get("mapping")
    if "propertyName" in part and isinstance(mapping, dict):  # of a discriminator
        found["mapping"] = {key: _placed(value, place) for key, value in mapping.items()}
    return found


def _placed(reference: Any, place: Callable[[str], str]) -> Any:
    for start in _PLACES:
        if isinstance(reference, str) and reference.startswith(start):
            return place(reference.removeprefix(start))
    return reference
