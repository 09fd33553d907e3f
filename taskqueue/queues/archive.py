"""Where a queue keeps what has ended; each driver has one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

from ..item import QueueItem
from ..storage.retention import Pruned
from .dead_filter import DeadFilter
from .ended import DeadItem, Ending, Result


class Archive(ABC):
    """The dead letters of a queue, the record of failures, and results."""

    @abstractmethod
    def count(self) -> int:
        """How many dead letters there are."""

    @abstractmethod
    def letters(self, chosen: DeadFilter) -> Iterator[DeadItem]:
        """The dead letters that are meant, by id; never all in memory at once."""

    @abstractmethod
    def ids(self, chosen: DeadFilter) -> Iterator[int]:
        """Their ids alone, ascending."""

    @abstractmethod
    def latest(self) -> DeadItem | None:
        """The one that died last."""

    @abstractmethod
    def revive(self, ids: Sequence[int]) -> int:
        """Put dead letters back with fresh attempts, all or none; return how many there were."""

    @abstractmethod
    def delete(self, ids: Sequence[int]) -> int:
        """Throw dead letters away, on record, all or none; return how many there were."""

    @abstractmethod
    def history(self, item_id: int) -> list[Ending]:
        """What is on record of an item, the oldest first."""

    @abstractmethod
    def result(self, item_id: int) -> Result | None:
        """What was kept of the value that its task returned."""

    @abstractmethod
    def store_result(self, item: QueueItem, text: str, lasting: int) -> None:
        """Keep a packed value for ``lasting`` ms; the first one stays."""

    def prune(self, age: int, *, dead: bool, dry_run: bool) -> Pruned:
        """Remove what is older than ``age`` ms, where no table holds it: the rows of a database are pruned together."""
        return Pruned()
