"""From the fields of a record to a row of the table: which column is which, and what is a bad value."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

#: The columns of the table, and what people call them.
ALIASES = {
    "name": ("name", "city", "place", "title", "label", "fullname", "cityname", "placename"),
    "country": ("country", "countrycode", "countryname", "nation", "land"),
    "population": ("population", "pop", "inhabitants", "residents"),
    "latitude": ("latitude", "lat", "y"),
    "longitude": ("longitude", "lon", "lng", "long", "x"),
}
_LENGTHS = {"name": 200, "country": 100}
_LARGEST_POPULATION = 10**12


class BadRow(Exception):
    """Why a record does not become a row."""


class Columns:
    """The columns of one file.

    A header is compared without case, spaces and punctuation; of several that fit, the one whose alias comes first
    counts. All others go to ``extra`` under their own names.
    """

    def __init__(self, header: Sequence[str]) -> None:
        self._places = _known_places([re.sub(r"[\W_]", "", name).lower() for name in header])
        self._others = {place: name for place, name in enumerate(_unique(header)) if place not in self._places.values()}
        self._count = len(header)

    @property
    def has_name(self) -> bool:
        """Whether there is a column for the one thing that every row needs."""
        return "name" in self._places

    def row(self, fields: Sequence[str]) -> dict[str, Any]:
        """The values for the table. Raises :class:`BadRow`."""
        if len(fields) != self._count:
            raise BadRow(f"the row has {len(fields)} fields, the header {self._count}")
        texts = {column: fields[place].strip() for column, place in self._places.items()}
        if not texts["name"]:
            raise BadRow("the name is empty")
        values = {column: _PARSERS[column](column, texts.get(column, "")) for column in ALIASES}
        extra = {name: fields[place].strip() for place, name in self._others.items() if fields[place].strip()}
        return {**values, "extra": extra}


def _known_places(header: Sequence[str]) -> dict[str, int]:
    found = {}
    for column, aliases in ALIASES.items():
        fitting = [header.index(alias) for alias in aliases if alias in header]
        if fitting:
            found[column] = fitting[0]
    return found


def _unique(header: Sequence[str]) -> list[str]:
    names: list[str] = []
    for place, given in enumerate(header, start=1):
        name = given.strip() or f"column {place}"
        names.append(name if name not in names else f"{name} (column {place})")
    return names


# --- values ---


def _text(column: str, text: str) -> str | None:
    if len(text) > _LENGTHS[column]:
        raise BadRow(f"the {column} is longer than {_LENGTHS[column]} characters")
    return text or None


def _whole_number(column: str, text: str) -> int | None:
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,13}", text) or int(text) > _LARGEST_POPULATION:
        raise BadRow(f"the {column} is no whole number from 0 to {_LARGEST_POPULATION}: {_shown(text)}")
    return int(text)


def _degrees(limit: int) -> Callable[[str, str], float | None]:
    def parse(column: str, text: str) -> float | None:
        if not text:
            return None
        try:
            value = float(text.replace(",", "."))
        except ValueError:
            value = math.nan
        if not abs(value) <= limit:
            raise BadRow(f"the {column} is no number from -{limit} to {limit}: {_shown(text)}")
        return value

    return parse


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "…")


_PARSERS: dict[str, Callable[[str, str], Any]] = {
    "name": _text,
    "country": _text,
    "population": _whole_number,
    "latitude": _degrees(90),
    "longitude": _degrees(180),
}
