"""convertlead: what is known of a lead becomes an account, a contact and an opportunity, all or nothing."""

from __future__ import annotations

from typing import Any

from taskqueue.operations import OperationContext

from . import shapes
from .fields import given
from .ids import RecordId, user_id
from .modules import ACCOUNTS, CONTACTS, LEADS, POTENTIALS, Module
from .people import BY_NUMBER, UPDATE
from .problems import CONVERSION_FAILED, INVALID_ID, LEAD_CONVERTED, failed
from .records import Records
from .values import checked

#: Which field of a lead a field of the new record takes its value from.
_TAKEN: dict[str, dict[str, str]] = {
    "Accounts": {"accountname": "company", "website": "website", "phone": "phone", "industry": "industry"},
    "Contacts": {"firstname": "firstname", "lastname": "lastname", "email": "email", "phone": "phone",
                 "leadsource": "leadsource"},
    "Potentials": {"potentialname": "company"},
}  # fmt: skip
#: What is made when the client names nothing; one of them is made always.
_USUAL = ("Accounts", "Contacts")


def convert_lead(ctx: OperationContext, data: shapes.ConvertLead) -> dict[str, str]:
    """Make an account, a contact and, when asked for, an opportunity of a lead; the answer is their ids by module.

    An account with the lead's company as its name is taken instead of making a second one.
    """
    wanted, records = data.element, Records(ctx.session, ctx.user)
    lead = records.named(wanted.leadId, to_write=True)
    if lead.module is not LEADS:
        raise failed(INVALID_ID, f"only records of Leads can be converted; {lead} is of {lead.module.name}")
    if not any(_is_wanted(wanted, name) for name in _USUAL):
        raise failed(CONVERSION_FAILED, "a lead becomes an account, a contact or both: ask for one of them")
    records.check(LEADS, UPDATE)
    if not records.mark_once(lead, "converted", leadstatus="Converted"):
        raise failed(LEAD_CONVERTED, f"the lead {lead} was converted before")
    records.turn([ACCOUNTS, CONTACTS, POTENTIALS])
    made = _Conversion(records, wanted, records.stored(lead)).all()
    wish = wanted.transferRelatedRecordsTo
    records.move_relations(lead, made.get(wish) or made[next(name for name in _USUAL if name in made)])
    return {name: str(record) for name, record in made.items()}


def _is_wanted(wanted: shapes.Conversion, name: Any) -> bool:
    entity = wanted.entities.get(name)
    return entity.create if entity is not None else not wanted.entities and name in _USUAL


class _Conversion:
    """The records that are made of one lead."""

    def __init__(self, records: Records, wanted: shapes.Conversion, lead: dict[str, Any]) -> None:
        self._records = records
        self._wanted = wanted
        self._lead = lead
        self._owner = wanted.assignedTo or user_id(BY_NUMBER[lead["assigned_user_id"]])

    def all(self) -> dict[str, RecordId]:
        """Make them; by their modules."""
        made: dict[str, RecordId] = {}
        if _is_wanted(self._wanted, "Accounts"):
            made["Accounts"] = self._account()
        account = {"account_id": str(made["Accounts"])} if made else {}
        if _is_wanted(self._wanted, "Contacts"):
            made["Contacts"] = self._make(CONTACTS, account)
        if _is_wanted(self._wanted, "Potentials"):
            links = {"related_to": made.get("Accounts"), "contact_id": made.get("Contacts")}
            links_given = {name: str(record) for name, record in links.items() if record is not None}
            made["Potentials"] = self._make(POTENTIALS, links_given)
        return made

    def _account(self) -> RecordId:
        entity = self._wanted.entities.get("Accounts")
        if not (entity and entity.forcecreate):
            values = checked(ACCOUNTS, entity.values if entity else {}, self._records.exists)
            name = values.get("accountname") or self._lead["company"]
            found = self._records.find(ACCOUNTS, {"accountname": name}, most=1)
            if found:
                return found[0]
        return self._make(ACCOUNTS, {})

    def _make(self, module: Module, links: dict[str, str]) -> RecordId:
        taken = {name: given(self._lead[source]) for name, source in _TAKEN[module.name].items()}
        entity = self._wanted.entities.get(module.name)  # type: ignore[call-overload]
        owner = {"assigned_user_id": self._owner}
        return self._records.create(module, {**taken, **owner, **(entity.values if entity else {}), **links})
