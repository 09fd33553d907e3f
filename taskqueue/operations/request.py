"""What is stored of a call until it is executed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from ..errors import PayloadError, SerializationError
from ..payload import Codec
from .problems import InvalidData
from .users import User


@dataclass(frozen=True)
class Request:
    """The data of a call, as JSON, and in whose name it was made."""

    data: Any
    user: User

    @property
    def fingerprint(self) -> str:
        """Tells whether two requests ask for the same."""
        text = json.dumps(self.data, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def to_data(self) -> dict[str, Any]:
        """What is stored: no session, no token, nothing of the request but this."""
        user = self.user
        return {
            "data": self.data, "user": user.id, "roles": sorted(user.roles), "claims": dict(user.claims),
            "locale": user.locale, "admin": user.is_admin,
        }  # fmt: skip

    def packed(self, codec: Codec, queue_name: str, call_id: str) -> str:
        """The stored text. Raises :class:`InvalidData` when the data are too large for that."""
        try:
            return codec.pack(self.to_data(), queue_name, call_id)
        except SerializationError as error:  # its parts have been looked at before
            raise InvalidData(f"the data are too large to be stored: {error}") from None

    @classmethod
    def of(cls, stored: Any) -> Request:
        """Read what :meth:`to_data` gave. Raises :class:`PayloadError`."""
        try:
            user = User(
                stored["user"], frozenset(stored["roles"]), stored["admin"] is True, claims=stored["claims"],
                locale=stored["locale"],
            )  # fmt: skip
            return cls(stored["data"], user)
        except (TypeError, KeyError, ValueError) as error:
            raise PayloadError("the stored request is damaged, or was written by something else") from error
