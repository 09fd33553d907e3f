"""Operations: named calls that are made now, or deferred with a tracking id under which state and result are read."""

from ..retries import RetryPolicy
from .answers import UnexpectedAnswer
from .call import FINAL, STATES, Call, Progress
from .client import Client
from .context import OperationContext
from .definition import Operation
from .limits import Limits
from .operations import Operations
from .problems import (
    AccessDenied,
    CallGone,
    CallNotFound,
    InvalidData,
    KeyReused,
    NotFinished,
    NotIdempotent,
    NotPossible,
    NotQueueable,
    OperationError,
    OperationFailed,
    StillRunning,
    TooManyCalls,
    UnknownOperation,
)
from .results import File
from .transport import NoAnswer
from .users import User

__all__ = [
    "FINAL",
    "STATES",
    "AccessDenied",
    "Call",
    "CallGone",
    "CallNotFound",
    "Client",
    "File",
    "InvalidData",
    "KeyReused",
    "Limits",
    "NoAnswer",
    "NotFinished",
    "NotIdempotent",
    "NotPossible",
    "NotQueueable",
    "Operation",
    "OperationContext",
    "OperationError",
    "OperationFailed",
    "Operations",
    "Progress",
    "RetryPolicy",
    "StillRunning",
    "TooManyCalls",
    "UnexpectedAnswer",
    "UnknownOperation",
    "User",
]
