"""Operations on one record: create, retrieve, update, revise, upsert."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from taskqueue.operations import OperationContext
from taskqueue.spec import nearest, shown

from . import shapes
from .ids import RecordId
from .modules import Module, module_named
from .problems import INVALID_VALUE, NOT_UNIQUE, SEARCH_MISSING, failed
from .records import Records
from .values import checked

#: Kinds of fields by whose values no record is looked for.
_NOT_SEARCHED = ("text", "datetime")


def create(ctx: OperationContext, data: shapes.Create) -> dict[str, Any]:
    """Make a record; the answer is the record."""
    records = Records(ctx.session, ctx.user)
    return records.shown(records.create(module_named(data.elementType), data.element))


def retrieve(ctx: OperationContext, data: shapes.Retrieve) -> dict[str, Any]:
    """A record as it stands."""
    records = Records(ctx.session, ctx.user)
    return records.shown(records.parsed(data.id))


def update(ctx: OperationContext, data: shapes.Change) -> dict[str, Any]:
    """Replace all fields of a record; those that are not named become empty."""
    records = Records(ctx.session, ctx.user)
    record = records.named(data.element["id"], to_write=True)
    records.replace(record, data.element)
    return records.shown(record)


def revise(ctx: OperationContext, data: shapes.Change) -> dict[str, Any]:
    """Change the named fields of a record."""
    records = Records(ctx.session, ctx.user)
    record = records.named(data.element["id"], to_write=True)
    records.change(record, data.element)
    return records.shown(record)


def upsert(ctx: OperationContext, data: shapes.Upsert) -> dict[str, Any]:
    """Change the record that a search finds, or make one."""
    records, module = Records(ctx.session, ctx.user), module_named(data.elementType)
    return records.shown(put(records, module, data.element, data.searchOn, data.updatedfields))


def put(
    records: Records, module: Module, element: Mapping[str, Any], search: Sequence[str], updated: Sequence[str] = ()
) -> RecordId:
    """Change the record whose ``search`` fields are as in the element, or make one. Raises :class:`OperationFailed`."""
    for name in (*search, *updated):
        if name not in module.by_name:
            hint = nearest(name, module.by_name)
            raise failed(INVALID_VALUE, f"{module.name} has no field {shown(name)}{hint}", field=name[:80])
    unfit = [name for name in search if module.by_name[name].kind in _NOT_SEARCHED]
    if unfit:
        raise failed(INVALID_VALUE, f"{module.name} cannot be searched on {', '.join(unfit)}", field=unfit[0])
    wanted = checked(module, {name: element.get(name) for name in search}, records.exists, all_fields=True)
    missing = [name for name in search if wanted[name] is None]
    if missing:
        raise failed(SEARCH_MISSING, f"the element has no value for {', '.join(missing)}, and it is searched on that")
    records.turn([module])
    found = records.find(module, wanted)
    if len(found) > 1:
        raise failed(
            NOT_UNIQUE,
            f"more than one record of {module.name} has this {', '.join(search)} ({found[0]}, {found[1]} ...): "
            "search on more fields, or revise one of them by its id",
        )
    if not found:
        return records.create(module, element)
    changes = {name: element[name] for name in updated if name in element} if updated else element
    records.change(found[0], changes)
    return found[0]
