"""Workflows, the conversion of leads, and documents, now and deferred."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from taskqueue.operations import File, OperationFailed
from tests.demo.crm import Crm

LEAD = {"lastname": "Müller", "firstname": "Zoë", "company": "Käse & Söhne", "email": "zoe@example.org",
        "industry": "Food", "assigned_user_id": "19x6"}  # fmt: skip


# --- workflows ---


def test_a_workflow_is_called_for_each_record(both: Crm) -> None:
    leads = [both.create("Leads", **LEAD) for _ in range(2)]
    assert both.do("ExecuteWorkflow", "sven", workflow="Lead answered", entities=leads) is True
    assert [both.read(lead)["leadstatus"] for lead in leads] == ["Warm", "Warm"]


@pytest.mark.parametrize("number", [2, "2", "Raise amount"])
def test_a_context_sets_the_variables_of_a_workflow(both: Crm, number: int | str) -> None:
    record = both.create("Potentials", potentialname="Öl", closingdate="2030-01-01", amount="19.99")
    nothing = both.create("Potentials", potentialname="Gas", closingdate="2030-01-01")
    data = {"workflow": number, "entities": [record, record, nothing], "context": {"percent": 50}}
    assert both.do("ExecuteWorkflowWithContext", "sven", **data) is True
    assert (both.read(record)["amount"], both.read(nothing)["amount"]) == ("29.98", None)
    both.do("ExecuteWorkflow", "sven", workflow=number, entities=f'["{record}"]')
    assert both.read(record)["amount"] == "32.98"


def test_a_workflow_is_for_all_of_the_records_or_for_none(both: Crm) -> None:
    lead, contact = both.create("Leads", **LEAD), both.create("Contacts", lastname="Ann")
    with pytest.raises(
        OperationFailed, match=rf"^the workflow 'Lead answered' is for Leads; {contact} is of Contacts$"
    ):
        both.do("ExecuteWorkflow", workflow=1, entities=[lead, contact])
    assert both.read(lead)["leadstatus"] == "Cold"


# --- leads ---


def test_a_lead_becomes_an_account_and_a_contact(both: Crm) -> None:
    lead = both.create("Leads", **LEAD)
    document = both.create("Documents", notes_title="Card", relations=[lead])
    made = both.do("convertlead", "sven", element={"leadId": lead})
    assert made == {"Accounts": "11x1", "Contacts": "12x1"}
    account, contact = both.read("11x1"), both.read("12x1")
    assert (account["accountname"], account["industry"]) == ("Käse & Söhne", "Food")
    assert [contact[name] for name in ("firstname", "lastname", "email", "account_id", "assigned_user_id")] == [
        "Zoë", "Müller", "zoe@example.org", "11x1", "19x6",
    ]  # fmt: skip
    assert (both.read(lead)["converted"], both.read(lead)["leadstatus"]) == (True, "Converted")
    assert both.relations() == [(int(document[3:]), 12, 1)]
    with pytest.raises(OperationFailed, match=rf"^the lead {lead} was converted before$") as caught:
        both.do("convertlead", element={"leadId": lead})
    assert caught.value.code == "LEAD_ALREADY_CONVERTED"
    assert both.counts() == {"Accounts": 1, "Contacts": 1, "Leads": 1, "Documents": 1}


def test_what_becomes_of_a_lead_can_be_chosen(both: Crm) -> None:
    lead = both.create("Leads", **LEAD)
    both.create("Documents", notes_title="Card", relations=[lead])
    both.create("Accounts", accountname="Käse & Söhne")
    made = both.do("convertlead", element={
        "leadId": lead, "assignedTo": "19x1", "transferRelatedRecordsTo": "Accounts",
        "entities": {
            "Accounts": {"create": True, "name": "Accounts", "forcecreate": True, "industry": "Retail"},
            "Contacts": {"create": False, "name": "Contacts"},
            "Potentials": {"create": True, "potentialname": "Großauftrag", "closingdate": "2030-01-31", "amount": 7},
        },
    })  # fmt: skip
    assert made == {"Accounts": "11x2", "Potentials": "13x1"}
    assert (both.read("11x2")["industry"], both.read("11x2")["assigned_user_id"]) == ("Retail", "19x1")
    opportunity = both.read("13x1")
    assert [opportunity[name] for name in ("potentialname", "related_to", "contact_id", "amount")] == [
        "Großauftrag", "11x2", None, "7.00",
    ]  # fmt: skip
    assert both.relations() == [(1, 11, 2)]


def test_an_account_of_that_name_is_not_made_twice(both: Crm) -> None:
    account = both.create("Accounts", accountname="Käse & Söhne")
    made = both.do("convertlead", "jo", element={"leadId": both.create("Leads", **LEAD)})
    assert (made["Accounts"], both.counts()["Accounts"]) == (account, 1)


def test_only_what_is_named_is_made(both: Crm) -> None:
    element = {"leadId": both.create("Leads", **LEAD), "entities": {"Accounts": {"accountname": " Käse "}}}
    made = both.do("convertlead", element=element)
    assert (list(made), both.read(made["Accounts"])["accountname"]) == (["Accounts"], "Käse")


def test_a_conversion_that_fails_halfway_changes_nothing(both: Crm) -> None:
    lead = both.create("Leads", **LEAD)
    with pytest.raises(OperationFailed, match=r"^Potentials needs a value for the mandatory field closingdate$"):
        both.do("convertlead", element={"leadId": lead, "entities": {"Accounts": {}, "Contacts": {}, "Potentials": {}}})
    assert (both.counts(), both.read(lead)["converted"], both.read(lead)["leadstatus"]) == ({"Leads": 1}, False, "Cold")
    assert both.do("convertlead", element={"leadId": lead}) == {"Accounts": "11x1", "Contacts": "12x1"}


# --- documents ---


def sent(name: str, text: str, **more: Any) -> dict[str, Any]:
    """A file as a client sends it."""
    return {"name": name, "content": base64.b64encode(text.encode()).decode(), **more}


def test_a_template_is_filled_for_each_record(both: Crm) -> None:
    account = both.create("Accounts", accountname="Käse <&> Söhne")
    ann = both.create("Contacts", lastname="Ånn", account_id=account, birthday="2000-02-29")
    bob = both.create("Contacts", lastname="Bob", donotcall=True)
    text = (
        "Dear {lastname} of {Accounts.accountname},\nborn {birthday}; quiet: {donotcall}\n\nYours, {assigned_user_id}"
    )
    template = both.create("Documents", notes_title="Dr. Größe.txt", notecontent=text, template=True)
    data = {"template": template, "crmids": f"{ann},{bob}"}

    found = both.do("gendoc_convert", "sven", convert_format="txt", **data)
    assert found == File((
        "Dear Ånn of Käse <&> Söhne,\nborn 2000-02-29; quiet: no\n\nYours, María Núñez\f"
        "Dear Bob of ,\nborn ; quiet: yes\n\nYours, María Núñez"
    ).encode(), "text/plain; charset=utf-8", "Dr. Größe.txt")  # fmt: skip

    page = both.do("gendoc_convert", "sven", convert_format="html", **data)
    assert (page.media_type, page.name) == ("text/html; charset=utf-8", "Dr. Größe.html")
    assert "<p>Dear Ånn of Käse &lt;&amp;&gt; Söhne,<br>\nborn 2000-02-29; quiet: no</p>\n" in page.content.decode()
    assert page.content.decode().count("<hr") == 1


def test_a_page_that_is_sent_becomes_a_text(both: Crm) -> None:
    page = "<title>t</title><style>p {color: red}</style><h1>Dear {lastname}</h1><p>a&nbsp;&lt;\n b<br>c</p>"
    page += "<script>x</script>"
    contact = both.create("Contacts", lastname="<b>Ånn</b>")
    found = both.do("gendoc_convert", file=sent("a b.html", page), crmids=[contact], convert_format="txt")
    assert (found.content.decode(), found.name) == ("Dear <b>Ånn</b>\n\na < b\nc\n", "a b.txt")
    filled = both.do("gendoc_convert", file=sent("x", page, type="text/html"), crmids=[contact], convert_format="html")
    assert "<h1>Dear &lt;b&gt;Ånn&lt;/b&gt;</h1>" in filled.content.decode()


def test_without_records_a_file_is_converted_as_it_is(both: Crm) -> None:
    found = both.do("gendoc_convert", file=sent("t.txt", "Dear {lastname}", size=15), convert_format="txt")
    assert found == File(b"Dear {lastname}", "text/plain; charset=utf-8", "t.txt")
