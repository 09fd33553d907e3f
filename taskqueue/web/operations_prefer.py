"""What a client prefers (RFC 7240), and the key under which it may repeat a request."""

from __future__ import annotations

import re
from dataclasses import dataclass

from flask import Request

from .operations_limits import LONGEST_KEY
from .operations_problem import invalid

_PART = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*"?)+')
_NAMED = re.compile(r"([^=;]*)([=;]?)(.*)", re.DOTALL)
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_KEY_QUOTED = re.compile(r'"((?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"', re.ASCII)


@dataclass(frozen=True)
class Preferences:
    """What is understood of the preferences; others are ignored."""

    respond_async: bool = False
    #: Whole seconds.
    wait: int | None = None

    @classmethod
    def of(cls, request: Request) -> Preferences:
        """Those of a request."""
        found: dict[str, str] = {}
        for text in request.headers.getlist("Prefer"):
            for part in _PART.findall(text):  # between the commas that stand in no quotes
                name, sign, rest = _NAMED.findall(part)[0]
                # Of a preference that is told twice the first one counts; its parameters are none of ours.
                found.setdefault(name.strip().lower(), _value_of(rest.strip()) if sign == "=" else "")
        wait = found.get("wait", "")
        is_number = wait.isascii() and wait.isdigit() and len(wait) <= 9
        return cls(found.get("respond-async") == "", int(wait) if is_number else None)


def _value_of(text: str) -> str:
    """Without its quotes, and without the parameters behind it."""
    quoted = _QUOTED.match(text)
    return re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else text.partition(";")[0].strip()


def key_of(request: Request) -> str | None:
    """The idempotency key, plain or quoted. Raises :class:`Problem`."""
    given = request.headers.get("Idempotency-Key")
    if given is None:
        return None
    quoted = _KEY_QUOTED.fullmatch(given.strip())
    key = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else given.strip()
    is_visible = key.isascii() and key.isprintable() and key == key.strip()
    if not 0 < len(key) <= LONGEST_KEY or not is_visible or (key.startswith('"') and not quoted):
        raise invalid(
            f"the header Idempotency-Key must be 1 to {LONGEST_KEY} visible ASCII characters, in quotes or without"
        )
    return key
