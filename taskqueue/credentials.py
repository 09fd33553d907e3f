"""What must not be stored: passwords, tokens and the like among headers and claims."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from .errors import SpecError
from .spec import shown

#: Names of headers and claims that carry secrets, which must not be stored; and texts that are some.
_SECRET_NAME = re.compile(
    r"passw|passphrase|pwd|secret|token|jwt|credential|private.?key|access.?key|authori[sz]ation|authenticat|x-auth|cookie|api.?key|csrf|xsrf|session",
    re.IGNORECASE,
)
#: Who looks for secrets goes no deeper than what can be stored, and reads no more than this of a name.
_DEEPEST, _LONGEST_NAME = 40, 1000
_SECRET_VALUE = re.compile(r"\s*(basic|bearer|digest|negotiate)\s+\S", re.IGNORECASE)


def without_secrets(what: str, given: Mapping[str, Any] | None, instead: str) -> dict[str, Any]:
    """``given``, whose entries messages call ``what``, as it is stored.

    Arguments:
        instead: what else can be done with a secret, for the message: "leave it out, and ...".

    Raises :class:`SpecError` on secrets.
    """
    if given is not None and not isinstance(given, Mapping):
        raise SpecError(f"{what}s must be a mapping, not {shown(given)}")
    found = dict(given or {})
    for name, value in found.items():
        if not isinstance(name, str):
            raise SpecError(f"{what}s must have texts as names, not {shown(name)}")
        secret = _secret_in(name, value)
        if secret is not None:
            raise SpecError(
                f"{what} {secret!r} carries a secret, which a queue must not store: leave it out, and {instead}"
            )
    return found


def _secret_in(name: str, value: Any, depth: int = 0) -> str | None:
    """The name of the first secret in a value of that name, or None: one by its name, or by what it looks like."""
    if depth > _DEEPEST:
        return None  # the serializer refuses what is nested so deep
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    if _SECRET_NAME.search(name, 0, _LONGEST_NAME) or (isinstance(text, str) and _SECRET_VALUE.match(text)):
        return name
    inner: Iterable[tuple[str, Any]] = ()
    if isinstance(value, Mapping):
        inner = ((str(key), one) for key, one in value.items())
    elif isinstance(value, (list, tuple, set, frozenset)):
        inner = ((name, one) for one in value)
    return next(filter(None, (_secret_in(key, one, depth + 1) for key, one in inner)), None)
