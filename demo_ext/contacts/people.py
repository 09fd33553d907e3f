"""Who works with the contacts, what their roles are, and what a role may do with which module."""

from __future__ import annotations

from dataclasses import dataclass

from taskqueue.operations import User

MANAGER, SALES = "manager", "sales"
ROLES = frozenset({MANAGER, SALES})
RETRIEVE, CREATE, UPDATE, DELETE = "retrieve", "create", "update", "delete"
_WRITE = frozenset({RETRIEVE, CREATE, UPDATE})
_ALL = _WRITE | {DELETE}

#: What a role may do, by module.
RIGHTS: dict[str, dict[str, frozenset[str]]] = {
    MANAGER: dict.fromkeys(("Contacts", "Accounts", "Leads", "Potentials", "Documents"), _ALL),
    SALES: {
        "Contacts": _WRITE,
        "Leads": _WRITE,
        "Potentials": _WRITE,
        # Made when a lead is converted; what stands in them is for managers to change.
        "Accounts": frozenset({RETRIEVE, CREATE}),
        "Documents": frozenset({RETRIEVE}),
    },
}


@dataclass(frozen=True)
class Person:
    """Somebody of the company.

    Arguments:
        number: of their record in the module Users; 1 makes "19x1".
        login: as whom they call operations.
        name: their full name.
        role: one of ``ROLES``.
        access_key: with which a client of coreBOS logs in. As anybody can read it here: for a demonstration only.
        is_active: False: they have left.
    """

    number: int
    login: str
    name: str
    role: str
    access_key: str
    is_active: bool = True


PEOPLE = (
    Person(1, "maria", "María Núñez", MANAGER, "maria-demo-key"),
    Person(5, "sven", "Sven Åkesson", SALES, "sven-demo-key"),
    Person(6, "jo", "Jo Müller", SALES, "jo-demo-key"),
    Person(7, "olga", "Ольга Орлова", SALES, "olga-demo-key", is_active=False),
)
BY_LOGIN = {person.login: person for person in PEOPLE}
BY_NUMBER = {person.number: person for person in PEOPLE}


def load_user(login: object) -> User | None:
    """The user of that login, as ``Operations(load_user=...)`` asks for it; None: there is nobody."""
    person = person_of(login)
    if person is None:
        return None
    is_manager = person.role == MANAGER
    return User(person.login, frozenset({person.role}), is_admin=is_manager, is_active=person.is_active)


def person_of(login: object) -> Person | None:
    """Who has that login."""
    return BY_LOGIN.get(login) if isinstance(login, str) else None


def access_key_of(login: str) -> str | None:
    """The access key of who has that login, as ``Webservice(access_key=...)`` asks for it; None: there is nobody, or
    they have left."""
    person = person_of(login)
    return person.access_key if person is not None and person.is_active else None


def may(user: User, module: str, action: str) -> bool:
    """Whether one of the user's roles allows that with the records of a module."""
    return any(action in RIGHTS.get(role, {}).get(module, ()) for role in user.roles)
