"""In whose name an operation is called, and who may call it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..credentials import without_secrets
from ..errors import SerializationError, SpecError
from ..serializer import MAX_DEPTH, encode, storable
from ..spec import shown

#: ``load_user(id)`` gives the user of that id, or None when nobody is (or may act as) that any more.
LoadUser = Callable[[Any], "User | None"]
_LONGEST_ID = 189


@dataclass(frozen=True)
class User:
    """Who calls.

    Arguments:
        id: a text or a number, which are compared exactly: "7" is another user than 7. None: nobody in particular.
        roles: what an operation's ``roles`` are compared with.
        is_admin: may see and handle the calls of everybody.
        is_active: False: may call nothing; what they have deferred fails when it is its turn.
        claims: what is kept of the user with a deferred call: names and values as items of queues have them.
        locale: their language, such as "de".

    Raises :class:`SpecError`, also on claims that carry secrets.
    """

    id: str | int | None = None
    roles: frozenset[str] = frozenset()
    is_admin: bool = False
    is_active: bool = True
    claims: Mapping[str, Any] = field(default_factory=dict, hash=False)
    locale: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", _checked_id(self.id))
        for mark in ("is_admin", "is_active"):
            if not isinstance(getattr(self, mark), bool):
                raise SpecError(f"{mark} of a user must be True or False, not {shown(getattr(self, mark))}")
        if self.locale is not None and not (isinstance(self.locale, str) and self.locale.isprintable()):
            raise SpecError(f"the locale of a user is a text such as 'de', not {shown(self.locale)}")
        object.__setattr__(self, "roles", checked_roles(self.roles))
        object.__setattr__(self, "claims", _checked_claims(self.claims))

    @property
    def owner(self) -> str:
        """As whose a call is stored; "" is nobody's. A number is not taken for the text of the same digits."""
        return "" if self.id is None else f"#{self.id}" if isinstance(self.id, int) else f":{self.id}"

    @property
    def run_as(self) -> dict[str, Any]:
        """What the service's hooks ``identity`` and ``switch_user`` are told."""
        return {**self.claims, "user": self.id}


def owner_shown(owner: str) -> str:
    """The owner of a call as a human writes it: "alice", "7" for the number, ":7" for the text "7"; "": nobody."""
    text = owner[1:]
    return text if owner.startswith("#") or not _is_ambiguous(text) else owner


def owner_stored(text: str) -> str:
    """What :func:`owner_shown` was made of."""
    if not text or text[0] in ":#":
        return text
    return f"#{text}" if _is_number(text) else f":{text}"


def _is_ambiguous(text: str) -> bool:
    return text[:1] in ("", ":", "#") or _is_number(text)


def _is_number(text: str) -> bool:
    return text.isascii() and text.removeprefix("-").isdigit()


def _checked_id(given: object) -> str | int | None:
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, (str, int)):
        raise SpecError(f"the id of a user is a text or a number, not {shown(given)}")
    # Texts and numbers of types of their own are stored as plain ones.
    if isinstance(given, int):
        if given.bit_length() > _LONGEST_ID * 4 or len(str(int(given))) > _LONGEST_ID:
            raise SpecError(f"the id of a user has at most {_LONGEST_ID} characters")
        return int(given)
    text = str.__str__(given)
    if len(text) > _LONGEST_ID:
        raise SpecError(f"the id of a user has at most {_LONGEST_ID} characters")
    # MySQL does not tell texts apart that differ in blanks at their end.
    if storable(text) != text or text != text.strip():
        raise SpecError(
            f"the id of a user has no blanks around it and no character that no database can store: {shown(text)}"
        )
    return text


def _checked_claims(given: Mapping[str, Any]) -> dict[str, Any]:
    found = without_secrets("claim", given, "let the operation get one when it is executed")
    try:
        encode(found, where="claims", max_depth=MAX_DEPTH - 1)
    except SerializationError as error:
        raise SpecError(f"claims must be stored with a deferred call: {error}") from None
    return found


def checked_roles(given: object) -> frozenset[str]:
    """Roles as they are compared. Raises :class:`SpecError`."""
    roles = frozenset(given) if isinstance(given, Iterable) and not isinstance(given, str) else None
    if roles is None or not all(isinstance(role, str) and storable(role) == role for role in roles):
        raise SpecError(f"roles is a set of texts such as {{'sales'}}, not {shown(given)}")
    return frozenset(str.__str__(role) for role in roles)


NOBODY = User()


class Users:
    """Finds users by their ids."""

    def __init__(self, load: LoadUser | None) -> None:
        if load is not None and (not callable(load) or inspect.iscoroutinefunction(load)):
            raise SpecError(f"load_user must be a function (id) that is not async, not {shown(load)}")
        self._load = load

    def of(self, given: User | str | int | None) -> User:
        """The user that was given, by id or as they are. An id that nobody has gives one who is not active."""
        if isinstance(given, User):
            return given
        if given is None:
            return NOBODY
        if self._load is None:
            return User(given)
        return self._found(User(given))

    def again(self, stored: User) -> User:
        """The user as they are now, who made a call some time ago; with the claims and the locale of then."""
        if self._load is None or stored.id is None:
            return stored
        found = self._found(stored)
        return User(stored.id, found.roles, found.is_admin, found.is_active, stored.claims, stored.locale)

    def _found(self, user: User) -> User:
        found = self._load(user.id) if self._load is not None else user
        if found is None:
            return User(user.id, is_active=False)
        if not isinstance(found, User):
            raise SpecError(f"load_user must return a User or None, not {shown(found)}")
        return found
