"""What a request to an operation says: strictly read, because what is executed should be what was sent."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NoReturn

from flask import Request
from werkzeug.exceptions import HTTPException

from ..spec import nearest, shown
from .csrf import foreign
from .operations_problem import Problem, invalid

_JSON = "application/json"
_MOMENT = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:[0-5]\d:(?:[0-5]\d|60))(?:\.(\d{1,6})\d*)?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)  # RFC 3339
_A_MOMENT = "a moment with a time zone as '2030-01-31T12:00:00Z'"
_OPTIONS = ("defer", "delay", "release_time", "expires")
_NUMBER = re.compile(r"\d{1,9}(\.\d{1,30})?([eE][+-]?\d{1,3})?", re.ASCII)
#: Up to here a float is exact.
_EXACT = 2.0**53


@dataclass(frozen=True)
class Asked:
    """The body of a call. Spans are seconds."""

    data: Any = None
    #: None: not said.
    defer: bool | None = None
    delay: float | None = None
    release_time: datetime | None = None
    expires: float | datetime | None = None

    @property
    def is_later(self) -> bool:
        """Whether an option was given that only a deferred call has."""
        return self.delay is not None or self.release_time is not None or self.expires is not None


# --- where it comes from ---


def check_own(request: Request) -> None:
    """Refuse what a page of another site sends with the cookie of the user."""
    if foreign(request):
        raise Problem(403, "foreign_origin", "this request was sent by a page of another site")


def is_sent_by_other_site(request: Request) -> bool:
    """Whether a page of another site leads here; of a request that only looks, as far as browsers tell."""
    return request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site")


# --- the body ---


def read_call(request: Request, max_bytes: int) -> Asked:
    """The body of a call. Raises :class:`Problem`."""
    check_own(request)
    _check_type(request)
    body = _object(_parsed(_bytes(request, max_bytes)), "the body", ("data", "options"))
    options = _object(body.get("options", {}), "options", _OPTIONS)
    asked = Asked(
        body.get("data"), _flag(options), _seconds(options, "delay"), _moment(options, "release_time"),
        _moment_or_seconds(options, "expires"),
    )  # fmt: skip
    if asked.defer is False and asked.is_later:
        raise invalid('options say "defer": false, and with delay, release_time or expires that it is deferred')
    if asked.delay is not None and asked.release_time is not None:
        raise invalid("give delay or release_time, not both")
    return asked


def read_nothing(request: Request, max_bytes: int) -> None:
    """Check a request that changes something and needs no body. Raises :class:`Problem`."""
    check_own(request)
    if not request.headers.get("Content-Type") and (request.method == "DELETE" or _is_surely_own(request)):
        body = _bytes(request, max_bytes)
    else:
        _check_type(request)
        body = _bytes(request, max_bytes)
    if body.strip():
        _object(_parsed(body), "the body", ())


def _is_surely_own(request: Request) -> bool:
    # The two are compared in csrf.foreign; a page of another site cannot leave out both.
    return "Sec-Fetch-Site" in request.headers or "Origin" in request.headers


def _check_type(request: Request) -> None:
    charset = request.mimetype_params.get("charset", "utf-8").lower()
    if request.mimetype != _JSON or charset not in ("utf-8", "utf8"):
        raise Problem(415, "unsupported_media_type", "send JSON, with the header Content-Type: application/json")
    if request.headers.get("Content-Encoding", "identity").lower() not in ("identity", ""):
        raise Problem(415, "unsupported_media_type", "send JSON as it is, without a Content-Encoding")


def _bytes(request: Request, max_bytes: int) -> bytes:
    too_large = Problem(413, "too_large", f"the body must have at most {max_bytes} bytes")
    if (request.content_length or 0) > max_bytes:
        raise too_large
    try:
        body = request.stream.read(max_bytes + 1)
    except HTTPException:
        raise
    except Exception:  # each server has errors of its own for pieces that are none, and they come as it is read
        raise Problem(400, "bad_json", "the body cannot be read to its end") from None
    if len(body) > max_bytes:
        raise too_large
    return body


def _parsed(body: bytes) -> Any:
    try:
        found = json.loads(
            body.decode(), object_pairs_hook=_without_doubles, parse_constant=_no_number, parse_float=_number
        )
        if b"\\u" in body:  # the only way in for half of a character
            json.dumps(found, ensure_ascii=False).encode()
    except UnicodeError:
        raise Problem(400, "bad_json", "the body is no valid text in UTF-8") from None
    except RecursionError:
        raise Problem(400, "bad_json", "the body is nested too deep") from None
    except ValueError as error:
        raise Problem(400, "bad_json", f"the body is no valid JSON: {str(error)[:200]}") from None
    return found


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object has a key twice")
    return found


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number of JSON")


def _number(text: str) -> float:
    found = float(text)
    if math.isinf(found):
        raise ValueError(f"the number {text[:40]} is too large")
    # JSON knows one kind of numbers: 9.0 is whole, and a strict schema of whole numbers takes it.
    is_whole = found.is_integer() and abs(found) < _EXACT and not text.startswith("-0")
    return int(found) if is_whole else found


def _object(given: Any, what: str, known: Collection[str]) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise invalid(f"{what} must be an object, not {shown(given)}")
    for key in given:
        if key not in known:
            names = f"; known are {', '.join(known)}" if known else ""
            raise invalid(f"{what} has no key {shown(key)}{nearest(key, known)}{names}")
    return given


# --- options ---


def _flag(options: dict[str, Any]) -> bool | None:
    given = options.get("defer")
    if "defer" in options and not isinstance(given, bool):
        raise invalid(f"options.defer must be true or false, not {shown(given)}")
    return given


def _seconds(options: dict[str, Any], name: str, otherwise: str = "") -> float | None:
    given = options.get(name)
    if name not in options:
        return None
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not given >= 0:
        raise invalid(f"options.{name} must be a number of seconds, 0 or more{otherwise}, not {shown(given)}")
    return given


def _moment(options: dict[str, Any], name: str, otherwise: str = "") -> datetime | None:
    if name not in options:
        return None
    given = options[name]
    match = _MOMENT.fullmatch(given) if isinstance(given, str) else None
    try:
        if match is None:
            raise ValueError
        day, time, fraction, zone = match.groups()
        zone = "+00:00" if zone in "Zz" else zone
        found = datetime.fromisoformat(f"{day}T{time.replace(':60', ':59')}.{(fraction or '0').ljust(6, '0')}{zone}")
        return found + timedelta(seconds=time.endswith(":60"))  # a leap second, which no datetime has
    except (ValueError, OverflowError):
        raise invalid(f"options.{name} must be {otherwise}{_A_MOMENT}, not {shown(given)}") from None


def _moment_or_seconds(options: dict[str, Any], name: str) -> float | datetime | None:
    if isinstance(options.get(name), str):
        return _moment(options, name, "a number of seconds, 0 or more, or ")
    return _seconds(options, name, f", or {_A_MOMENT}")


# --- the query ---


def check_query(request: Request, *known: str) -> None:
    """Refuse parameters that nobody reads: else all calls are answered where some were meant."""
    for name in request.args:
        if name not in known:
            raise invalid(f"the parameter {shown(name)} is not known{nearest(name, known)}")
        if len(request.args.getlist(name)) > 1:
            raise invalid(f"the parameter {name} stands twice")


def number_in(request: Request, name: str, least: int, most: float) -> float | None:
    """The number that a parameter gives; None: it was not given. Raises :class:`Problem`."""
    given = request.args.get(name)
    if given is None:
        return None
    if not _NUMBER.fullmatch(given) or not least <= float(given) <= most:
        raise invalid(f"the parameter {name} must be a number from {least} to {most:g}, not {shown(given)}")
    return float(given)


def whole_in(request: Request, name: str, least: int, most: int) -> int | None:
    """As :func:`number_in`, a whole number."""
    given = request.args.get(name)
    if given is not None and not (given.isascii() and given.isdigit()):
        raise invalid(f"the parameter {name} must be a whole number from {least} to {most}, not {shown(given)}")
    found = number_in(request, name, least, most)
    return None if found is None else int(found)


def word_in(request: Request, name: str, words: Collection[str]) -> str | None:
    """The word that a parameter gives; None: it was not given. Raises :class:`Problem`."""
    given = request.args.get(name)
    if given is not None and given not in words:
        raise invalid(f"the parameter {name} must be {' or '.join(words)}, not {shown(given)}")
    return given


def flag_in(request: Request, name: str) -> bool | None:
    """Whether a parameter is "1", or "0"; None: it was not given. Raises :class:`Problem`."""
    given = word_in(request, name, ("1", "0"))
    return None if given is None else given == "1"
