"""What a list is asked for: given as text in an address, which stays the same in a bookmark."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from ..errors import SpecError
from ..spec import is_name, nearest, shown

ITEM_STATES = ("waiting", "running", "scheduled")
#: What a line of history may be asked for by one word, and which outcomes that means.
OUTCOMES: dict[str, tuple[str, ...]] = {
    "failed": ("retry", "abort", "delete", "dead"),
    "retry": ("retry",),
    "abort": ("abort",),
    "delete": ("delete",),
    "dead": ("dead",),
    "skipped": ("skipped",),
    "cancelled": ("cancelled",),
    "revived": ("revived",),
}
#: Ages that may be chosen, in seconds.
AGES = {"5m": 300, "1h": 3600, "1d": 86_400, "7d": 604_800, "30d": 2_592_000}
_LONGEST = 200


@dataclass(frozen=True)
class Filter:
    """The filter of one list; what is "" filters nothing."""

    #: The name of a queue.
    queue: str = ""
    #: Of items one of ``ITEM_STATES``, of history one of ``OUTCOMES``.
    state: str = ""
    #: Stands in the title, the callback or the error, whatever the case of its letters.
    text: str = ""
    #: Younger, and older, than so long: one of ``AGES``.
    since: str = ""
    until: str = ""

    @classmethod
    def of(cls, given: Mapping[str, str], states: tuple[str, ...] = ()) -> Filter:
        """The filter in an address; ``states`` are the ones that its list knows. Raises :class:`SpecError`."""
        values = {field.name: (given.get(field.name) or "").strip() for field in fields(cls)}
        if values["queue"] and not is_name(values["queue"]):
            raise SpecError(f"{shown(values['queue'])} cannot be the name of a queue")
        for name, known in (("state", states), ("since", tuple(AGES)), ("until", tuple(AGES))):
            if values[name] and values[name] not in known:
                hint = nearest(values[name], known)
                raise SpecError(f"{name} cannot be {shown(values[name])}{hint}: it is one of {', '.join(known) or '-'}")
        if len(values["text"]) > _LONGEST or not _is_storable(values["text"]):
            raise SpecError(f"the text to look for must have at most {_LONGEST} characters that can be stored")
        return cls(**values)

    def as_query(self) -> dict[str, str]:
        """What of it stands in an address."""
        return {name: value for name, value in asdict(self).items() if value}

    def ages(self) -> tuple[int | None, int | None]:
        """The ages (ms) below and above which something has to be."""
        return _ms(self.since), _ms(self.until)


def filter_of(stored: Any) -> Filter:
    """What :meth:`Filter.as_query` gave, out of a task of ours. Raises :class:`SpecError` on anything else."""
    if not isinstance(stored, dict) or not all(isinstance(value, str) for value in stored.values()):
        raise SpecError("the filter of this action is damaged")
    return Filter.of(stored, (*ITEM_STATES, *OUTCOMES))


def _ms(age: str) -> int | None:
    return AGES[age] * 1000 if age else None


def _is_storable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text
