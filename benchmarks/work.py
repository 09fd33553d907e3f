"""The task that is measured, its argument of 80 bytes, and the witness that it ran exactly once."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from taskqueue import TaskContext

#: All numbers have eight digits, so that all arguments have the same length.
_FIRST = 10_000_000
_TEXT = "x" * 56
_witness = bytearray()


class Wrong(Exception):
    """Something was lost, repeated or out of order: the figures mean nothing."""


def argument(number: int) -> dict[str, Any]:
    """The argument of one task."""
    return {"n": _FIRST + number, "text": _TEXT}


def argument_text(number: int) -> str:
    """The same as JSON: 80 bytes."""
    return f'{{"n":{_FIRST + number},"text":"{_TEXT}"}}'


def number_of(text: str) -> int:
    """Which one a stored argument is."""
    return int(json.loads(text)["n"]) - _FIRST


def no_op(ctx: TaskContext | None, given: dict[str, Any]) -> None:
    """Leaves a mark and does nothing else."""
    _witness[given["n"] - _FIRST] += 1


def quiet(ctx: TaskContext | None, given: dict[str, Any]) -> None:
    """Does nothing at all; the record of its run is the witness."""


def expect(count: int) -> None:
    """Begin with a clean witness for the numbers below ``count``."""
    _witness[:] = bytes(count)


def verify_ran(what: str) -> None:
    """Every number has run exactly once."""
    if lost := _witness.count(0):
        raise Wrong(f"{what}: {lost} of {len(_witness)} tasks did not run")
    if repeated := len(_witness) - _witness.count(1):
        raise Wrong(f"{what}: {repeated} of {len(_witness)} tasks ran more than once")


def verify_stands(what: str, numbers: Iterable[int], count: int) -> None:
    """Every number below ``count`` stands there exactly once, in order."""
    found = list(numbers)
    if found != list(range(count)):
        raise Wrong(f"{what}: {count} items were put in, {len(found)} ({len(set(found))} different) stand there")
