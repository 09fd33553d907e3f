"""Operations on many records: MassCreate, MassUpdate, MassDelete.

Each element is written in a savepoint of its own. One that cannot be written is told of with its code and its sentence,
and leaves nothing behind; all others, the answer and the end of the call are one commit. Whatever is not the fault of
an element (the database, a program error, a lost worker) undoes all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from taskqueue.operations import OperationContext, OperationFailed

from . import shapes
from .modules import BY_NAME, module_named
from .problems import INVALID_ID, Stopped, failed
from .records import Records
from .references import arranged, resolved
from .single import put

One = TypeVar("One")
#: After so many elements it is said how far it is.
_STEP = 50


def mass_create(ctx: OperationContext, data: shapes.MassCreate) -> dict[str, Any]:
    """Make many records, which may refer to each other; an element with ``searchon`` changes a record it finds."""
    records, elements = Records(ctx.session, ctx.user), data.elements
    records.turn(BY_NAME[one.elementType] for one in elements if one.elementType in BY_NAME)
    made: dict[str, dict[str, Any]] = {}  # by the names that others refer to
    found: list[tuple[int, dict[str, Any]]] = []
    failures: list[tuple[int, dict[str, Any]]] = []

    def write(one: shapes.NewElement) -> dict[str, Any]:
        element, module = resolved(one.element, made), module_named(one.elementType)
        record = put(records, module, element, one.searchon) if one.searchon else records.create(module, element)
        return records.shown(record, with_names=False)

    order = arranged(elements)
    for done, (problem, record) in enumerate(_each(ctx, [elements[index] for index in order], write, "records made")):
        index = order[done]
        if problem is not None:
            failures.append((index, {"element": elements[index].model_dump(), "index": index, **problem.facts()}))
            continue
        found.append((index, record))
        if elements[index].referenceId:
            made[elements[index].referenceId] = record
    return {"success_creates": _in_order(found), "failed_creates": _in_order(failures)}


def mass_update(ctx: OperationContext, data: shapes.MassUpdate) -> dict[str, Any]:
    """Change the named fields of many records."""
    records = Records(ctx.session, ctx.user)

    def write(element: dict[str, Any]) -> str:
        if "id" not in element:
            raise failed(INVALID_ID, "the element lacks the id of the record, such as 12x37")
        record = records.named(element["id"], to_write=True)
        records.change(record, element)
        return str(record)

    # In one order, or two calls would wait for each other.
    elements = sorted(data.elements, key=lambda element: str(element.get("id")))
    good, bad = [], []
    for element, (problem, found) in zip(elements, _each(ctx, elements, write, "records changed"), strict=True):
        if problem is None:
            good.append(found)
        else:
            bad.append({"id": element.get("id"), **problem.facts()})
    return {"success_updates": good, "failed_updates": bad}


def mass_delete(ctx: OperationContext, data: shapes.MassDelete) -> dict[str, Any]:
    """Remove many records."""
    records = Records(ctx.session, ctx.user)

    def write(text: str) -> str:
        record = records.named(text, to_write=True)
        records.delete(record)
        return str(record)

    ids = sorted(set(data.ids))
    good, bad = [], []
    for text, (problem, found) in zip(ids, _each(ctx, ids, write, "records removed"), strict=True):
        if problem is None:
            good.append(found)
        else:
            bad.append({"id": text, **problem.facts()})
    return {"success_deletes": good, "failed_deletes": bad}


def _each(
    ctx: OperationContext, elements: Sequence[One], write: Callable[[One], Any], what: str
) -> Iterator[tuple[OperationFailed | None, Any]]:
    """Write the elements one by one: what was wrong (or None), and what ``write`` gave."""
    total = len(elements)
    for done, element in enumerate(elements, 1):
        if ctx.should_stop:
            raise Stopped(f"stopped after {done - 1} of {total} elements")
        problem, found = None, None
        try:
            with ctx.session.begin_nested():
                found = write(element)
        except OperationFailed as error:
            problem = error
        yield problem, found
        if done % _STEP == 0 or done == total:
            ctx.report(done, total, what)


def _in_order(found: list[tuple[int, dict[str, Any]]]) -> list[dict[str, Any]]:
    return [one for _, one in sorted(found, key=lambda pair: pair[0])]
