"""The page of the demonstration that calls operations, for somebody whose browser runs no scripts."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from html import unescape
from typing import Any

from sqlalchemy import create_engine, select
from sqlalchemy.pool import NullPool

from demo_ext.contacts.schema import TABLES
from tests.demo.application import Application
from tests.demo.browser import Answer, Browser, wait_for

_CALL = re.compile(
    r"<li id=\"call-(?P<id>\w{32})\".*?<strong>(?P<operation>\w+) .*?class=\"badge \w*\">(?P<label>.*?)</span>"
    r".*?<span class=\"words\">(?P<says>.*?)</span>(?P<rest>.*?)</li>",
    re.DOTALL,
)
ANN = {"elementType": "Contacts", "element": {"lastname": "Able", "assigned_user_id": "19x5"}}


@dataclass(frozen=True)
class Shown:
    """A call as the page shows it."""

    id: str
    operation: str
    label: str
    says: str
    #: The buttons that are offered.
    buttons: frozenset[str]
    #: The result as it stands there; "" when none is shown.
    result: str


class Desk:
    """Somebody on the page, with a browser without scripts."""

    def __init__(self, browser: Browser, login: str = "") -> None:
        self.browser = browser
        if login:
            self.become(login)

    def become(self, login: str) -> None:
        """Say who is there."""
        assert self.browser.post("/operations/person", {"token": self.token(), "login": login}).status == 303

    def token(self) -> str:
        """That of the forms."""
        return self.browser.get("/operations").element(r'name="token" value="(\w+)"')

    def form(self, query: str = "") -> dict[str, str]:
        """The fields of the form as they come."""
        page = self.browser.get(f"/operations{query}")
        hidden = {name: page.element(rf'name="{name}" value="(\w+)"') for name in ("token", "person", "key")}
        data = unescape(page.element(r'<textarea id="data".*?>\n(.*?)</textarea>'))
        operation = page.element(r'<option value="(\w+)" selected>[^(]*</option>')
        return {**hidden, "operation": operation, "data": data, "delay": "0", "how": "later"}

    def send(self, operation: str, data: Any, **fields: str) -> Answer:
        """Fill in the form and send it."""
        text = data if isinstance(data, str) else json.dumps(data)
        return self.browser.post("/operations", {**self.form(), "operation": operation, "data": text, **fields})

    def press(self, verb: str, call_id: str, **fields: str) -> Answer:
        """Press a button of a call."""
        form = self.form()
        hidden = {"token": form["token"], "person": form["person"]}
        return self.browser.post(f"/operations/{call_id}/{verb}", {**hidden, **fields})

    def calls(self, query: str = "") -> list[Shown]:
        """What the page lists, the latest first."""
        found = []
        for call in _CALL.finditer(self.browser.get(f"/operations{query}").text):
            buttons = re.findall(r'data-verb="(\w+)">', call["rest"])
            result = re.search(r'<details class="came">.*?<pre[^>]*>(.*?)</pre>', call["rest"], re.DOTALL)
            shown = unescape(result[1]) if result else ""
            found.append(Shown(call["id"], call["operation"], call["label"], unescape(call["says"]).strip(),
                               frozenset(buttons), shown))  # fmt: skip
        return found

    def wait_for(self, *labels: str) -> list[Shown]:
        """Wait until the calls stand so, the latest first."""

        def reached() -> list[Shown] | None:
            calls = self.calls()
            return calls if [call.label for call in calls] == list(labels) else None

        found: list[Shown] = wait_for(reached, f"the calls are {labels}")
        return found


def contacts(application: Application) -> list[str]:
    """The last names in the table."""
    engine = create_engine(application.url, poolclass=NullPool)
    table = TABLES["Contacts"]
    with engine.connect() as connection:
        return list(connection.scalars(select(table.c.lastname).order_by(table.c.id)))
