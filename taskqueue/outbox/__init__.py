"""The outbox: services whose calls are recorded in the caller's transaction and made after its commit."""

from .bases import AuditLogService, MessagingService
from .context import MessageContext, current_message
from .handlers import after, handles, on
from .options import ServiceOptions
from .outbox import Outbox, queued, schedule, unqueued, unschedule
from .policy import CAP, DEFAULT, RetryPolicy
from .reference import MessageRef
from .series import Plan

__all__ = [
    "CAP",
    "DEFAULT",
    "AuditLogService",
    "MessageContext",
    "MessageRef",
    "MessagingService",
    "Outbox",
    "Plan",
    "RetryPolicy",
    "ServiceOptions",
    "after",
    "current_message",
    "handles",
    "on",
    "queued",
    "schedule",
    "unqueued",
    "unschedule",
]
