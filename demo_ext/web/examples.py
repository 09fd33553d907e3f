"""What the page of the operations offers to begin with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from taskqueue.operations import Operations

from ..contacts.ids import user_id
from ..contacts.people import Person

#: So many contacts are enough to see progress.
_MANY = 300


@dataclass(frozen=True)
class Example:
    """Data of one operation, and what it is to show."""

    title: str
    operation: str
    data: Any

    @property
    def text(self) -> str:
        """The data as they stand in the form."""
        return shown_json(self.data)


def shown_json(value: Any) -> str:
    """JSON for people."""
    return json.dumps(value, ensure_ascii=False, indent=2)


def examples_for(operations: Operations, person: Person) -> list[Example]:
    """Those that the registry can execute."""
    known = {one.name for one in operations.known()}
    return [example for example in _examples(user_id(person)) if example.operation in known]


def _examples(owner: str) -> list[Example]:
    ann = {"firstname": "Ann", "lastname": "Able", "email": "ann@example.org", "assigned_user_id": owner}
    firm = {"accountname": "Able & Sons", "industry": "Food", "assigned_user_id": owner}
    many = [
        {"elementType": "Contacts", "element": {"lastname": f"Visitor {number}", "assigned_user_id": owner}}
        for number in range(1, _MANY + 1)
    ]
    letter = {"name": "letter.html", "content": "PGgxPkhlbGxvPC9oMT4="}
    return [
        Example("Make a contact", "create", {"elementType": "Contacts", "element": ann}),
        Example("Make one that lacks its last name", "create", {
            "elementType": "Contacts", "element": {"firstname": "Ann", "assigned_user_id": owner},
        }),
        Example("Make an account, or change it", "upsert", {
            "elementType": "Accounts", "element": firm, "searchOn": ["accountname"],
        }),
        Example(f"Make {_MANY} contacts", "MassCreate", {"elements": many}),
        Example("Describe the contacts", "describe", {"elementType": "Contacts"}),
        Example("Turn a letter into text", "gendoc_convert", {"file": letter, "convert_format": "txt"}),
    ]  # fmt: skip
