"""The demonstration under the address of coreBOS' web service, for a client as docs/corebos.md has it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from hashlib import md5
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.demo.application import Application
from tests.demo.browser import Browser, Server, wait_for
from tests.demo.desk import ANN, Desk, contacts

NOT_YET = "Operation not queued or not finished yet"
README = Path(__file__).parents[2] / "demo_ext/contacts/README.md"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
def server(application: Application) -> Iterator[Server]:
    """The server on a fresh database."""
    with Server(application) as running:
        yield running


def call(browser: Browser, method: str, **fields: str) -> dict[str, Any]:
    """What is answered; the envelope is read."""
    sent = urlencode(fields)
    if method == "GET":
        answer = browser.get(f"/webservice.php?{sent}")
    else:
        answer = browser.send("POST", "/webservice.php", sent.encode(), FORM)
    assert answer.status == 200, answer.text
    return dict(answer.json())


def login(browser: Browser, name: str, key: str) -> dict[str, Any]:
    """Answer the challenge."""
    token = call(browser, "GET", operation="getchallenge", username=name)["result"]["token"]
    proof = md5((token + key).encode(), usedforsecurity=False).hexdigest()
    return call(browser, "POST", operation="login", username=name, accessKey=proof)


def test_a_client_of_corebos_creates_a_contact_later(application: Application, server: Server) -> None:
    client = server.browser()
    session = login(client, "sven", "sven-demo-key")["result"]["sessionName"]
    deferred = call(
        client, "POST", operation="create", elementType="Contacts", element=json.dumps(ANN["element"]),
        sessionName=session, cbwsOptions='{"launchfromqueue": 1, "queuedelay": 0}',
    )  # fmt: skip
    asked = {"operation": "getQueuedOperationResult", "sessionName": session,
             "operationTrackingID": deferred["result"]["operationTrackingID"]}  # fmt: skip

    def told() -> Any:
        found = call(client, "GET", **asked)["result"]
        return json.loads(found) if found != NOT_YET else None

    answer = wait_for(told, "the call has ended")
    assert (answer["success"], answer["result"]["lastname"]) == (True, "Able")
    assert contacts(application) == ["Able"]
    assert call(client, "GET", operation="describe", elementType="Contacts", sessionName=session)["success"]


def test_who_has_left_has_another_key_or_is_in_a_browser_does_not_get_in(server: Server) -> None:
    for name, key in (("olga", "olga-demo-key"), ("maria", "sven-demo-key"), ("nobody", "")):
        assert login(server.browser(), name, key)["error"]["code"] == "INVALID_USER_CREDENTIALS"
    desk = Desk(server.browser(), "maria")
    answer = call(desk.browser, "POST", operation="describe", elementType="Contacts")
    assert answer["error"]["code"] == "AUTHENTICATION_REQUIRED"


def test_the_client_of_the_readme(server: Server) -> None:
    examples = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    (client,) = (one for one in examples if "/webservice.php" in one)
    command = [sys.executable, "-c", client.replace(":8480/", f":{server.port}/")]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.strip() == NOT_YET or "Ada" in ran.stdout
