"""Big jobs, split into small tasks on a durable queue: the public names."""

import logging

from .clock import travel
from .errors import (
    CallbackError,
    CallbackRefused,
    ConfigurationError,
    DatabaseBusy,
    DatabaseError,
    DatabaseFull,
    DatabaseReadOnly,
    DatabaseUnavailable,
    ExecutorLost,
    ItemNotFound,
    LeaseLost,
    NothingReady,
    NotSupported,
    OutcomeUnknown,
    PayloadError,
    PayloadTooNew,
    QueueNotActive,
    QueueNotFound,
    RunMovedOn,
    RunNotFound,
    ScheduleNotFound,
    SchemaError,
    SerializationError,
    SessionMismatch,
    SpecError,
    TaskFailed,
    TaskQueueError,
    TaskTimeout,
)
from .execution.attempt import Attempt
from .execution.context import TaskContext
from .execution.executors import open_executor
from .item import QueueItem
from .loop import LoopReport, run_items, run_loop
from .outcome import Outcome
from .queues.base import Batch, Queue
from .queues.batch import BatchQueue
from .queues.ended import DeadItem, Ending, Result
from .result import ErrorMode, Progress, RunResult
from .runner import Runner
from .schedules import Schedule
from .service import OptionsKept, QueueService, queue
from .storage.retention import Pruned
from .task import Task
from .verdicts import Later, Retry, Unrecoverable
from .worker import Worker, WorkerReport

# A library is silent unless the application asks for its log.
logging.getLogger(__name__).addHandler(logging.NullHandler())

__version__ = "0.1.0"
__all__ = [
    "Attempt",
    "Batch",
    "BatchQueue",
    "CallbackError",
    "CallbackRefused",
    "ConfigurationError",
    "DatabaseBusy",
    "DatabaseError",
    "DatabaseFull",
    "DatabaseReadOnly",
    "DatabaseUnavailable",
    "DeadItem",
    "Ending",
    "ErrorMode",
    "ExecutorLost",
    "ItemNotFound",
    "Later",
    "LeaseLost",
    "LoopReport",
    "NotSupported",
    "NothingReady",
    "OptionsKept",
    "Outcome",
    "OutcomeUnknown",
    "PayloadError",
    "PayloadTooNew",
    "Progress",
    "Pruned",
    "Queue",
    "QueueItem",
    "QueueNotActive",
    "QueueNotFound",
    "QueueService",
    "Result",
    "Retry",
    "RunMovedOn",
    "RunNotFound",
    "RunResult",
    "Runner",
    "Schedule",
    "ScheduleNotFound",
    "SchemaError",
    "SerializationError",
    "SessionMismatch",
    "SpecError",
    "Task",
    "TaskContext",
    "TaskFailed",
    "TaskQueueError",
    "TaskTimeout",
    "Unrecoverable",
    "Worker",
    "WorkerReport",
    "__version__",
    "open_executor",
    "queue",
    "run_items",
    "run_loop",
    "travel",
]
