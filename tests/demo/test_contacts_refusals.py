"""What the operations of the contacts refuse, each with its sentence."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest

from demo_ext.contacts import workflows
from demo_ext.contacts.workflows import Variables, Workflow
from taskqueue.operations import AccessDenied, InvalidData, OperationFailed
from tests.demo.crm import Crm


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crm]:
    """Contacts with some records; the tests change nothing."""
    crm = Crm.on(f"sqlite:///{tmp_path_factory.mktemp('refusals') / 'crm.db'}")
    crm.create("Accounts", accountname="Firm")
    for name in ("Ann", "Bob"):
        crm.create("Contacts", lastname=name, title="Dr")
    crm.create("Leads", lastname="Lea", company="Firm")
    crm.create("Documents", notes_title="Notes")
    crm.create("Documents", notes_title="Letter", template=True, notecontent="{nothing}")
    crm.create("Documents", notes_title="Letter", template=True, notecontent="{Potentials.amount}")
    yield crm
    crm.close()


def contact(**element: Any) -> dict[str, Any]:
    """The data of a create."""
    return {"elementType": "Contacts", "element": {"lastname": "Ann", **element}}


def text(content: bytes = b"x", **more: Any) -> dict[str, Any]:
    """The data of a conversion."""
    file = {"name": "a.txt", "content": base64.b64encode(content).decode(), **more}
    return {"file": file, "convert_format": "txt"}


SAYS_NO = [
    # create
    ("create", {"elementType": "Contacts", "element": {"firstname": "Ann"}}, "MANDATORY_FIELDS_MISSING",
     "Contacts needs a value for the mandatory field lastname"),
    ("create", {"elementType": "Leads", "element": {"lastname": "  "}}, "MANDATORY_FIELDS_MISSING",
     "Leads needs a value for the mandatory fields lastname, company"),
    ("create", contact(phon="1"), "INVALID_VALUE", "Contacts has no field 'phon' (did you mean 'phone'?)"),
    ("create", contact(email="ann"), "INVALID_VALUE",
     "Contacts.email must be an address such as ann@example.org, not 'ann'"),
    ("create", contact(birthday="29.2.2000"), "INVALID_VALUE",
     "Contacts.birthday must be a day such as 2030-12-31, not '29.2.2000'"),
    ("create", contact(birthday="2001-02-29"), "INVALID_VALUE",
     "Contacts.birthday must be a day such as 2030-12-31, not '2001-02-29'"),
    ("create", contact(birthday="2030-W01-1"), "INVALID_VALUE",
     "Contacts.birthday must be a day such as 2030-12-31, not '2030-W01-1'"),
    ("create", contact(donotcall="maybe"), "INVALID_VALUE",
     "Contacts.donotcall must be true or false (1 or 0), not 'maybe'"),
    ("create", contact(leadsource="WebSite"), "INVALID_VALUE",
     "Contacts.leadsource must be one of Cold Call, Trade Show, Web Site, Word of mouth, Other, not 'WebSite' "
     "(did you mean 'Web Site'?)"),
    ("create", contact(title="x" * 101), "INVALID_VALUE",
     "Contacts.title must be a text of at most 100 characters; this one has 101"),
    ("create", contact(title=["x"]), "INVALID_VALUE", "Contacts.title must be a text, not ['x']"),
    ("create", {"elementType": "Contacts", "element": r'{"lastname": "Ann", "title": "a\u0000b"}'}, "INVALID_VALUE",
     "Contacts.title must be a text without characters that no database keeps (NUL, halves of pairs)"),
    ("create", {"elementType": "Accounts", "element": {"accountname": "x", "employees": 2**31}}, "INVALID_VALUE",
     "Accounts.employees must be a whole number of up to 2147483647, not 2147483648"),
    ("create", {"elementType": "Accounts", "element": {"accountname": "x", "annual_revenue": "1.005"}}, "INVALID_VALUE",
     "Accounts.annual_revenue must be an amount such as 12.50, not '1.005'"),
    ("create", {"elementType": "Accounts", "element": {"accountname": "x", "annual_revenue": "NaN"}}, "INVALID_VALUE",
     "Accounts.annual_revenue must be an amount such as 12.50, not 'NaN'"),
    ("create", contact(account_id="11x99"), "REFERENCE_INVALID", "Contacts.account_id: there is no record 11x99"),
    ("create", contact(account_id="12x1"), "REFERENCE_INVALID",
     "Contacts.account_id refers to Accounts; 12x1 is of Contacts"),
    ("create", contact(account_id="11"), "REFERENCE_INVALID",
     "Contacts.account_id: an id is a module's number, an x and a record's number, as 12x37, not '11'"),
    ("create", contact(assigned_user_id="19x2"), "REFERENCE_INVALID",
     "Contacts.assigned_user_id: '19x2' is no user; there are 19x1 (María Núñez), 19x5 (Sven Åkesson), "
     "19x6 (Jo Müller)"),
    ("create", contact(assigned_user_id="19x7"), "REFERENCE_INVALID",
     "Contacts.assigned_user_id: Ольга Орлова (19x7) is not active any more: choose somebody else"),
    ("create", contact(relations="15x1"), "REFERENCE_INVALID", "relations is a list of ids, not '15x1'"),
    ("create", contact(relations=["11x1"]), "REFERENCE_INVALID",
     "11x1: only Documents are related to other records, and others to them"),
    ("create", contact(relations=["15x99"]), "RECORD_NOT_FOUND",
     "there is no record 15x99 in Documents: was it deleted?"),
    # update, revise, upsert
    ("update", {"element": {"id": "12x1", "lastname": "Ann"}}, "MANDATORY_FIELDS_MISSING",
     "Contacts needs a value for the mandatory field assigned_user_id"),
    ("update", {"element": {"id": "12x99", "lastname": "Ann"}}, "RECORD_NOT_FOUND",
     "there is no record 12x99 in Contacts: was it deleted?"),
    ("revise", {"element": {"id": "12x1", "lastname": None}}, "MANDATORY_FIELDS_MISSING",
     "Contacts needs a value for the mandatory field lastname"),
    ("upsert", {**contact(), "searchOn": "email"}, "SEARCH_VALUE_NOT_PROVIDED",
     "the element has no value for email, and it is searched on that"),
    ("upsert", {**contact(email="  "), "searchOn": "lastname,email"}, "SEARCH_VALUE_NOT_PROVIDED", None),
    ("upsert", {**contact(title="  "), "searchOn": "lastname,title"}, "SEARCH_VALUE_NOT_PROVIDED",
     "the element has no value for title, and it is searched on that"),
    ("upsert", {**contact(), "searchOn": "mail"}, "INVALID_VALUE",
     "Contacts has no field 'mail' (did you mean 'email'?)"),
    ("upsert", {**contact(), "searchOn": "lastname", "updatedfields": "titel"}, "INVALID_VALUE",
     "Contacts has no field 'titel' (did you mean 'title'?)"),
    ("upsert", {**contact(), "searchOn": "createdtime"}, "INVALID_VALUE",
     "Contacts cannot be searched on createdtime"),
    ("upsert", {**contact(title="Dr"), "searchOn": "title"}, "RECORD_NOT_UNIQUE",
     "more than one record of Contacts has this title (12x1, 12x2 ...): search on more fields, or revise one of them "
     "by its id"),
    # workflows
    ("ExecuteWorkflow", {"workflow": 46, "entities": ["12x1"]}, "WORKFLOW_NOT_FOUND",
     "there is no workflow 46; there are 1 (Lead answered), 2 (Raise amount), 3 (Hand over)"),
    ("ExecuteWorkflow", {"workflow": "Handover", "entities": ["12x1"]}, "WORKFLOW_NOT_FOUND",
     "there is no workflow 'Handover' (did you mean 'Hand over'?); there are 1 (Lead answered), 2 (Raise amount), "
     "3 (Hand over)"),
    ("ExecuteWorkflow", {"workflow": "Hand over", "entities": ["12x1"]}, "INVALID_VALUE",
     "the context does not fit the workflow 'Hand over': assigned_user_id: Field required. Its variables: "
     "assigned_user_id"),
    ("ExecuteWorkflowWithContext", {"workflow": 3, "entities": ["12x1"], "context": {"assigned_user_id": "19x99"}},
     "REFERENCE_INVALID", "Contacts.assigned_user_id: '19x99' is no user; there are 19x1 (María Núñez), "
     "19x5 (Sven Åkesson), 19x6 (Jo Müller)"),
    ("ExecuteWorkflow", {"workflow": 3, "entities": ["15x1"]}, "INVALID_VALUE", None),
    ("ExecuteWorkflow", {"workflow": 1, "entities": ["10x99"]}, "RECORD_NOT_FOUND",
     "there is no record 10x99 in Leads: was it deleted?"),
    # leads
    ("convertlead", {"element": {"leadId": "12x1"}}, "INVALID_ID_ATTRIBUTE",
     "only records of Leads can be converted; 12x1 is of Contacts"),
    ("convertlead", {"element": {"leadId": "10x1", "entities": {"Accounts": {"create": False},
                                                               "Contacts": {"create": False}}}},
     "CONVERSION_FAILED", "a lead becomes an account, a contact or both: ask for one of them"),
    ("convertlead", {"element": {"leadId": "10x1", "entities": {"Potentials": {}}}}, "CONVERSION_FAILED", None),
    ("convertlead", {"element": {"leadId": "10x1", "entities": {"Contacts": {"shoesize": 42}}}}, "INVALID_VALUE",
     "Contacts has no field 'shoesize'"),
    ("convertlead", {"element": {"leadId": "10x1", "entities": {"Accounts": {"accountname": ["Firm"]}}}},
     "INVALID_VALUE", "Accounts.accountname must be a text, not ['Firm']"),
    ("convertlead", {"element": {"leadId": "10x1", "assignedTo": "10x1"}}, "REFERENCE_INVALID", None),
    # documents
    ("gendoc_convert", text(content=b"\xff"), "CONVERSION_FAILED", "'a.txt' is no text in UTF-8 (byte 0)"),
    ("gendoc_convert", text(size=7), "CONVERSION_FAILED", "'a.txt' has 1 bytes, not 7: send it again"),
    ("gendoc_convert", {"file": {"name": "a.txt", "content": "ä"}, "convert_format": "txt"}, "CONVERSION_FAILED",
     "the content of 'a.txt' is not in base 64"),
    ("gendoc_convert", {"template": "12x1", "convert_format": "txt"}, "INVALID_ID_ATTRIBUTE",
     "a template is a record of Documents; 12x1 is of Contacts"),
    ("gendoc_convert", {"template": "15x1", "convert_format": "txt"}, "CONVERSION_FAILED",
     "the document 15x1 is no template: its field template is false"),
    ("gendoc_convert", {"template": "15x2", "crmids": "12x1", "convert_format": "txt"}, "CONVERSION_FAILED",
     "{nothing}: Contacts has no field 'nothing'"),
    ("gendoc_convert", {"template": "15x3", "crmids": "12x1", "convert_format": "txt"}, "CONVERSION_FAILED",
     "{Potentials.amount}: records of Contacts refer to none of Potentials"),
    ("gendoc_convert", {"template": "15x2", "crmids": "12x99", "convert_format": "txt"}, "RECORD_NOT_FOUND",
     "there is no record 12x99 in Contacts: was it deleted?"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "data", "code", "sentence"), SAYS_NO, ids=lambda one: str(one)[:40])
def test_what_is_said_no_to_has_a_code_and_a_sentence(
    standing: Crm, name: str, data: dict[str, Any], code: str, sentence: str | None
) -> None:
    before = standing.counts()
    with pytest.raises(OperationFailed) as caught:
        standing.do(name, **data)
    assert caught.value.code == code
    assert sentence is None or caught.value.message == sentence
    assert standing.counts() == before


DOES_NOT_FIT = [
    ("create", {"elementType": "Contact", "element": {}}, ["elementType"],
     "Value error, there is no module 'Contact' (did you mean 'Contacts'?)"),
    ("create", {"elementType": "Contacts", "element": "{"}, ["element"], "Value error, this is no JSON: "),
    ("create", {"elementType": "Contacts", "element": "[]"}, ["element"], "Input should be an object"),
    ("create", {"elementType": "Contacts"}, ["element"], "Field required"),
    ("create", {**contact(), "elementtype": "x"}, ["elementtype"], "Extra inputs are not permitted"),
    ("update", {"element": {"lastname": "x"}}, ["element"],
     "Value error, the element lacks the id of the record, such as 12x37"),
    ("revise", {"element": {"id": 12}}, ["element"],
     "Value error, an id is a module's number, an x and a record's number, as 12x37, not 12"),
    ("revise", {"element": {"id": "7x1"}}, ["element"], "Value error, the id '7x1' is of no module here; "
     "ids begin with 11x (Accounts), 12x (Contacts), 10x (Leads), 13x (Potentials), 15x (Documents)"),
    ("upsert", {**contact(), "searchOn": " , "}, ["searchOn"], "List should have at least 1 item"),
    ("MassCreate", {"elements": []}, ["elements"], "List should have at least 1 item"),
    ("MassCreate", {"elements": [{"elementType": "x"}]}, ["elements", 0, "element"], "Field required"),
    ("MassCreate", {"elements": [{**contact(), "referenceId": "a"}, {**contact(), "referenceId": "a"}]}, [],
     "Value error, two elements have the referenceId 'a': each needs one of its own, or none"),
    ("MassUpdate", {"elements": "x"}, ["elements"], "Value error, this is no JSON: "),
    ("MassDelete", {"ids": ""}, ["ids"], "List should have at least 1 item"),
    ("describe", {"elementType": "Contacts,Lead"}, ["elementType", 1],
     "Value error, there is no module 'Lead' (did you mean 'Leads'?)"),
    ("getRelatedModulesInfomation", {"module": ""}, ["module"], "Value error, there is no module ''"),
    ("ExecuteWorkflow", {"workflow": 1, "entities": ["x"]}, ["entities", 0], "Value error, an id is a module's number"),
    ("ExecuteWorkflow", {"workflow": 1, "entities": ["10x1"], "context": {}}, ["context"], "Extra inputs are not"),
    ("ExecuteWorkflowWithContext", {"workflow": 1, "entities": ["10x1"]}, ["context"], "Field required"),
    ("convertlead", {"element": {"leadId": "10x1", "entities": {"Contact": {}}}},
     ["element", "entities", "Contact", "[key]"], "Input should be 'Accounts', 'Contacts' or 'Potentials'"),
    ("gendoc_convert", {"convert_format": "txt"}, [], "Value error, send a file, or the id of a document as template"),
    ("gendoc_convert", {**text(), "template": "15x1"}, [], "Value error, send a file, or the id of a document as"),
    ("gendoc_convert", {**text(), "convert_format": "pdf"}, ["convert_format"], "Input should be 'html' or 'txt'"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "data", "place", "sentence"), DOES_NOT_FIT, ids=lambda one: str(one)[:40])
def test_data_that_do_not_fit_are_refused_at_once_also_when_deferred(
    standing: Crm, name: str, data: dict[str, Any], place: list[Any], sentence: str
) -> None:
    for call in (standing.do, standing.defer):
        with pytest.raises(InvalidData) as caught:
            call(name, **data)
        [problem] = caught.value.details
        assert (problem["at"], problem["message"][: len(sentence)]) == (place, sentence)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("update", {"element": {"id": "11x1", "accountname": "x"}}),
        ("revise", {"element": {"id": "11x1", "accountname": "x"}}),
        ("create", {"elementType": "Documents", "element": {"notes_title": "x"}}),
        ("MassDelete", {"ids": "12x1"}),
    ],
)
def test_what_a_role_may_not_do_is_refused_at_once_also_when_deferred(
    standing: Crm, name: str, data: dict[str, Any]
) -> None:
    for call in (standing.do, standing.defer):
        with pytest.raises(AccessDenied, match=rf"^this user may not call {name}"):
            call(name, "sven", **data)


@pytest.mark.parametrize("user", ["olga", "nobody", None])
def test_who_is_not_active_or_unknown_may_call_nothing(standing: Crm, user: str | None) -> None:
    with pytest.raises(AccessDenied):
        standing.operations.call("describe", {"elementType": "Contacts"}, user=user)


def test_a_workflow_needs_the_right_to_change_the_record(standing: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[Any] = []
    made = Workflow(9, "Look", ("Accounts",), Variables, lambda records, record, variables: called.append(record))
    monkeypatch.setattr(workflows, "WORKFLOWS", [made])
    with pytest.raises(OperationFailed, match=r"^this user may not update records of Accounts$"):
        standing.do("ExecuteWorkflow", "sven", workflow=9, entities=["11x1"])
    assert called == []
    assert standing.do("ExecuteWorkflow", "maria", workflow=9, entities=["11x1"]) is True
    assert len(called) == 1


def test_an_upsert_needs_the_right_to_change_what_it_finds(standing: Crm) -> None:
    data = {"elementType": "Accounts", "element": {"accountname": "Firm", "phone": "1"}, "searchOn": "accountname"}
    with pytest.raises(OperationFailed, match=r"^this user may not update records of Accounts$"):
        standing.do("upsert", "sven", **data)
