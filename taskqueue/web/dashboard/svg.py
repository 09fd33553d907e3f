"""Charts as shapes for SVG: drawn on the server, so that they need no script, print well, and have a table beside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, log10

#: The drawing, in its own units.
WIDTH, HEIGHT = 720, 160
#: A small one, in a row of a table.
SMALL_WIDTH, SMALL_HEIGHT = 120, 24


@dataclass(frozen=True)
class Bar:
    """One column of a chart, and what lies on top of it."""

    x: float
    width: float
    y: float
    height: float
    top_y: float
    top_height: float


@dataclass(frozen=True)
class Chart:
    """The shapes of one chart."""

    bars: Sequence[Bar]
    #: The points of lines, as ``points`` of a polyline has them; a line may have gaps.
    lines: Sequence[Sequence[str]]
    #: What its upper edge means.
    most: float


def bars(lower: Sequence[float], upper: Sequence[float]) -> Chart:
    """Columns of two parts, one on top of the other."""
    most = _round_up(max((low + high for low, high in zip(lower, upper, strict=True)), default=0))
    step = WIDTH / max(len(lower), 1)
    drawn = []
    for index, (low, high) in enumerate(zip(lower, upper, strict=True)):
        low_height, high_height = low / most * HEIGHT, high / most * HEIGHT
        y = HEIGHT - low_height
        drawn.append(Bar(_short(index * step), _short(step * 0.8), _short(y), _short(low_height),
                         _short(y - high_height), _short(high_height)))  # fmt: skip
    return Chart(drawn, (), most)


def lines(*series: Sequence[float | None]) -> Chart:
    """Lines over the same points of time; where a value is missing, a line has a gap."""
    most = _round_up(max((value for values in series for value in values if value is not None), default=0))
    return Chart((), [_line(values, most, WIDTH, HEIGHT) for values in series], most)


def sparkline(values: Sequence[float]) -> str:
    """A line without a scale; "" when there is nothing to see."""
    if not any(values):
        return ""
    return " ".join(_line(values, max(values), SMALL_WIDTH, SMALL_HEIGHT - 2, 1))


def _line(values: Sequence[float | None], most: float, width: int, height: int, margin: int = 0) -> list[str]:
    step = width / max(len(values) - 1, 1)
    parts: list[list[str]] = [[]]
    for index, value in enumerate(values):
        if value is None:
            parts.append([])
        else:
            parts[-1].append(f"{_short(index * step):g},{_short(margin + height - value / most * height):g}")
    # A point alone is a line of no length, which round ends show.
    return [" ".join(part if len(part) > 1 else part * 2) for part in parts if part]


def _round_up(value: float) -> float:
    """The next of 1, 2, 5, 10, 20, 50, ...: what an axis can say."""
    if value <= 0:
        return 1.0
    unit = 10.0 ** floor(log10(value))
    return next((step * unit for step in (1, 2, 5) if step * unit >= value), 10 * unit)


def _short(value: float) -> float:
    return round(value, 2)
