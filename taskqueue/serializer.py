"""JSON with tags: what comes back has the type and the value of what went in. Never pickle.

Plain JSON values stand for themselves. Every other type is an object with one key, its tag, such as
``{"$date": "2024-02-29"}``; a dict that looks like one gets a second ``$`` in front of its key. Each value
has exactly one spelling, and :func:`decode` accepts no other, so that all Python releases read alike.
"""

import json
import re
from base64 import b64decode, b64encode
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from math import isfinite
from typing import Any, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

from .errors import PayloadError, SerializationError

__all__ = ["decode", "encode"]

MAX_BYTES = 1_048_576
MAX_DEPTH = 32
#: Just below 4300 digits: what is longer, ``str()`` and every log line of the value would refuse.
MAX_INT_BITS = 14_284

_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1
_LONGEST_INT64 = len(str(_INT64_MIN))
_LONGEST_KEY_SHOWN = 40

#: Text as JSON, with every character that may stand there as it is.
_quoted: Callable[[str], str] = json.encoder.encode_basestring


def encode(value: Any, *, where: str = "data", max_bytes: int = MAX_BYTES, max_depth: int = MAX_DEPTH) -> str:
    """Return ``value`` as compact JSON text, of which :func:`decode` makes an equal value of the same type.

    Supported are ``None``, ``bool``, ``int``, finite ``float``, ``str``, ``list``, ``dict`` with keys of
    ``str``, ``tuple``, ``bytes``, ``datetime``, ``date``, ``time``, ``timedelta``, ``Decimal``, ``UUID``,
    ``set`` and ``frozenset``, but no subclass of them. A ``ZoneInfo`` time zone is kept by its name, any
    other one by its offset from UTC.

    Args:
        where: how messages call the value itself; a part of it is named by its path, as ``args[1]["x"]``.
        max_bytes: the longest text to return, in bytes of UTF-8.
        max_depth: how many containers may stand one in another.

    Raises:
        SerializationError: a part of the value is of another type, not a finite number or not valid text,
            stands too deep, contains itself, or the text is too long.
    """
    try:
        text = _text(value, max_depth)
    except _TooDeep as refusal:
        raise SerializationError(
            f"{refusal.path(where)} is nested deeper than the {max_depth} levels allowed, "
            "or contains itself; flatten it."
        ) from None
    except _Refusal as refusal:
        raise SerializationError(f"{refusal.path(where)} {refusal}") from None
    except RecursionError:
        raise SerializationError(f"{where} is nested too deep for this interpreter; flatten it.") from None
    size = len(text) if text.isascii() else len(text.encode())
    if size > max_bytes:
        raise SerializationError(
            f"{where} takes {size} bytes as JSON, but at most {max_bytes} can be stored; "
            "keep the data elsewhere and pass a reference to it."
        )
    return text


def decode(text: str) -> Any:
    """Return the value that :func:`encode` made ``text`` of.

    Raises:
        PayloadError: ``text`` is nothing that :func:`encode` writes.
    """
    if not isinstance(text, str):
        raise PayloadError(f"A stored payload must be text, not {type(text).__name__}; decode it first.")
    try:
        if not text.isascii():
            text.encode()  # lone surrogates fail here
        value = _from_json(text)
        if "\\u" in text:  # an escape is the only other way in for a NUL or a lone surrogate; it is rare
            _text(value, len(text))
    except RecursionError:
        raise PayloadError("A stored payload is nested too deep; it was damaged or altered.") from None
    except _Refusal:
        raise PayloadError(
            "A stored payload contains a NUL character or a lone surrogate; it was damaged or altered."
        ) from None
    except ValueError as error:
        message = f"A stored payload cannot be read ({error}); it was damaged or altered."
        raise PayloadError(message) from error
    return value


# --- writing -----------------------------------------------------------------------------------


class _Refusal(Exception):
    """What is wrong with a part of the value; the callers add the steps to it, the innermost first."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.steps: list[str] = []

    def path(self, where: str) -> str:
        return where + "".join(reversed(self.steps))


class _TooDeep(_Refusal):
    """Only the caller knows the limit, and completes the sentence."""


def _text(value: Any, room: int) -> str:
    """Return ``value`` as JSON; ``room`` is how many levels may follow."""
    kind = type(value)
    if kind is str and value.isascii() and "\0" not in value:  # most are; the rest is looked at below
        return _quoted(value)
    writer = _WRITERS.get(kind)
    if writer is None:
        raise _Refusal(_why_not(kind))
    return writer(value, room)


def _why_not(kind: type) -> str:
    name = f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")
    if issubclass(kind, Enum):
        return f"is of the enum type {name}, which cannot be stored; pass its .value instead."
    base = next((base.__name__ for base in kind.__mro__ if base in _WRITERS), None)
    if base:
        return f"is of type {name}, which would come back as {base}; convert it to a plain {base} first."
    return f"is of type {name}, which cannot be stored; pass text, numbers, lists or dicts instead."


def _text_of_none(value: None, room: int) -> str:
    return "null"


def _text_of_bool(value: bool, room: int) -> str:
    return "true" if value else "false"


def _text_of_int(value: int, room: int) -> str:
    if _INT64_MIN <= value <= _INT64_MAX:
        return repr(value)
    if value.bit_length() > MAX_INT_BITS:
        raise _Refusal(f"is an int of more than {MAX_INT_BITS} bits, which is too large; pass it as bytes.")
    return _tagged("$int", _quoted(_spell_int(value)))


def _text_of_float(value: float, room: int) -> str:
    if isfinite(value):
        return repr(value)
    raise _Refusal(f"is the float {value}, which JSON cannot hold; pass None or text instead.")


def _text_of_str(value: str, room: int) -> str:
    problem = _problem_of_text(value)
    if problem:
        raise _Refusal(f"{problem}, which not every database can store; remove it or pass bytes.")
    return _quoted(value)


def _problem_of_text(value: str) -> str | None:
    if "\0" in value:
        return "contains a NUL character"
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            return "contains a lone surrogate"
    return None


def _text_of_list(value: Any, room: int, is_set: bool = False) -> str:
    if room <= 0:
        raise _TooDeep("is nested too deep")
    texts: list[str] = []
    try:
        for element in value:
            texts.append(_text(element, room - 1))
    except _Refusal as refusal:
        refusal.steps.append(f"[{len(texts)}]")
        raise
    if is_set:  # which has no order of its own
        texts.sort()
    return f"[{','.join(texts)}]"


def _text_of_dict(value: dict[Any, Any], room: int) -> str:
    if room <= 0:
        raise _TooDeep("is nested too deep")
    texts: list[str] = []
    for key, element in value.items():
        if type(key) is not str or not key.isascii() or "\0" in key:
            _check_key(key)
        try:
            texts.append(f"{_quoted(key)}:{_text(element, room - 1)}")
        except _Refusal as refusal:
            refusal.steps.append(f"[{_shown(key)}]")
            raise
    if len(texts) == 1 and texts[0][:2] == '"$':
        return f'{{"${texts[0][1:]}}}'
    return f"{{{','.join(texts)}}}"


def _check_key(key: Any) -> None:
    if type(key) is not str:
        name = type(key).__qualname__
        raise _Refusal(f"has a key of type {name}, but keys must be plain str; convert the key to text.")
    problem = _problem_of_text(key)
    if problem:
        raise _Refusal(f"has the key {_shown(key)}, which {problem}; remove it from the key.")


def _shown(key: str) -> str:
    short = key if len(key) <= _LONGEST_KEY_SHOWN else key[:_LONGEST_KEY_SHOWN] + "…"
    # surrogates are escaped so that the message itself can be logged and stored
    return json.dumps(short, ensure_ascii=_problem_of_text(short) is not None)


def _tagged(tag: str, text: str) -> str:
    return f'{{"{tag}":{text}}}'


def _text_of_tuple(value: tuple[Any, ...], room: int) -> str:
    return _tagged("$tuple", _text_of_list(value, room))


def _text_of_set(value: set[Any], room: int) -> str:
    return _tagged("$set", _text_of_elements(value, room))


def _text_of_frozenset(value: frozenset[Any], room: int) -> str:
    return _tagged("$frozenset", _text_of_elements(value, room))


def _text_of_elements(value: set[Any] | frozenset[Any], room: int) -> str:
    try:
        return _text_of_list(value, room, is_set=True)
    except _Refusal as refusal:
        if refusal.steps:
            refusal.steps[-1] = "{…}"  # an element of a set has no index
        raise


# --- values that are spelled as text ---------------------------------------------------------------

_Clock = TypeVar("_Clock", datetime, time)
_FOLD = ";fold=1"
_BEFORE_OFFSET = re.compile("([+-])(?=..:)")  # no minus of a date has a colon there
_LONGEST_TIMEDELTA = len("-999999999 86399 999999")


def _spell_int(value: int) -> str:
    # hexadecimal: linear in time, and free of the interpreter's limit on decimal digits
    return f"{value:x}"


def _read_int(text: str) -> int:
    if len(text) > MAX_INT_BITS // 4 + 2:
        raise ValueError("too long")
    value = int(text, 16)
    if _INT64_MIN <= value <= _INT64_MAX or value.bit_length() > MAX_INT_BITS:
        raise ValueError("out of range")
    return value


def _spell_bytes(value: bytes) -> str:
    return b64encode(value).decode("ascii")


def _spell_clock(value: datetime | time) -> str:
    fold = _FOLD if value.fold else ""
    zone = value.tzinfo
    if type(zone) is ZoneInfo:
        if _zone(zone.key) is None:
            raise _Refusal("has a ZoneInfo that was not made by its name; make it by ZoneInfo(name).")
        return f"{value.replace(tzinfo=None).isoformat()}{fold}[{zone.key}]"
    if zone is not None and value.utcoffset() is None:
        raise _Refusal("has a time zone that gives no offset and would get lost; use ZoneInfo or timezone.")
    return value.isoformat() + fold


def _zone(name: str | None) -> ZoneInfo | None:
    try:
        return ZoneInfo(name) if name else None
    except (LookupError, ValueError, OSError):  # OSError: the name is that of a folder of zones
        return None


def _read_clock(read: Callable[[str], _Clock], text: str) -> _Clock:
    moment, _, name = text.partition("[")
    local, *sign_and_offset = _BEFORE_OFFSET.split(moment.removesuffix(_FOLD), maxsplit=1)
    value = read(local)
    if moment.endswith(_FOLD):
        value = value.replace(fold=1)
    if sign_and_offset:
        value = value.replace(tzinfo=_fixed_zone(*sign_and_offset))
    if name:
        value = value.replace(tzinfo=_known_zone(name.removesuffix("]")))
    return value


def _fixed_zone(sign: str, offset: str) -> timezone:
    # fromisoformat would do that, but for CPython an offset of less than a second is UTC
    ahead = datetime.combine(date.min, time.fromisoformat(offset)) - datetime.min
    return timezone(-ahead if sign == "-" else ahead)


def _known_zone(name: str) -> ZoneInfo:
    zone = _zone(name)
    if zone is None:
        raise PayloadError(f"A stored payload has an unknown time zone, {_shown(name)}; install tzdata here.")
    return zone


def _read_datetime(text: str) -> datetime:
    return _read_clock(datetime.fromisoformat, text)


def _read_time(text: str) -> time:
    return _read_clock(time.fromisoformat, text)


def _spell_timedelta(value: timedelta) -> str:
    return f"{value.days} {value.seconds} {value.microseconds}"


def _read_timedelta(text: str) -> timedelta:
    if len(text) > _LONGEST_TIMEDELTA:  # not every Python bounds the time that int() takes
        raise ValueError("too long")
    days, seconds, microseconds = map(int, text.split(" "))
    return timedelta(days, seconds, microseconds)


def _spell_decimal(value: Decimal) -> str:
    if not value.is_finite():
        raise _Refusal(f"is the Decimal {value}, which cannot be stored; pass None or text instead.")
    # the decimal context of the thread decides between 1e+9 and 1E+9
    return str(value).upper()


#: tag: type, how it is spelled, how it is read
_SPELLED: dict[str, tuple[type, Callable[[Any], str], Callable[[str], Any]]] = {
    "$int": (int, _spell_int, _read_int),
    "$bytes": (bytes, _spell_bytes, lambda text: b64decode(text, validate=True)),
    "$datetime": (datetime, _spell_clock, _read_datetime),
    "$date": (date, date.isoformat, date.fromisoformat),
    "$time": (time, _spell_clock, _read_time),
    "$timedelta": (timedelta, _spell_timedelta, _read_timedelta),
    "$decimal": (Decimal, _spell_decimal, Decimal),
    "$uuid": (UUID, str, UUID),
}
#: tag: type of the container, whose content is a list
_CONTAINERS: dict[str, Callable[[list[Any]], Any]] = {"$tuple": tuple, "$set": set, "$frozenset": frozenset}


def _tag_writer(tag: str, spell: Callable[[Any], str]) -> Callable[[Any, int], str]:
    return lambda value, room: _tagged(tag, _quoted(spell(value)))


_WRITERS: dict[type, Callable[[Any, int], str]] = {
    **{kind: _tag_writer(tag, spell) for tag, (kind, spell, _) in _SPELLED.items()},
    type(None): _text_of_none,
    bool: _text_of_bool,
    int: _text_of_int,
    float: _text_of_float,
    str: _text_of_str,
    list: _text_of_list,
    dict: _text_of_dict,
    tuple: _text_of_tuple,
    set: _text_of_set,
    frozenset: _text_of_frozenset,
}


# --- reading -----------------------------------------------------------------------------------


def _read_object(found: dict[str, Any]) -> Any:
    """Return what a JSON object stands for: itself, an escaped dict, or the value behind a tag."""
    if len(found) != 1:
        return found
    [(key, content)] = found.items()
    if key[:1] != "$":
        return found
    if key[:2] == "$$":
        return {key[1:]: content}
    if key in _SPELLED:
        return _read_spelled(key, content)
    if key in _CONTAINERS:
        return _read_container(key, content)
    raise ValueError(f"unknown tag {_shown(key)}")


def _read_spelled(tag: str, text: Any) -> Any:
    _, spell, read = _SPELLED[tag]
    try:
        if type(text) is str:
            value = read(text)
            if spell(value) == text:
                return value
    except (ValueError, ArithmeticError, _Refusal) as error:
        raise ValueError(f"wrong content of the tag {tag}") from error
    raise ValueError(f"wrong content of the tag {tag}")


def _read_container(tag: str, elements: Any) -> Any:
    if type(elements) is not list:
        raise ValueError(f"wrong content of the tag {tag}")
    try:
        return _CONTAINERS[tag](elements)
    except TypeError as error:  # an element of a set that cannot be hashed
        raise ValueError(f"wrong content of the tag {tag}") from error


def _read_json_int(digits: str) -> int:
    if len(digits) <= _LONGEST_INT64:
        value = int(digits)
        if _INT64_MIN <= value <= _INT64_MAX:
            return value
    raise ValueError("an integer beyond 64 bits without its tag")


def _read_json_float(digits: str) -> float:
    value = float(digits)
    if isfinite(value):
        return value
    raise ValueError("a number beyond the range of float")


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON value")


_NUMBERS: dict[str, Any] = {
    "parse_float": _read_json_float, "parse_int": _read_json_int, "parse_constant": _refuse_constant,
}  # fmt: skip
_decoder = json.JSONDecoder(object_hook=_read_object, **_NUMBERS)
_scan: Callable[[str, int], tuple[Any, int]] = _decoder.scan_once  # type: ignore[attr-defined]  # typeshed has it not
#: For a text in which there can be no tag.
_scan_untagged: Callable[[str, int], tuple[Any, int]] = json.JSONDecoder(**_NUMBERS).scan_once  # type: ignore[attr-defined]


def _from_json(text: str) -> Any:
    scan = _scan if '"$' in text or "\\u" in text else _scan_untagged
    try:
        value, end = scan(text, 0)
    except StopIteration:
        end = -1
    # Whatever there is besides, be it only space, the decoder looks at, and says what is wrong.
    return value if end == len(text) else _decoder.decode(text)


def storable(text: str) -> str:
    """A text made at run time, such as a message, as every database can store it: what none can is replaced."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
