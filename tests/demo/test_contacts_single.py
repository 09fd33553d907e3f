"""The operations of the contacts on one record, and those that describe, now and deferred."""

from __future__ import annotations

import json

import pytest

from demo_ext.contacts import operations
from taskqueue.operations import NotQueueable
from tests.demo.crm import Crm

THE_THIRTEEN = {
    "create", "update", "revise", "upsert", "MassCreate", "MassUpdate", "MassDelete", "describe",
    "getRelatedModulesInfomation", "ExecuteWorkflow", "ExecuteWorkflowWithContext", "convertlead", "gendoc_convert",
}  # fmt: skip
IDEMPOTENT = {"create", "update", "revise", "upsert", "MassCreate", "MassUpdate", "convertlead", "ExecuteWorkflow"}


def test_all_thirteen_can_be_deferred_and_eight_take_a_key() -> None:
    assert {one.name for one in operations.known(queueable=True)} == THE_THIRTEEN
    assert {one.name for one in operations.known() if one.idempotent} == IDEMPOTENT
    assert all(one.summary and one.takes["properties"] for one in operations.known())
    assert operations.named("getRelatedModulesInformation").name == "getRelatedModulesInfomation"


def test_create_gives_the_record_with_its_id_number_and_defaults(both: Crm) -> None:
    account = both.create("Accounts", accountname="Ďábelské 工房 €😀")
    found = both.do(
        "create", "sven", elementType="Contacts",
        element={"lastname": "Ångström", "account_id": account, "birthday": "1999-12-31", "donotcall": "1"},
    )  # fmt: skip
    assert (found["id"], found["contact_no"], found["lastname"]) == ("12x1", "CON1", "Ångström")
    assert (found["birthday"], found["donotcall"], found["email"]) == ("1999-12-31", True, None)
    assert found["account_idename"] == {"module": "Accounts", "reference": "Ďábelské 工房 €😀"}
    assert (found["assigned_user_id"], found["assigned_user_idename"]["reference"]) == ("19x5", "Sven Åkesson")
    assert found["createdtime"] == found["modifiedtime"]
    assert both.read("12x1") == found


def test_retrieve_is_the_one_that_cannot_be_deferred(crm: Crm) -> None:
    record = crm.create("Contacts", lastname="Ånn")
    assert crm.do("retrieve", "sven", id=record)["lastname"] == "Ånn"
    with pytest.raises(NotQueueable, match=r"^retrieve cannot be deferred: call it without that option$"):
        crm.defer("retrieve", id=record)


def test_an_element_may_be_json_in_a_text(both: Crm) -> None:
    element = json.dumps({"accountname": "Ä", "annual_revenue": "1234567.5", "employees": "12"})
    found = both.do("create", elementType="Accounts", element=element)
    assert (found["accountname"], found["annual_revenue"], found["employees"]) == ("Ä", "1234567.50", 12)


def test_a_document_is_related_to_the_records_that_are_named(both: Crm) -> None:
    contact = both.create("Contacts", lastname="Ann")
    found = both.do(
        "create", elementType="Documents", element={"notes_title": "Offer", "relations": [contact, contact]}
    )
    [row] = both.relations()
    assert row == (int(found["id"].partition("x")[2]), 12, int(contact.partition("x")[2]))


def test_update_replaces_the_whole_record(both: Crm) -> None:
    record = both.create("Contacts", lastname="Ann", email="ann@example.org", title="Dr", donotcall=True)
    found = both.do("update", "sven", element={"id": record, "lastname": "Anna", "assigned_user_id": "19x6"})
    assert (found["lastname"], found["assigned_user_id"]) == ("Anna", "19x6")
    assert (found["email"], found["title"], found["donotcall"]) == (None, None, False)
    assert (found["contact_no"], both.counts()) == ("CON1", {"Contacts": 1})


def test_what_was_read_can_be_sent_back_as_it_is(both: Crm) -> None:
    account = both.create("Accounts", accountname="Firm")
    record = both.create("Contacts", lastname="Ann", account_id=account)
    element = {**both.read(record), "title": "Dr"}
    assert {**both.do("update", element=element), "modifiedtime": ""} == {**element, "modifiedtime": ""}


def test_revise_changes_the_given_fields_only(both: Crm) -> None:
    record = both.create("Contacts", lastname="Ann", email="ann@example.org", title="Dr")
    found = both.do("revise", element={"id": record, "title": "", "phone": "+420 1"})
    assert (found["lastname"], found["email"], found["title"], found["phone"]) == (
        "Ann",
        "ann@example.org",
        None,
        "+420 1",
    )


def test_upsert_makes_a_record_and_finds_it_again(both: Crm) -> None:
    element = {"lastname": "Ann", "email": "ann@example.org", "title": "Dr"}
    made = both.do("upsert", "sven", elementType="Contacts", element=element, searchOn="lastname,email")
    found = both.do("upsert", "sven", elementType="Contacts", element={**element, "title": "Prof", "phone": "1"},
                    searchOn="email", updatedfields="title")  # fmt: skip
    assert found["id"] == made["id"]
    assert (found["title"], found["phone"], both.counts()) == ("Prof", None, {"Contacts": 1})
    both.do("upsert", elementType="Contacts", element={**element, "email": "ANN@example.org"}, searchOn=["email"])
    assert both.counts() == {"Contacts": 2}


def test_describe_tells_of_fields_and_of_what_the_user_may_do(both: Crm) -> None:
    found = both.do("describe", "sven", elementType="Contacts")
    fields = {field["name"]: field for field in found["fields"]}
    assert (found["name"], found["idPrefix"], found["labelFields"]) == ("Contacts", "12", "firstname,lastname")
    assert [found[f"{action}able"] for action in ("create", "update", "delete", "retrieve")] == [
        True,
        True,
        False,
        True,
    ]
    assert (fields["lastname"]["mandatory"], fields["lastname"]["nullable"]) == (True, False)
    assert fields["lastname"]["label"] == "Last Name"
    assert fields["account_id"]["type"] == {"name": "reference", "refersTo": ["Accounts"]}
    assert "Web Site" in [one["value"] for one in fields["leadsource"]["type"]["picklistValues"]]
    assert (fields["contact_no"]["editable"], fields["assigned_user_id"]["default"]) == (False, "19x5")
    assert both.do("describe", "maria", elementType="Contacts")["deleteable"] is True


def test_describe_of_several_modules_gives_each_by_name(both: Crm) -> None:
    found = both.do("describe", "sven", elementType="Accounts, Leads")
    assert list(found) == ["Accounts", "Leads"]
    assert (found["Accounts"]["updateable"], found["Leads"]["updateable"]) == (False, True)


def test_related_modules_are_told_under_both_spellings(both: Crm) -> None:
    found = both.do("getRelatedModulesInfomation", "sven", module="Accounts")
    told = {name: (one["relationtype"], one["relatedfield"], one["related_tabid"]) for name, one in found.items()}
    assert told == {
        "Accounts": ("1:N", "account_id", "11"), "Contacts": ("1:N", "account_id", "12"),
        "Potentials": ("1:N", "related_to", "13"), "Documents": ("N:N", "", "15"),
    }  # fmt: skip
    assert both.do("getRelatedModulesInformation", "sven", module="Accounts") == found
