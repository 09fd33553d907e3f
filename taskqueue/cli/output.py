"""How things are printed: safe for a terminal whatever a queue holds, as a table or as JSON."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import click


def printable(text: str) -> str:
    """``text`` with what could move the cursor or hide something written as an escape; titles come from anybody."""
    if text.isprintable():
        return text
    return "".join(char if _is_harmless(char) else char.encode("unicode_escape").decode() for char in text)


def _is_harmless(char: str) -> bool:
    return char.isprintable() or unicodedata.category(char) == "Zs"


def one_line(text: str) -> str:
    """``text`` on one line, printable."""
    return printable(" ".join(text.split()))


def first_line(text: str) -> str:
    """The first line of an error that says something, printable."""
    return printable(next((line.strip() for line in text.splitlines() if line.strip()), ""))


def shortened(text: str, width: int) -> str:
    """At most ``width`` characters."""
    return text if len(text) <= width else text[: width - 1] + "…"


def counted(number: int, what: str, many: str = "") -> str:
    """``1 item``, ``2 items``; ``many`` is the plural where it is no ``s`` more."""
    return f"{number} {what if number == 1 else many or f'{what}s'}"


def moment(time: datetime | None) -> str:
    """A time for a human: UTC, to the second."""
    return f"{time:%Y-%m-%d %H:%M:%S}" if time is not None else ""


def iso(time: datetime | None) -> str | None:
    """A time for a program: ISO 8601, UTC."""
    return time.isoformat() if time is not None else None


def duration(seconds: float) -> str:
    """``0.4 s``, ``12 s``, ``3:05``, ``1:00:00``."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def print_json(facts: Any) -> None:
    """One JSON value on one line, in ASCII: no character of it can disturb a terminal."""
    click.echo(json.dumps(facts))


def print_json_list(facts: Iterable[Any]) -> None:
    """The same for a list, whose elements are written one a line as they come."""
    before = "["
    for fact in facts:
        click.echo(f"{before}{json.dumps(fact)}", nl=False)
        before = ",\n"
    click.echo("[]" if before == "[" else "]")


def print_text(title: str, text: str) -> None:
    """A text of several lines under its title."""
    click.echo(f"\n{title}")
    for line in text.splitlines():
        click.echo(f"  {printable(line)}")


def print_table(headers: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Columns as wide as their content; numbers to the right. The last column may be of any width."""
    cells = [[one_line(str(cell)) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(headers, *cells, strict=True)]
    is_number = [bool(rows) and all(isinstance(row[index], int) for row in rows) for index in range(len(headers))]
    for line in (headers, *cells):
        padded = (
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, is_number, strict=True)
        )
        click.echo("  ".join(padded).rstrip())


def print_facts(facts: Sequence[tuple[str, Any]]) -> None:
    """Names and values, one pair a line."""
    width = max(len(name) for name, _value in facts)
    for name, value in facts:
        click.echo(f"{name.ljust(width)}  {one_line(str(value))}".rstrip())
