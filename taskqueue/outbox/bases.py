"""Services that are outboxed unless the configuration says otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class MessagingService:
    """Base class of services that hand events to a broker; write :meth:`emit`."""

    outboxed: ClassVar[bool] = True

    def emit(self, event: str, data: Any = None, headers: Mapping[str, Any] | None = None) -> Any:
        """Hand an event to the broker."""
        raise NotImplementedError(f"{type(self).__name__} must say how it emits events")


class AuditLogService:
    """Base class of services that write an audit log; write :meth:`log`."""

    outboxed: ClassVar[bool] = True

    def log(self, event: str, data: Any = None) -> Any:
        """Write an entry."""
        raise NotImplementedError(f"{type(self).__name__} must say how it writes an entry")
