"""A client of coreBOS works with the contacts of the demo."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask

from taskqueue.web import Webservice
from tests.demo.crm import Crm
from tests.operations_webservice.conftest import Door, code
from tests.servers import ALL_DATABASES

KEYS = {"maria": "k3yOfMaria", "sven": "k3yOfSven", "olga": "k3yOfOlga"}
THIRTEEN = [
    "convertlead", "create", "describe", "executeworkflow", "executeworkflowwithcontext", "gendoc_convert",
    "getrelatedmodulesinfomation", "masscreate", "massdelete", "massupdate", "revise", "update", "upsert",
]  # fmt: skip


@pytest.fixture(params=ALL_DATABASES)
def crm(request: pytest.FixtureRequest, shared_database: Callable[..., str]) -> Iterator[Crm]:
    """The contacts, whose operations a worker executes."""
    made = Crm.on(shared_database(request.param, "contacts"))
    yield made
    made.close()


@pytest.fixture
def shop(crm: Crm) -> Door:
    """The contacts with a door."""
    app = Flask("crm")
    app.secret_key = "a secret of the tests"
    return Door(app, crm.operations, Webservice(app, crm.operations, access_key=KEYS.get))


def test_the_thirteen_operations_can_be_deferred(shop: Door) -> None:
    assert shop.endpoint.queueable_names() == THIRTEEN


def test_a_clients_day(shop: Door) -> None:
    session = shop.login("maria", KEYS["maria"])["result"]["sessionName"]

    def deferred(**fields: str) -> Any:
        answer = shop.post(None, sessionName=session, cbwsOptions='{"launchfromqueue":true,"queuedelay":"0"}', **fields)
        shop.ops.drain()
        asked = {"operation": "getQueuedOperationResult", "sessionName": session, **answer["result"]}
        return json.loads(shop.get(None, **asked)["result"])

    made = deferred(operation="create", elementType="Contacts", element='{"lastname": "Čapková"}')["result"]
    assert made["lastname"] == "Čapková"
    revised = deferred(operation="revise", element=json.dumps({"id": made["id"], "firstname": "Eva"}))["result"]
    assert (revised["firstname"], revised["lastname"]) == ("Eva", "Čapková")
    several = json.dumps([{"elementType": "Contacts", "element": {"lastname": f"Nr {n}"}} for n in range(3)])
    assert len(deferred(operation="MassCreate", elements=several)["result"]["success_creates"]) == 3
    found = shop.get(None, operation="Retrieve", id=made["id"], sessionName=session)["result"]
    assert found["firstname"] == "Eva"

    letter = json.dumps(
        {"name": "l.txt", "type": "text/plain", "content": base64.b64encode(b"Dear {lastname}").decode()}
    )
    file = deferred(operation="gendoc_convert", file=letter, crmids=made["id"], convert_format="txt")["result"]
    assert base64.b64decode(file["attachment"]).decode().strip() == "Dear Čapková"
    gone = deferred(operation="MassDelete", ids=f"{made['id']},12x999")["result"]
    assert (len(gone["success_deletes"]), len(gone["failed_deletes"])) == (1, 1)


def test_errors_are_found_before_anything_waits(shop: Door) -> None:
    session = shop.login("sven", KEYS["sven"])["result"]["sessionName"]
    options = {"sessionName": session, "cbwsOptions": '{"launchfromqueue": 1}'}
    assert code(shop.post(None, operation="create", elementType="Contacts", **options)) == "MANDATORY_FIELDS_MISSING"
    assert code(shop.post(None, operation="create", elementType="X", element="{}", **options)) == "VALIDATION_FAILED"
    assert code(shop.post(None, operation="MassDelete", ids="12x1", **options)) == "ACCESS_DENIED"
    assert code(shop.post(None, operation="retrieve", id="12x1", **options)) == "OPERATION_NOT_QUEUEABLE"
    assert shop.ops.calls() == []


def test_who_has_left_may_log_in_and_do_nothing(shop: Door) -> None:
    session = shop.login("olga", KEYS["olga"])["result"]["sessionName"]
    assert code(shop.get(None, operation="describe", elementType="Contacts", sessionName=session)) == "ACCESS_DENIED"
