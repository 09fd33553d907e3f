"""What the operations of the contacts write happens once, whatever goes wrong and whoever does the same meanwhile."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from demo_ext import contacts
from demo_ext.contacts import make_operations, people, workflows
from demo_ext.contacts.modules import CONTACTS
from demo_ext.contacts.people import load_user
from demo_ext.contacts.records import Records
from demo_ext.contacts.schema import TABLES, crm_module
from demo_ext.contacts.single import put
from taskqueue import QueueService, Worker
from taskqueue.operations import KeyReused, OperationError, OperationFailed, Operations, User
from tests.demo.application import Application
from tests.demo.crm import Crm
from tests.servers import ALL_DATABASES, SERVER_DATABASES

MARIA = load_user("maria") or User()
OIL = {"potentialname": "Öl", "closingdate": "2030-01-01", "amount": "100"}


@pytest.fixture
def breaking(monkeypatch: pytest.MonkeyPatch) -> list[Exception]:
    """The errors with which the workflow "Break" ends, one after the other, once it has written to two records."""
    errors: list[Exception] = []
    seen: list[Any] = []

    def function(records: Records, record: Any, variables: Any) -> None:
        workflows.raise_amount(records, record, workflows.Rise())
        seen.append(record)
        if len(seen) % 2 == 0 and errors:
            raise errors.pop(0)

    made = workflows.Workflow(99, "Break", ("Potentials",), workflows.Variables, function)
    monkeypatch.setattr(workflows, "WORKFLOWS", [*workflows.WORKFLOWS, made])
    return errors


def amounts(crm: Crm, ids: list[str]) -> list[Any]:
    """What the opportunities are about."""
    return [crm.read(one)["amount"] for one in ids]


def test_an_error_of_the_program_undoes_all_and_the_next_attempt_does_it_once(
    crm: Crm, breaking: list[Exception]
) -> None:
    ids = [crm.create("Potentials", **OIL) for _ in range(2)]
    breaking.append(RuntimeError("the disk is on fire"))
    call = crm.defer("ExecuteWorkflow", workflow="Break", entities=ids)
    assert crm.drain() == 1
    assert (crm.operations.get(call.id).state, amounts(crm, ids)) == ("retrying", ["100.00", "100.00"])
    assert crm.drain(ahead=60) == 1
    assert (crm.operations.get(call.id).state, amounts(crm, ids)) == ("succeeded", ["110.00", "110.00"])
    assert crm.operations.get(call.id).attempts == 2
    assert crm.drain(ahead=600) == 0


def test_a_no_halfway_undoes_all_and_is_final(crm: Crm, breaking: list[Exception]) -> None:
    ids = [crm.create("Potentials", **OIL) for _ in range(2)]
    breaking.append(OperationFailed("too expensive", code="TOO_EXPENSIVE"))
    call = crm.defer("ExecuteWorkflow", workflow=99, entities=ids)
    assert crm.drain() == 1
    found = crm.operations.get(call.id)
    assert (found.state, found.attempts, (found.error or {})["code"]) == ("failed", 1, "TOO_EXPENSIVE")
    assert amounts(crm, ids) == ["100.00", "100.00"]
    assert crm.drain(ahead=600) == 0


def test_a_direct_call_that_breaks_writes_nothing(crm: Crm, breaking: list[Exception]) -> None:
    ids = [crm.create("Potentials", **OIL) for _ in range(2)]
    breaking.append(RuntimeError("the disk is on fire"))
    with pytest.raises(RuntimeError, match="on fire"):
        crm.do("ExecuteWorkflow", workflow=99, entities=ids)
    assert amounts(crm, ids) == ["100.00", "100.00"]


def test_a_record_made_before_the_failure_leaves_no_gap(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Records, "shown", lambda self, record, **how: 1 / 0)
        call = crm.defer("create", elementType="Contacts", element={"lastname": "Ann"})
        assert crm.drain() == 1
        assert (crm.operations.get(call.id).state, crm.counts()) == ("retrying", {})
    assert crm.drain(ahead=60) == 1
    assert (crm.operations.result(call.id)["contact_no"], crm.counts()) == ("CON1", {"Contacts": 1})


def test_a_key_makes_one_record_of_two_calls(crm: Crm) -> None:
    data = {"elementType": "Contacts", "element": {"lastname": "Ånn"}}
    first, again = (crm.operations.defer("create", data, user="sven", key="k") for _ in range(2))
    assert (first.id, crm.drain()) == (again.id, 1)
    assert crm.operations.call("create", data, user="sven", key="k") == crm.operations.result(first.id)
    assert crm.counts() == {"Contacts": 1}
    with pytest.raises(KeyReused):
        crm.operations.call("create", {**data, "element": {"lastname": "Bob"}}, user="sven", key="k")


def test_who_left_before_their_call_was_executed_changes_nothing(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    call = crm.defer("create", "sven", elementType="Contacts", element={"lastname": "Ann"})
    monkeypatch.setitem(people.BY_LOGIN, "sven", people.BY_LOGIN["olga"])
    crm.drain()
    assert (crm.operations.get(call.id).state, crm.counts()) == ("failed", {})
    with pytest.raises(OperationError, match=r"^this user is unknown or not active$"):
        crm.operations.result(call.id)


@pytest.mark.parametrize("database_url", ALL_DATABASES, indirect=True)
def test_workers_that_start_at_once_on_an_empty_database_make_its_tables(database_url: str) -> None:
    services = [QueueService(database_url) for _ in range(4)]
    services[0].queues()  # the tables of the queues are there
    registries, start = [make_operations(service) for service in services], Barrier(4)

    def create(operations: Operations) -> str:
        start.wait()
        element = {"elementType": "Contacts", "element": {"lastname": "Ann"}}
        return str(operations.call("create", element, user="sven")["contact_no"])

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(create, registries)) == ["CON1", "CON2", "CON3", "CON4"]
    for service in services:
        service.close()


@pytest.mark.parametrize("contacts_url", SERVER_DATABASES, indirect=True)
def test_two_upserts_take_turns_also_when_the_first_finds_a_record(crm: Crm) -> None:
    element = {"lastname": "Ann", "email": "ann@example.org"}
    crm.create("Contacts", **element)
    with Session(crm.service.engine) as first, Session(crm.service.engine) as second:
        put(Records(first, MARIA), CONTACTS, element, ["email"])
        turn = select(crm_module).where(crm_module.c.number == CONTACTS.number).with_for_update(nowait=True)
        with pytest.raises(OperationalError):
            second.execute(turn)
        second.rollback()
        first.commit()
        assert second.execute(turn).first() is not None


@pytest.mark.parametrize("contacts_url", SERVER_DATABASES, indirect=True)
def test_what_is_referred_to_cannot_be_removed_before_the_commit(crm: Crm) -> None:
    contact = crm.create("Contacts", lastname="Ann")
    with Session(crm.service.engine) as first, Session(crm.service.engine) as second:
        Records(first, MARIA).named(contact)
        table = TABLES["Contacts"]
        lock = select(table.c.id).where(table.c.id == 1).with_for_update(nowait=True)
        with pytest.raises(OperationalError):
            second.execute(lock)
        second.rollback()
        first.rollback()
        assert second.scalar(lock) == 1


def test_workers_who_upsert_the_same_at_once_make_one_record(crm: Crm) -> None:
    def element(number: int) -> dict[str, Any]:
        return {"lastname": f"Nr {number}", "email": f"{number % 2}@example.org"}

    for number in range(20):
        crm.defer("upsert", elementType="Contacts", element=element(number), searchOn="email")
    Worker(crm.service, ["operations"], threads=4).drain()
    assert {call.state for call in crm.operations.calls()} == {"succeeded"}
    assert crm.counts() == {"Contacts": 2}


def test_a_worker_reports_while_it_writes(crm: Crm) -> None:
    elements = [{"elementType": "Contacts", "element": {"lastname": f"Nr {number}"}} for number in range(120)]
    call = crm.defer("MassCreate", elements=elements)
    Worker(crm.service, ["operations"]).drain()
    assert (crm.operations.get(call.id).state, crm.counts()) == ("succeeded", {"Contacts": 120})


def test_a_worker_of_the_command_line_executes_what_was_deferred(application: Application) -> None:
    crm = Crm.on(application.url)
    call = crm.defer("create", "sven", elementType="Contacts", element={"lastname": "Ångström"})
    done = application.run("--app", "demo_ext.contacts:service", "work", "--drain", module="taskqueue")
    assert done.returncode == 0, done.stderr
    assert crm.operations.result(call.id)["lastname"] == "Ångström"
    crm.close()


def test_the_example_of_its_guide_works(application: Application) -> None:
    guide = Path(contacts.__file__).with_name("README.md").read_text(encoding="utf-8")
    example = re.search(r"```python\n(.*?)```", guide, re.DOTALL)
    assert example is not None
    asks = 'print(call.state, operations.get(call.id).state, len(operations.result(call.id)["success_creates"]))\n'
    (application.folder / "example.py").write_text(example[1] + asks, encoding="utf-8")
    done = application.run(module="example")
    assert (done.stdout, done.stderr) == ("queued succeeded 500\n", "")
