"""What was measured of one contestant with so many workers, round by round."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from .drain import Drained


@dataclass
class Figures:
    """All rounds; one that failed is None, so that the same place is the same round for every contestant."""

    name: str
    server: str
    crash: str
    workers: int
    bulk: bool
    #: Tasks in each drain. Files that were kept before it was noted have the default of the command.
    count: int = 10_000
    #: Tasks put in per second.
    enqueue: list[float | None] = field(default_factory=list)
    drains: list[Drained | None] = field(default_factory=list)
    #: Cores that other programs used, for each round.
    foreign: list[float | None] = field(default_factory=list)

    @property
    def measured(self) -> list[Drained]:
        """The rounds that did not fail."""
        return [one for one in self.drains if one is not None]


def keep(figures: Sequence[Figures], path: Path) -> None:
    """Write all of them to a file."""
    path.write_text(json.dumps([asdict(one) for one in figures], indent=1) + "\n")


def kept(path: Path) -> list[Figures]:
    """What :func:`keep` has written."""
    found = [Figures(**one) for one in json.loads(path.read_text())]
    for one in found:
        one.drains = [drain and Drained(**drain) for drain in one.drains]  # type: ignore[arg-type]
    return found
