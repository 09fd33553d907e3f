"""A call that is recorded: what stands in the item."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from ..credentials import without_secrets
from ..errors import PayloadError
from ..spec import shown

#: How a message is delivered: a method, a request to one handler, an event to all of them, news of another message.
CALL, SEND, EMIT, CALLBACK = "call", "send", "emit", "callback"
KINDS = (CALL, SEND, EMIT, CALLBACK)
_INSTEAD = "let the handler get one when it delivers"


@dataclass(frozen=True)
class Message:
    """One recorded call of a service."""

    service: str
    #: The method or event.
    event: str
    kind: str = CALL
    args: list[Any] = field(default_factory=list)
    kwargs: dict[str, Any] = field(default_factory=dict)
    #: Sent along by the handler, as far as it does that.
    headers: dict[str, Any] = field(default_factory=dict)
    #: The id of the user in whose name the call was recorded, what was chosen to be kept of them, and their language.
    user: Any = None
    claims: dict[str, Any] = field(default_factory=dict)
    locale: str | None = None
    tenant: str | None = None
    #: Not to be delivered later than this (ms since 1970), or than so many ms after it was recorded.
    expires: int | None = None
    lasts: int | None = None
    #: For a worker of this version of the application, or a later one.
    min_version: int | None = None
    #: Of a callback: what became of the message with that id: "succeeded", "failed" or "done".
    outcome: str | None = None
    parent: str | None = None
    #: The name of the schedule that it comes from.
    series: str | None = None

    @property
    def title(self) -> str:
        """A short name for humans."""
        return f"{self.service}.{self.event}" + (f"/#{self.outcome}" if self.outcome else "")

    def to_data(self) -> dict[str, Any]:
        """What is stored; what says nothing is left out."""
        found = {name: getattr(self, name) for name in _NAMES}
        return {name: value for name, value in found.items() if value not in (None, [], {})}

    @classmethod
    def of(cls, data: Any) -> Message:
        """Read what :meth:`to_data` gave. Raises :class:`PayloadError`."""
        if not isinstance(data, dict) or not isinstance(data.get("service"), str):
            raise PayloadError("the stored item is no message of an outbox: it was put on this queue by something else")
        if not isinstance(data.get("event"), str) or data.get("kind") not in KINDS:
            raise PayloadError("the stored message names no event, or none of the known ways to deliver it")
        for name, kind in _KINDS.items():
            if name in data and not isinstance(data[name], kind):
                raise PayloadError(f"the stored message is damaged: {name} is {shown(data[name])}")
        return cls(**{name: value for name, value in data.items() if name in _NAMES})


_NAMES = tuple(field.name for field in fields(Message))
_KINDS: dict[str, type] = {
    "args": list, "kwargs": dict, "headers": dict, "claims": dict, "locale": str, "tenant": str,
    "expires": int, "lasts": int, "min_version": int, "outcome": str, "parent": str, "series": str,
}  # fmt: skip


def checked_headers(headers: Mapping[str, Any] | None) -> dict[str, Any]:
    """Headers as they are stored. Raises :class:`SpecError` on those that carry secrets."""
    return without_secrets("header", headers, _INSTEAD)


def checked_claims(claims: Mapping[str, Any] | None) -> dict[str, Any]:
    """What is kept of a user. Raises :class:`SpecError` when that carries secrets."""
    return without_secrets("claim", claims, _INSTEAD)
