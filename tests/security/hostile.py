"""Values and texts that break what was not made for them."""

from __future__ import annotations

import math
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

TEXTS = {
    "nothing": "",
    "a space": " ",
    "NUL": "a\0b",
    "a lone surrogate": "\ud800",
    "a surrogate in the middle": "a\udfffb",
    "two surrogates": "\ud83d\ude00",
    "four bytes": "😀𝒳𠮷",
    "combining": "ma\u0301il e\u0301",
    "composed": "máil é",
    "capitals": "Mail",
    "a trailing space": "mail ",
    "a leading space": " mail",
    "a trailing tab": "mail\t",
    "sharp s": "straße",
    "two s": "strasse",
    "Turkish": "ıIiİ",
    "ligature": "ﬁle",
    "zero width": "ma\u200bil\ufeff",
    "right to left": "\u202egnp.exe\u2066",
    "line ends": "a\r\nb\u2028c\x0b\x85",
    "escapes": "\x1b[31m\x1b]0;x\x07\x9b2J\x7f",
    "not a character": "\ufffe\U0010ffff",
    "quotes": "'\"`\\';--",
    "percent": "%s %(x)s %%",
    "braces": "{0} {{x}} $ids :name ?",
    "a tag": "$int",
    "script": "<script>alert(1)</script>",
    "100 characters": "x" * 100,
    "129 characters": "x" * 129,
    "192 characters": "é" * 192,
    "70 kB": "x" * 70_000,
    "70 kB of four bytes": "😀" * 17_500,
    "1 MiB and more": "x" * 1_100_000,
    "17 MB": "x" * 17_000_000,
}


class Colour(Enum):
    """No value that is stored."""

    RED = "red"


class Text(str):
    """A subclass of a type that is stored."""

    __slots__ = ()


def nested(depth: int) -> list[Any]:
    """Lists one in another."""
    found: list[Any] = []
    for _ in range(depth):
        found = [found]
    return found


def endless() -> list[Any]:
    """A list that contains itself."""
    found: list[Any] = []
    found.append(found)
    return found


VALUES: dict[str, Any] = {
    "NaN": math.nan,
    "Infinity": math.inf,
    "-Infinity": -math.inf,
    "1e400": float("1e400"),
    "the smallest float": 5e-324,
    "minus zero": -0.0,
    "2**63": 2**63,
    "-2**63": -(2**63),
    "-2**63-1": -(2**63) - 1,
    "2**1000": 2**1000,
    "a huge int": 1 << 20_000,
    "Decimal": Decimal("1E+400"),
    "Decimal NaN": Decimal("NaN"),
    "Decimal of many digits": Decimal("1." + "3" * 500),
    "bytes": b"\x80\x04\x95\x00\xff",
    "a datetime": datetime(2026, 3, 29, 2, 30, tzinfo=timezone.utc),
    "a naive datetime": datetime.max,
    "a date": date.min,
    "a time": time(23, 59, 59, 999_999),
    "a timedelta": timedelta.min,
    "a UUID": UUID(int=0),
    "a set": {1, "a"},
    "True": True,
    "None": None,
    "a key that is a number": {1: "x"},
    "a key that is None": {None: "x"},
    "a key that is a tuple": {(1, 2): "x"},
    "a key with NUL": {"a\0": 1},
    "an empty key": {"": 1},
    "a key like a tag": {"$int": "ff"},
    "a key like an escaped tag": {"$$int": "ff"},
    "keys that collations confuse": {"mail": 1, "Mail": 2, "máil": 3, "mail ": 4},
    "depth 32": nested(30),
    "depth 40": nested(40),
    "depth 100000": nested(100_000),
    "itself": endless(),
    "an object": object(),
    "a class": dict,
    "an enum": Colour.RED,
    "a subclass of str": Text("x"),
    "a path": Path("/etc/passwd"),
    "an exception": ValueError("x"),
    "a complex number": 1j,
    "a memoryview": memoryview(b"x"),
    **TEXTS,
}

#: JSON, or nearly, as somebody may type it.
JSON_TEXTS = {
    "nothing": "",
    "half of a list": "[1,",
    "two values": "1 2",
    "NaN": "NaN",
    "1e400": "1e400",
    "minus zero": "-0.0",
    "-2**63": str(-(2**63)),
    "2**63": str(2**63),
    "5000 digits": "9" * 5_000,
    "5000 digits in a list": f"[-{'9' * 5_000}]",
    "5000 digits in text": f'"{"9" * 5_000}"',
    "depth 100000": "[" * 100_000 + "]" * 100_000,
    "depth 40": "[" * 40 + "]" * 40,
    "a key twice": '{"a":1,"a":2}',
    "a key like a tag": '{"$int":"ff"}',
    "NUL": '"\\u0000"',
    "half of a character": '"\\ud800"',
    "four bytes": '"😀"',
    "17 MB": f'"{"x" * 17_000_000}"',
}


def generated(number: int) -> list[str]:
    """So many texts, which are the same each time."""
    found: list[str] = []

    @seed(20_260_101)
    @settings(
        max_examples=number, database=None, phases=[Phase.generate], deadline=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(st.text(st.characters(codec=None, categories=None), max_size=40))
    def collect(text: str) -> None:
        found.append(text)

    collect()
    return [*dict.fromkeys(found)]
