"""From what a client sends to what is stored: each value is checked, each mistake gets its sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from taskqueue.spec import nearest, shown

from .fields import Field, accepted
from .ids import RecordId, person_with, record_id
from .modules import Module
from .problems import INVALID_VALUE, MANDATORY_MISSING, REFERENCE_INVALID, failed

#: Whether a record is there.
Exists = Callable[[RecordId], bool]
#: What may stand in an element without being a field of the record; also what a link is called, as in account_idename.
_BESIDE = ("id", "relations")


def checked(module: Module, element: Mapping[str, Any], exists: Exists, *, all_fields: bool = False) -> dict[str, Any]:
    """The values of an element as they are stored, by name.

    Arguments:
        all_fields: also those that only the program writes; else they are passed over, so that a record may be sent
            back as it came.

    Raises :class:`OperationFailed`.
    """
    found: dict[str, Any] = {}
    for name, value in element.items():
        field = module.by_name.get(name)
        if field is None:
            if name in _BESIDE or (name.endswith("ename") and name[: -len("ename")] in module.by_name):
                continue
            hint = nearest(name, module.by_name)
            raise failed(INVALID_VALUE, f"{module.name} has no field {shown(name)}{hint}", field=name[:80])
        if field.editable or all_fields:
            found[name] = _checked(module, field, value, exists)
    return found


def _checked(module: Module, field: Field, value: Any, exists: Exists) -> Any:
    if field.is_link and value not in (None, ""):
        return _linked(module, field, value, exists)
    try:
        return accepted(field, value)
    except ValueError as error:
        raise failed(INVALID_VALUE, f"{module.name}.{field.name} must be {error}", field=field.name) from error


def _linked(module: Module, field: Field, value: Any, exists: Exists) -> int:
    try:
        if field.kind == "owner":
            return person_with(value).number
        target = record_id(value)
    except ValueError as error:
        raise failed(REFERENCE_INVALID, f"{module.name}.{field.name}: {error}", field=field.name) from error
    if target.module.name != field.refers_to:
        raise failed(
            REFERENCE_INVALID,
            f"{module.name}.{field.name} refers to {field.refers_to}; {value} is of {target.module.name}",
            field=field.name,
        )
    if not exists(target):
        raise failed(REFERENCE_INVALID, f"{module.name}.{field.name}: there is no record {value}", field=field.name)
    return target.number


def check_mandatory(module: Module, values: Mapping[str, Any], among: Iterable[str] | None = None) -> None:
    """Raise :class:`OperationFailed` when a mandatory field is empty; of ``among``, or of all."""
    names = module.by_name if among is None else among
    empty = [name for name in names if module.by_name[name].mandatory and values.get(name) is None]
    if empty:
        what = "field" if len(empty) == 1 else "fields"
        raise failed(
            MANDATORY_MISSING, f"{module.name} needs a value for the mandatory {what} {', '.join(empty)}", fields=empty
        )
