"""The kinds of fields: how a value comes in, how it is stored, how it goes out."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from sqlalchemy import BigInteger, Boolean, Date, DateTime, Dialect, Integer, String, Text, TypeDecorator
from sqlalchemy.types import TypeEngine

from taskqueue.spec import nearest, shown

#: What Text of MariaDB holds whatever the characters are.
LONGEST_TEXT = 16_000
_LARGEST = 2**31 - 1
_TRUE, _FALSE = ("1", "true", "on", "yes"), ("0", "false", "off", "no")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_WHOLE = re.compile(r"-?[0-9]{1,12}")


class Money(TypeDecorator[Decimal]):
    """An amount, stored as whole cents: SQLite has no decimal numbers."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> int | None:
        return None if value is None else int(value * 100)

    def process_result_value(self, value: int | None, dialect: Dialect) -> Decimal | None:
        return None if value is None else Decimal(value).scaleb(-2)


@dataclass(frozen=True)
class Field:
    """A field of a module.

    Arguments:
        kind: one of ``KINDS``.
        mandatory: it is never empty.
        editable: False: only the program writes it.
        length: of a text, in characters.
        values: what a picklist offers.
        refers_to: the module whose records a reference names.
        default: what a new record gets when nothing is said of it.
    """

    name: str
    label: str
    kind: str = "string"
    mandatory: bool = False
    editable: bool = True
    length: int = 100
    values: tuple[str, ...] = ()
    refers_to: str | None = None
    default: Any = None

    @property
    def column_type(self) -> TypeEngine[Any]:
        """In which kind of column it is stored."""
        return _COLUMNS[self.kind]() if self.kind in _COLUMNS else String(self.length)

    @property
    def is_link(self) -> bool:
        """Whether its value is the id of another record, or of a user."""
        return self.kind in ("reference", "owner")


def accepted(field: Field, value: Any) -> Any:
    """A value from outside as it is stored; None when it is empty. Ids are left to others, who know the records.

    Raises :class:`ValueError` with the end of a sentence: what it should be.
    """
    if value is None or value == "":
        return None
    reader: Callable[[Field, Any], Any] = _READERS.get(field.kind, _read_text)
    return reader(field, value)


def given(value: Any) -> Any:
    """A stored value as JSON has it, in the forms of coreBOS."""
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, date):
        return value.isoformat()
    return f"{value:.2f}" if isinstance(value, Decimal) else value


# --- coming in ---


def _read_text(field: Field, value: Any) -> str | None:
    text = str(value) if isinstance(value, (int, float, Decimal)) and not isinstance(value, bool) else value
    if not isinstance(text, str):
        raise ValueError(f"a text, not {shown(value)}")
    if "\0" in text or any("\ud800" <= char <= "\udfff" for char in text):
        raise ValueError("a text without characters that no database keeps (NUL, halves of pairs)")
    most = LONGEST_TEXT if field.kind == "text" else field.length
    if field.kind != "text":
        text = text.strip()  # MariaDB takes two texts for the same that end in different numbers of blanks
    if len(text) > most:
        raise ValueError(f"a text of at most {most} characters; this one has {len(text)}")
    return text or None


def _read_email(field: Field, value: Any) -> str | None:
    text = _read_text(field, value)
    if text is not None and not _EMAIL.fullmatch(text):
        raise ValueError(f"an address such as ann@example.org, not {shown(value)}")
    return text


def _read_boolean(field: Field, value: Any) -> bool:
    text = str(value).lower() if isinstance(value, (str, int)) else ""
    if text not in (*_TRUE, *_FALSE):
        raise ValueError(f"true or false (1 or 0), not {shown(value)}")
    return text in _TRUE


def _read_integer(field: Field, value: Any) -> int:
    text = str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
    if not _WHOLE.fullmatch(text) or abs(int(text)) > _LARGEST:
        raise ValueError(f"a whole number of up to {_LARGEST}, not {shown(value)}")
    return int(text)


def _read_money(field: Field, value: Any) -> Decimal:
    try:
        amount = Decimal(str(value)) if not isinstance(value, bool) else Decimal("nan")
    except InvalidOperation:
        amount = Decimal("nan")
    if not amount.is_finite() or abs(amount) >= 10**12 or amount != round(amount, 2):
        raise ValueError(f"an amount such as 12.50, not {shown(value)}")
    return round(amount, 2)


def _read_date(field: Field, value: Any) -> date:
    try:
        return date.fromisoformat(value if isinstance(value, str) and _DAY.fullmatch(value) else "")
    except ValueError:
        raise ValueError(f"a day such as 2030-12-31, not {shown(value)}") from None


def _read_choice(field: Field, value: Any) -> str:
    if value not in field.values:
        hint = nearest(value, field.values) if isinstance(value, str) else ""
        raise ValueError(f"one of {', '.join(field.values)}, not {shown(value)}{hint}")
    return str(value)


_READERS: Mapping[str, Callable[[Field, Any], Any]] = {
    "email": _read_email, "boolean": _read_boolean, "integer": _read_integer, "currency": _read_money,
    "date": _read_date, "picklist": _read_choice,
}  # fmt: skip
_COLUMNS: Mapping[str, Callable[[], Any]] = {
    "text": Text, "boolean": Boolean, "integer": Integer, "currency": Money, "date": Date, "datetime": DateTime,
    "reference": Integer, "owner": Integer,
}  # fmt: skip
KINDS = frozenset({"string", "phone", "url", "autogenerated", *_READERS, *_COLUMNS})
