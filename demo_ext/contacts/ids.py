"""Ids of records as clients have them: the number of the module, an x, and the number of the record, as in 12x37."""

from __future__ import annotations

import re
from typing import NamedTuple

from taskqueue.spec import shown

from .modules import BY_NUMBER, USERS, Module
from .people import BY_NUMBER as PEOPLE
from .people import Person

_FORM = re.compile(r"([0-9]{1,9})x([0-9]{1,9})")


class RecordId(NamedTuple):
    """A record: its module, and its number in that."""

    module: Module
    number: int

    def __str__(self) -> str:
        return f"{self.module.number}x{self.number}"


def record_id(text: object) -> RecordId:
    """Read an id. Raises :class:`ValueError` with a sentence."""
    module, number = _parts(text)
    found = BY_NUMBER.get(module)
    if found is None:
        known = ", ".join(f"{one.number}x ({one.name})" for one in BY_NUMBER.values())
        raise ValueError(f"the id {shown(text)} is of no module here; ids begin with {known}")
    return RecordId(found, number)


def user_id(person: Person) -> str:
    """The id of a user."""
    return f"{USERS}x{person.number}"


def person_with(text: object) -> Person:
    """The user of an id. Raises :class:`ValueError` with a sentence."""
    module, number = _parts(text)
    found = PEOPLE.get(number) if module == USERS else None
    if found is None:
        known = ", ".join(f"{user_id(one)} ({one.name})" for one in PEOPLE.values() if one.is_active)
        raise ValueError(f"{shown(text)} is no user; there are {known}")
    if not found.is_active:
        raise ValueError(f"{found.name} ({text}) is not active any more: choose somebody else")
    return found


def _parts(text: object) -> tuple[int, int]:
    match = _FORM.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"an id is a module's number, an x and a record's number, as 12x37, not {shown(text)}")
    return int(match[1]), int(match[2])
