"""The operations of the contacts on many records, now and deferred."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.orm import sessionmaker

from demo_ext.contacts.ids import RecordId
from demo_ext.contacts.mass import mass_create
from demo_ext.contacts.people import load_user
from demo_ext.contacts.problems import Stopped, failed
from demo_ext.contacts.records import Records
from demo_ext.contacts.shapes import MassCreate, NewElement
from taskqueue.operations import AccessDenied, OperationContext, OperationFailed
from tests.demo.crm import Crm


def new(module: str, name: str = "", **element: Any) -> dict[str, Any]:
    """An element of MassCreate."""
    return {"elementType": module, "referenceId": name, "element": element}


def test_mass_create_makes_records_that_refer_to_later_ones(both: Crm) -> None:
    found = both.do("MassCreate", elements=[
        new("Potentials", potentialname="Öl", closingdate="2030-01-01", related_to="@{firm.id}", contact_id="@{ann}"),
        new("Contacts", "ann", lastname="Ann", account_id="@{firm.id}", description="@{firm.id} stands for itself"),
        new("Accounts", "firm", accountname="Škoda"),
        new("Documents", "", notes_title="Offer", relations=["@{ann.id}"]),
    ])  # fmt: skip
    assert [one["id"] for one in found["success_creates"]] == ["13x1", "12x1", "11x1", "15x1"]
    assert found["failed_creates"] == []
    opportunity, contact, _, _ = found["success_creates"]
    assert (opportunity["related_to"], opportunity["contact_id"], contact["account_id"]) == ("11x1", "12x1", "11x1")
    assert contact["description"] == "@{firm.id} stands for itself"
    assert both.relations() == [(1, 12, 1)]


def test_an_element_that_fails_is_told_of_and_fails_what_refers_to_it(both: Crm) -> None:
    found = both.do("MassCreate", elements=[
        new("Contacts", "bad", lastname=""),
        new("Contacts", "good", lastname="Ann"),
        new("Potentials", potentialname="x", closingdate="2030-01-01", contact_id="@{bad}"),
        new("Nothing", lastname="x"),
        new("Contacts", lastname="Bob", account_id="11x99"),
    ])  # fmt: skip
    assert [one["lastname"] for one in found["success_creates"]] == ["Ann"]
    assert [(one["index"], one["code"]) for one in found["failed_creates"]] == [
        (0, "MANDATORY_FIELDS_MISSING"), (2, "REFERENCE_INVALID"), (3, "INVALID_MODULE"), (4, "REFERENCE_INVALID"),
    ]  # fmt: skip
    assert [one["message"] for one in found["failed_creates"]] == [
        "Contacts needs a value for the mandatory field lastname",
        "contact_id refers to the element 'bad', and no record was made of such a one",
        "there is no module 'Nothing'",
        "Contacts.account_id: there is no record 11x99",
    ]
    assert found["failed_creates"][0]["element"]["element"] == {"lastname": ""}
    assert both.counts() == {"Contacts": 1}


def test_what_failed_when_it_was_written_already_leaves_nothing(both: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    document, relate = both.create("Documents", notes_title="Offer"), Records._relate

    def refuse(self: Records, record: RecordId, others: list[RecordId]) -> None:
        relate(self, record, others)
        if others:
            raise failed("INVALID_VALUE", "too late")

    monkeypatch.setattr(Records, "_relate", refuse)
    found = both.do("MassCreate", elements=[
        new("Contacts", lastname="Ann"), new("Contacts", lastname="Bob", relations=[document]),
        new("Contacts", lastname="Cid"),
    ])  # fmt: skip
    assert [one["contact_no"] for one in found["success_creates"]] == ["CON1", "CON2"]
    assert [one["message"] for one in found["failed_creates"]] == ["too late"]
    assert (both.counts(), both.relations()) == ({"Contacts": 2, "Documents": 1}, [])


def test_mass_create_changes_what_searchon_finds(both: Crm) -> None:
    record = both.create("Contacts", lastname="Ann", email="a@example.org")
    found = both.do("MassCreate", elements=[
        {**new("Contacts", lastname="Anna", email="a@example.org"), "searchon": "email"},
        {**new("Contacts", lastname="Bob", email="b@example.org"), "searchon": "email"},
        {**new("Contacts", lastname="Ben", email="b@example.org"), "searchon": "email"},
    ])  # fmt: skip
    assert [(one["id"], one["lastname"]) for one in found["success_creates"]] == [
        (record, "Anna"), ("12x2", "Bob"), ("12x2", "Ben"),
    ]  # fmt: skip
    assert both.counts() == {"Contacts": 2}


def test_elements_in_a_circle_are_refused_together(both: Crm) -> None:
    first = new("Accounts", "a", accountname="A", account_id="@{b}")
    second = new("Accounts", "b", accountname="B", account_id="@{a}")
    with pytest.raises(OperationFailed, match=r"^elements refer to each other in a circle: 'a', 'b', 'a'$"):
        both.do("MassCreate", elements=[first, second, new("Accounts", accountname="C")])
    assert both.counts() == {}


def test_mass_update_changes_the_given_fields_of_each(both: Crm) -> None:
    ann, bob = (both.create("Contacts", lastname=name, title="Dr") for name in ("Ann", "Bob"))
    found = both.do("MassUpdate", "sven", elements=[
        {"id": ann, "lastname": "Ánna"}, {"id": bob, "lastname": ""}, {"id": "12x99", "lastname": "x"},
        {"lastname": "x"}, {"id": "nonsense"},
    ])  # fmt: skip
    assert found["success_updates"] == [ann]
    assert {(one["id"], one["code"]) for one in found["failed_updates"]} == {
        (bob, "MANDATORY_FIELDS_MISSING"), ("12x99", "RECORD_NOT_FOUND"), (None, "INVALID_ID_ATTRIBUTE"),
        ("nonsense", "INVALID_ID_ATTRIBUTE"),
    }  # fmt: skip
    assert (both.read(ann)["lastname"], both.read(ann)["title"], both.read(bob)["lastname"]) == ("Ánna", "Dr", "Bob")


def test_mass_delete_removes_records_and_what_refers_to_them_lets_go(both: Crm) -> None:
    account = both.create("Accounts", accountname="Firm")
    contact = both.create("Contacts", lastname="Ann", account_id=account)
    both.create("Documents", notes_title="Offer", relations=[account, contact])
    found = both.do("MassDelete", ids=f"{account}, 12x99, {account}")
    assert found["success_deletes"] == [account]
    [failure] = found["failed_deletes"]
    assert failure == {
        "id": "12x99", "code": "RECORD_NOT_FOUND", "message": "there is no record 12x99 in Contacts: was it deleted?",
    }  # fmt: skip
    assert both.read(contact)["account_id"] is None
    assert (both.counts(), both.relations()) == ({"Contacts": 1, "Documents": 1}, [(1, 12, 1)])


def test_only_managers_delete(both: Crm) -> None:
    contact = both.create("Contacts", lastname="Ann")
    with pytest.raises(AccessDenied, match=r"^this user may not call MassDelete$"):
        both.do("MassDelete", "sven", ids=contact)
    assert both.counts() == {"Contacts": 1}


def test_rights_are_asked_for_each_element(both: Crm) -> None:
    account, contact = both.create("Accounts", accountname="Firm"), both.create("Contacts", lastname="Ann")
    found = both.do("MassUpdate", "sven", elements=[{"id": account, "phone": "1"}, {"id": contact, "phone": "1"}])
    assert found["success_updates"] == [contact]
    assert [(one["code"], one["message"]) for one in found["failed_updates"]] == [
        ("ACCESS_DENIED", "this user may not update records of Accounts")
    ]


class Watched(OperationContext):
    """The context of a call that keeps what was reported, and is told to stop after so many looks."""

    def __init__(self, crm: Crm, stop_after: int = 1000) -> None:
        user = load_user("maria")
        assert user is not None
        super().__init__("", user, sessionmaker(crm.service.engine).begin)
        self.reports: list[tuple[float, float | None, str]] = []
        self._looks = stop_after

    @property
    def should_stop(self) -> bool:
        self._looks -= 1
        return self._looks < 0

    def report(self, done: float, total: float | None = None, message: str = "") -> None:
        self.reports.append((done, total, message))


MANY = MassCreate(elements=[NewElement(elementType="Contacts", element={"lastname": f"Nr {n}"}) for n in range(120)])


def test_what_a_role_may_not_make_fails_alone(both: Crm) -> None:
    elements = [new("Documents", notes_title="Offer"), new("Contacts", lastname="Ann")]
    found = both.do("MassCreate", "sven", elements=elements)
    [problem] = found["failed_creates"]
    assert (problem["code"], problem["message"]) == ("ACCESS_DENIED", "this user may not create records of Documents")
    assert both.counts() == {"Contacts": 1}


def test_it_is_told_how_far_it_is(crm: Crm) -> None:
    ctx = Watched(crm)
    with ctx.performing():
        mass_create(ctx, MANY)
    assert ctx.reports == [(done, 120, "records made") for done in (50, 100, 120)]
    assert crm.counts() == {"Contacts": 120}


def test_told_to_stop_it_writes_nothing(crm: Crm) -> None:
    ctx = Watched(crm, stop_after=70)
    with pytest.raises(Stopped, match=r"^stopped after 70 of 120 elements$"), ctx.performing():
        mass_create(ctx, MANY)
    assert (crm.counts(), ctx.reports) == ({}, [(50, 120, "records made")])
