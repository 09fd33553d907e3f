"""The comparison as one picture: a bar for each contestant, drawn as SVG that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from statistics import median

from .figures import Figures

_ROW, _TOP, _LEFT, _WIDTH, _RIGHT = 24, 40, 560, 300, 80
_STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1f2937 } .title { font-weight: 600 } .muted { fill: #6b7280 }
  .ours { fill: #2563eb } .other { fill: #9ca3af }
  @media (prefers-color-scheme: dark) {
    text { fill: #e5e7eb } .muted { fill: #9ca3af } .ours { fill: #60a5fa } .other { fill: #6b7280 }
  }
"""


def svg(figures: Sequence[Figures]) -> str:
    """The medians of all but the floors, each with the most workers that it had; the quickest first."""
    most: dict[tuple[str, str], Figures] = {}
    for one in sorted(figures, key=lambda one: one.workers):
        if one.measured and not one.name.startswith("floor"):
            most[one.name, one.server] = one
    bars = sorted(((median(drained.rate for drained in one.measured), one) for one in most.values()),
                  key=lambda bar: -bar[0])  # fmt: skip
    highest = max((rate for rate, _one in bars), default=1.0)
    height, width = _TOP + _ROW * len(bars) + 10, _LEFT + _WIDTH + _RIGHT
    rows = "\n".join(_bar(number, rate, highest, one) for number, (rate, one) in enumerate(bars))
    title = "Tasks done per second, by two workers where there can be two"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label="{title}">\n'
        f'<style>{_STYLE}</style>\n<text class="title" x="8" y="22">{title}</text>\n{rows}\n</svg>\n'
    )


def _bar(number: int, rate: float, highest: float, one: Figures) -> str:
    top = _TOP + _ROW * number
    kind = "ours" if one.name.startswith("taskqueue") else "other"
    length = max(rate / highest * _WIDTH, 1)
    return (
        f'<text x="8" y="{top + 15}">{escape(one.name)} <tspan class="muted">on {escape(one.server)}: '
        f"{escape(one.crash)}</tspan></text>"
        f'<rect class="{kind}" x="{_LEFT}" y="{top + 3}" width="{length:.1f}" height="{_ROW - 6}" rx="2"/>'
        f'<text x="{_LEFT + length + 6:.1f}" y="{top + 15}">{rate:,.0f}</text>'
    )
