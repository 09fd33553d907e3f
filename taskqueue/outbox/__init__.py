"""The outbox: services whose calls are recorded in the caller's transaction and made after its commit."""

from ..retries import CAP, DEFAULT, RetryPolicy
from ..verdicts import Later, Retry, Unrecoverable
from .bases import AuditLogService, MessagingService
from .context import MessageContext, current_message
from .dead import DeadMessage
from .handlers import after, handles, on
from .inbox import Inbox
from .mapped import StoredMessage
from .options import ServiceOptions
from .outbox import Outbox, queued, schedule, unqueued, unschedule
from .reference import MessageRef
from .series import Plan

__all__ = [
    "CAP",
    "DEFAULT",
    "AuditLogService",
    "DeadMessage",
    "Inbox",
    "Later",
    "MessageContext",
    "MessageRef",
    "MessagingService",
    "Outbox",
    "Plan",
    "Retry",
    "RetryPolicy",
    "ServiceOptions",
    "StoredMessage",
    "Unrecoverable",
    "after",
    "current_message",
    "handles",
    "on",
    "queued",
    "schedule",
    "unqueued",
    "unschedule",
]
