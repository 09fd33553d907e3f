"""Workflows: functions of the application, called by their number or name for records that a client names.

What a workflow does stands in the program; the database and the client hold nothing but its name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from taskqueue.operations import OperationContext
from taskqueue.spec import nearest, shown

from . import shapes
from .ids import RecordId
from .people import UPDATE
from .problems import INVALID_MODULE, INVALID_VALUE, WORKFLOW_NOT_FOUND, Stopped, failed
from .records import Records


class Variables(BaseModel):
    """The variables of a workflow, which ExecuteWorkflowWithContext may set."""

    model_config = ConfigDict(extra="forbid")


#: ``function(records, record, variables)`` is called for each record.
Function = Callable[[Records, RecordId, Any], None]


@dataclass(frozen=True)
class Workflow:
    """A workflow.

    Arguments:
        number: by which coreBOS' clients call it.
        modules: for whose records it is.
        variables: what may be set, and the values without.
    """

    number: int
    name: str
    modules: tuple[str, ...]
    variables: type[Variables]
    function: Function

    def with_context(self, context: Mapping[str, Any]) -> Variables:
        """Its variables. Raises :class:`OperationFailed`, naming each that is wrong."""
        try:
            return self.variables.model_validate(dict(context))
        except ValidationError as error:
            wrong = [(".".join(map(str, one["loc"])), one["msg"]) for one in error.errors(include_url=False)]
            told = "; ".join(f"{name[:80]}: {message}" for name, message in wrong[:5])
            known = ", ".join(self.variables.model_fields) or "none"
            raise failed(
                INVALID_VALUE, f"the context does not fit the workflow {self.name!r}: {told}. Its variables: {known}"
            ) from error


WORKFLOWS: list[Workflow] = []


def workflow(
    number: int, name: str, *modules: str, variables: type[Variables] = Variables
) -> Callable[[Function], Function]:
    """Decorator: the function is a workflow (see :class:`Workflow`)."""

    def register(function: Function) -> Function:
        WORKFLOWS.append(Workflow(number, name, modules, variables, function))
        return function

    return register


# --- the operations ---


def execute(ctx: OperationContext, data: shapes.Execute) -> bool:
    """Call a workflow for records; for all of them or, when something is wrong, for none."""
    return _execute(ctx, data, {})


def execute_with_context(ctx: OperationContext, data: shapes.ExecuteWithContext) -> bool:
    """Call a workflow for records with values for its variables."""
    return _execute(ctx, data, data.context)


def _execute(ctx: OperationContext, data: shapes.Execute, context: Mapping[str, Any]) -> bool:
    found, records = _named(data.workflow), Records(ctx.session, ctx.user)
    variables = found.with_context(context)
    entities = sorted(set(data.entities))  # in one order, or two calls would wait for each other
    for done, text in enumerate(entities, 1):
        if ctx.should_stop:
            raise Stopped(f"stopped after {done - 1} of {len(entities)} records")
        record = records.named(text, to_write=True)
        if record.module.name not in found.modules:
            raise failed(
                INVALID_MODULE, f"the workflow {found.name!r} is for {', '.join(found.modules)}; {text} is of "
                f"{record.module.name}",
            )  # fmt: skip
        records.check(record.module, UPDATE)
        found.function(records, record, variables)
        ctx.report(done, len(entities), found.name)
    return True


def _named(wanted: int | str) -> Workflow:
    found = next((one for one in WORKFLOWS if str(wanted) in (str(one.number), one.name)), None)
    if found is None:
        known = ", ".join(f"{one.number} ({one.name})" for one in WORKFLOWS)
        hint = nearest(str(wanted), [one.name for one in WORKFLOWS])
        raise failed(WORKFLOW_NOT_FOUND, f"there is no workflow {shown(wanted)}{hint}; there are {known}")
    return found


# --- the workflows of this company ---


class Status(Variables):
    """What becomes of a lead."""

    leadstatus: Literal["Cold", "Warm", "Hot", "Lost"] = "Warm"


@workflow(1, "Lead answered", "Leads", variables=Status)
def lead_answered(records: Records, record: RecordId, variables: Status) -> None:
    """Somebody who may become a customer has answered."""
    records.change(record, {"leadstatus": variables.leadstatus})


class Rise(Variables):
    """By how much."""

    percent: Decimal = Field(default=Decimal(10), gt=-100, le=1000)


@workflow(2, "Raise amount", "Potentials", variables=Rise)
def raise_amount(records: Records, record: RecordId, variables: Rise) -> None:
    """The price has risen: an opportunity without an amount stays without one."""
    amount = records.stored(record)["amount"]
    if amount is not None:
        records.change(record, {"amount": round(amount * (100 + variables.percent) / 100, 2)})


class NewOwner(Variables):
    """Who takes over: there is no usual one."""

    assigned_user_id: str


@workflow(3, "Hand over", "Contacts", "Accounts", "Leads", "Potentials", variables=NewOwner)
def hand_over(records: Records, record: RecordId, variables: NewOwner) -> None:
    """Somebody else looks after it from now on."""
    records.change(record, {"assigned_user_id": variables.assigned_user_id})
