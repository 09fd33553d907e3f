"""References among the elements of one MassCreate: ``"@{name}"`` or ``"@{name.id}"`` stands for a record's id."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any

from taskqueue.spec import shown

from .problems import REFERENCE_INVALID, failed
from .shapes import NewElement

#: A reference is a whole value: the name of another element, and perhaps one of its fields.
_REFERENCE = re.compile(r"@\{([^{}.]+)(?:\.([A-Za-z0-9_]+))?\}")


def arranged(elements: Sequence[NewElement]) -> list[int]:
    """The indexes of the elements, so that each comes after those that it refers to.

    Raises :class:`OperationFailed` when they refer to each other in a circle.
    """
    names = {element.referenceId: index for index, element in enumerate(elements) if element.referenceId}
    needs: dict[int, list[int]] = {
        index: [names[name] for name in _names(element.element) if name in names]
        for index, element in enumerate(elements)
    }
    try:
        return list(TopologicalSorter(needs).static_order())
    except CycleError as error:
        circle = ", ".join(shown(elements[index].referenceId) for index in error.args[1])
        raise failed(REFERENCE_INVALID, f"elements refer to each other in a circle: {circle}") from None


def resolved(element: Mapping[str, Any], made: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The element with ids in place of references. Raises :class:`OperationFailed`."""
    return {name: _resolved(name, value, made) for name, value in element.items()}


def _resolved(field: str, value: Any, made: Mapping[str, Mapping[str, Any]]) -> Any:
    if isinstance(value, list):
        return [_resolved(field, part, made) for part in value]
    match = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return value
    record, wanted = made.get(match[1]), match[2] or "id"
    if record is None:
        raise failed(
            REFERENCE_INVALID, f"{field} refers to the element {shown(match[1])}, and no record was made of such a one"
        )
    if wanted not in record:
        raise failed(REFERENCE_INVALID, f"{field} refers to {shown(wanted)}, which {shown(match[1])} does not have")
    return record[wanted]


def _names(element: Mapping[str, Any]) -> Iterator[str]:
    """The names of the elements that are referred to."""
    for value in element.values():
        for part in value if isinstance(value, list) else [value]:
            match = _REFERENCE.fullmatch(part) if isinstance(part, str) else None
            if match is not None:
                yield match[1]
