"""``cbwsOptions``: whether a call is deferred, for how long, and how it is recognised when it is repeated."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ..spec import nearest, shown
from .webservice_envelope import BAD_OPTIONS, Refused
from .webservice_request import OPTIONS, loads

#: What :attr:`Options.key` is when the server makes the key.
GENERATE = ""
_KNOWN = ("launchfromqueue", "queuedelay", "ClientRequestIdentifier")
_YES, _NO = ("1", "true"), ("0", "false", "")
_SECONDS = re.compile(r"[+-]?\d{1,15}(\.\d{1,9})?", re.ASCII)
_LONGEST_DELAY = 3_155_760_000  # a hundred years
_LONGEST_KEY = 190


@dataclass(frozen=True)
class Options:
    """What is wanted of a call beside its execution.

    Arguments:
        is_deferred: a worker executes it.
        delay: seconds until it is due.
        key: the idempotency key; :data:`GENERATE`: one is made of operation, data and user; None: there is none.
    """

    is_deferred: bool = False
    delay: float = 0.0
    key: str | None = None


def parse(given: Any) -> Options:
    """What ``cbwsOptions`` says: a JSON text, an object, or None. Raises :class:`Refused`.

    Nothing is guessed: who asks for a deferral that is not understood must not get an execution.
    """
    options = _object(given)
    for name in options:
        if name not in _KNOWN:
            raise Refused(BAD_OPTIONS, f"{OPTIONS} has no {shown(name)}{nearest(name, _KNOWN)}")
    asked, delay = options.get("launchfromqueue"), _delay(options.get("queuedelay"))
    if "launchfromqueue" not in options and delay:
        raise Refused(BAD_OPTIONS, "queuedelay means nothing without launchfromqueue: nothing was executed")
    is_deferred = "launchfromqueue" in options and _flag(asked)
    return Options(is_deferred, delay, _key(options) if "ClientRequestIdentifier" in options else None)


def _object(given: Any) -> dict[str, Any]:
    if isinstance(given, str):
        try:
            given = loads(given)
        except (ValueError, RecursionError):
            raise Refused(
                BAD_OPTIONS, f'{OPTIONS} is no JSON: send an object such as {{"launchfromqueue": 1}}'
            ) from None
    if given is None or given == []:  # how PHP writes an empty object
        return {}
    if not isinstance(given, dict):
        raise Refused(BAD_OPTIONS, f'{OPTIONS} is an object such as {{"launchfromqueue": 1}}, not {shown(given)}')
    return given


def _flag(given: Any) -> bool:
    text = str(int(given)) if isinstance(given, int) else given
    if not isinstance(text, str) or text not in (*_YES, *_NO):
        raise Refused(BAD_OPTIONS, f"launchfromqueue is 1 or 0, true or false, not {shown(given)}")
    return text in _YES


def _delay(given: Any) -> float:
    if given is None or given == "":
        return 0.0
    is_number = isinstance(given, (int, float)) and not isinstance(given, bool) and abs(given) < 10**15
    is_text = isinstance(given, str) and _SECONDS.fullmatch(given) is not None
    number = float(given) if is_number or is_text else None
    if number is None or number > _LONGEST_DELAY:
        raise Refused(BAD_OPTIONS, f"queuedelay is a number of seconds, at most a hundred years, not {shown(given)}")
    return max(number, 0.0)  # the past means now


def _key(options: dict[str, Any]) -> str:
    key = options["ClientRequestIdentifier"]
    if key in ("", "generate"):
        return GENERATE
    if not isinstance(key, str) or len(key) > _LONGEST_KEY or not key.isprintable() or key != key.strip():
        raise Refused(
            BAD_OPTIONS,
            "ClientRequestIdentifier is 'generate', or a text of your own of at most "
            f"{_LONGEST_KEY} printable characters without blanks around it, not {shown(key)}",
        )
    return key
