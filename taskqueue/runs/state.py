"""A run as it stands: what it was asked to do, how far it is, and why it does not go on."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache
from typing import Any

from ..errors import PayloadError
from ..payload import Codec
from ..storage.runs import OPEN, RunRow

_log = logging.getLogger(__name__)
#: The item id of the step after the last item (``on_end``): ids of items begin at 1.
END_STEP = 0
BUTTONS = ("retry", "skip", "abort")
#: Who does the work of a run: pages and terminals; workers, while pages only watch; workers and, because none was
#: there, pages as well.
MODES = ("web", "background", "taken_over")


@dataclass(frozen=True)
class Definition:
    """What a run was asked to do; stored, and signed, like an item."""

    title: str = ""
    #: "abort", "continue", or None: the queue's ``error`` option decides.
    error_mode: str | None = None
    #: Name of the callback after the last item.
    on_end: str | None = None
    on_end_url: str | None = None
    is_minimal: bool = False
    #: Which of "retry", "skip", "abort" the page offers.
    buttons: tuple[str, ...] = BUTTONS
    #: One of :data:`MODES`.
    mode: str = "web"

    @property
    def is_background(self) -> bool:
        """Whether workers do the work, so that what they could not do is counted by what is on record of the queue."""
        return self.mode != "web"

    @property
    def is_watched(self) -> bool:
        """Whether pages only watch."""
        return self.mode == "background"

    def as_begun(self) -> Definition:
        """As it was before anybody took it over."""
        return replace(self, mode="background") if self.is_background else self

    def pack(self, codec: Codec, queue_name: str, run_id: str) -> str:
        """As it is stored."""
        return codec.pack(asdict(self), _purpose(queue_name), run_id)

    @classmethod
    def unpack(cls, codec: Codec, text: str, queue_name: str, run_id: str) -> Definition:
        """Raises :class:`PayloadError` when it was damaged, or written by somebody without the key."""
        stored = codec.unpack(text, _purpose(queue_name), run_id)
        if not isinstance(stored, dict):
            raise PayloadError("the stored run is none of ours: it was damaged or written by others")
        known = {field.name for field in fields(cls)}
        made = cls(**{key: value for key, value in stored.items() if key in known})
        if not made._is_sound():
            raise PayloadError("the stored run has fields of wrong types: it was damaged or written by others")
        return replace(made, buttons=tuple(made.buttons))

    def offers(self, verb: str) -> bool:
        """Whether the page of such a run offers what ``verb`` says."""
        button = "retry" if verb == "retry_failed" else verb
        return button not in BUTTONS or button in self.buttons

    def _is_sound(self) -> bool:
        if self.mode not in MODES:
            return False
        texts = (self.title, self.error_mode or "", self.on_end or "", self.on_end_url or "")
        if not all(isinstance(text, str) for text in texts) or self.error_mode not in (None, "abort", "continue"):
            return False
        return isinstance(self.buttons, (tuple, list)) and all(button in BUTTONS for button in self.buttons)


def _purpose(queue_name: str) -> str:
    # No name of a queue has a slash: the signature of an item can never pass for that of a run.
    return f"run/{queue_name}"


@dataclass(frozen=True)
class Problem:
    """Why a run is blocked: a human has to choose between Retry and Skip."""

    item_id: int
    #: Under which the item waits; for the end step the run's own.
    fence: int
    title: str = ""
    attempt: int = 1
    #: "exception", "lost_lease" (its holder was lost) or "missing_callback" (it may not run, or cannot be found).
    kind: str = "exception"
    message: str = ""
    trace: str = ""
    #: Milliseconds since 1970.
    when: int = 0
    #: The item is a dead letter by now.
    is_dead: bool = False

    def pack(self) -> str:
        """As it is stored."""
        return json.dumps(asdict(self))

    @classmethod
    def unpack(cls, text: str | None) -> Problem | None:
        """None for none; a text that nobody can read, too."""
        try:
            stored: Any = json.loads(text) if text else None
            return cls(**stored) if stored else None
        except (ValueError, TypeError):
            return None


@dataclass(frozen=True)
class RunState:
    """A run at one moment. Times are milliseconds since 1970, by the database's clock; 0: not yet."""

    id: str
    queue_name: str
    #: Who started it; "" for a terminal.
    owner: str
    definition: Definition
    #: Why the definition cannot be read: such a run is shown, and never executed.
    damage: str
    #: "ready", "running", "blocked", "finishing", "completed" or "aborted"; whether it is paused is its queue's to say.
    status: str
    version: int
    #: Items at the beginning; so far; and what became of them.
    initial: int
    total: int
    done: int
    skipped: int
    failed: int
    #: Seconds for one item; None while unknown.
    pace: float | None
    problem: Problem | None
    driver: str
    driver_label: str
    driver_until: int
    is_dirty: bool
    #: How many items were counted for drivers that were killed before they could.
    made_up: int
    end_fence: int
    end_holder: str
    is_ended: bool
    #: Of an aborted run whose rest is skipped: the last item that this means.
    emptied_to: int
    create_time: int
    start_time: int
    end_time: int
    now: int

    @classmethod
    def of(cls, row: RunRow, codec: Codec) -> RunState:
        """The state in a row."""
        values = row._asdict()
        try:
            definition, damage = Definition.unpack(codec, row.definition, row.queue_name, row.id), ""
        except PayloadError as error:
            definition, damage = Definition(title=f"Run {row.id[:8]}"), str(error)
            _complain(row.id, row.queue_name, damage)
        values.update(
            definition=definition,
            damage=damage,
            pace=row.pace / 1e6 if row.pace else None,
            problem=Problem.unpack(row.problem),
            is_dirty=bool(row.is_dirty),
            is_ended=bool(row.is_ended),
        )
        return cls(**values)

    @property
    def title(self) -> str:
        """Its heading."""
        return self.definition.title

    @property
    def is_open(self) -> bool:
        """Whether it is not at its end."""
        return self.status in OPEN

    @property
    def finished(self) -> int:
        """How many items are done with, one way or another."""
        return self.done + self.skipped + self.failed

    @property
    def added(self) -> int:
        """How many items were added while it ran."""
        return max(self.total - self.initial, 0)

    @property
    def is_driven(self) -> bool:
        """Whether somebody drives it at the moment."""
        return bool(self.driver) and self.driver_until > self.now

    @property
    def elapsed(self) -> float:
        """Seconds since its start, until its end."""
        return max((self.end_time or self.now) - self.start_time, 0) / 1000 if self.start_time else 0.0


@lru_cache
def _complain(run_id: str, queue_name: str, damage: str) -> None:
    """Cached, so that it is said once, however often such a run is looked at."""
    _log.error("run %r of queue %r is not carried on: %s", run_id, queue_name, damage)
