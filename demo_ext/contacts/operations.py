"""The operations, by the names that clients of coreBOS know."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import wraps
from typing import Any

from taskqueue import QueueService
from taskqueue.operations import OperationContext, Operations, User

from . import conversion, describing, documents, mass, shapes, single, workflows
from .ids import record_id
from .people import CREATE, MANAGER, ROLES, UPDATE, load_user, may
from .schema import make_tables

Function = Callable[[OperationContext, Any], Any]


def make_operations(service: QueueService, **options: Any) -> Operations:
    """The operations on contacts, on the database of a service.

    Arguments:
        options: of :class:`Operations`; without ``load_user`` the users are those of :mod:`.people`.
    """
    operations = Operations(service, **{"load_user": load_user, **options})
    with_tables = _Tables(service).around

    def add(name: str, function: Function, **marks: Any) -> None:
        operations.operation(name, **{"queueable": True, "roles": ROLES, **marks})(with_tables(function))

    add("create", single.create, idempotent=True, permit=_may_create)
    # Who wants to see a record wants to see it now.
    add("retrieve", single.retrieve, queueable=False)
    add("update", single.update, idempotent=True, permit=_may_change)
    add("revise", single.revise, idempotent=True, permit=_may_change)
    add("upsert", single.upsert, idempotent=True, permit=_may_create)
    add("MassCreate", mass.mass_create, idempotent=True)
    add("MassUpdate", mass.mass_update, idempotent=True)
    add("MassDelete", mass.mass_delete, roles={MANAGER})
    add("describe", describing.describe)
    # The misspelling is the name by which clients know it.
    add("getRelatedModulesInfomation", describing.related, aliases=["getRelatedModulesInformation"])
    add("ExecuteWorkflow", workflows.execute, idempotent=True)
    add("ExecuteWorkflowWithContext", workflows.execute_with_context)
    add("convertlead", conversion.convert_lead, idempotent=True)
    add("gendoc_convert", documents.convert)
    return operations


def _may_create(user: User, data: shapes.Create | shapes.Upsert) -> bool:
    return may(user, data.elementType, CREATE)


def _may_change(user: User, data: shapes.Change) -> bool:
    return may(user, record_id(data.element["id"]).module.name, UPDATE)


class _Tables:
    """Sees to it that the tables are there before the first operation is executed."""

    def __init__(self, service: QueueService) -> None:
        self._service = service
        self._lock = threading.Lock()
        self._are_made = False

    def around(self, function: Function) -> Function:
        """The function, once they are there: before its session is opened, which may be the one writer."""

        @wraps(function)
        def operation(ctx: OperationContext, data: Any) -> Any:
            with self._lock:
                if not self._are_made:
                    make_tables(self._service.engine)
                    self._are_made = True
            return function(ctx, data)

        return operation
