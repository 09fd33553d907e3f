"""Every error that this package raises on purpose, in one tree.

The message of an error is one sentence for a human: what was wrong, where, and what to do about it.
Errors of a database driver are translated at the border (``storage.faults``); the original stays
reachable as ``__cause__``.
"""


class TaskQueueError(Exception):
    """The root of the tree: catch this to catch everything of ours."""


# --- what the caller got wrong -----------------------------------------------------------------


class SpecError(TaskQueueError, ValueError):
    """A queue option, a queue name or an argument of an item has a wrong name, type or range."""


class QueueNotFound(TaskQueueError, LookupError):
    """No queue of that name is registered."""


class ItemNotFound(TaskQueueError, LookupError):
    """No item (or dead letter) with that id stands in the queue."""


class ScheduleNotFound(TaskQueueError, LookupError):
    """No schedule of that name is on record."""


class RunNotFound(TaskQueueError, LookupError):
    """No run of that id is on record."""


class CallbackError(TaskQueueError, ValueError):
    """The callback of a task cannot be stored by name: a lambda, a closure, a bound method and the like."""


class SerializationError(TaskQueueError, ValueError):
    """A value cannot be stored; the message names the path to it, as ``args[1]["x"]``."""


class NotSupported(TaskQueueError):
    """This type of queue cannot do that; the message names one that can."""


class ConfigurationError(TaskQueueError):
    """The service or the process lacks a setting that the call needs."""


# --- what stands in the way of executing an item -------------------------------------------------


class PayloadError(TaskQueueError):
    """A stored item cannot be read: damaged, altered, or its signature does not fit."""


class PayloadTooNew(PayloadError):
    """A newer release stored the item; it is left for a worker that knows the format."""


class CallbackRefused(TaskQueueError):
    """A stored callback may not run here, or no longer exists."""


class TaskFailed(TaskQueueError):
    """A task failed without an exception of its own: it returned ``False``, or its workers were lost."""


class TaskTimeout(TaskFailed):
    """A task took longer than the queue's ``lease_time`` without reporting."""


class ExecutorLost(TaskQueueError):
    """The engine that executed a task for us has lost its process or host; the task did not fail."""


class LeaseLost(TaskQueueError):
    """The caller no longer holds the item: its fence has moved on, or it is gone. Nothing was changed."""

    #: The item that was lost, where it is known.
    item: object = None


class QueueNotActive(TaskQueueError):
    """The status of the queue (``paused``, ``draft``) forbids to run it."""


class NothingReady(TaskQueueError):
    """Items stand in the queue, but none can be claimed now: they are held by others, or delayed."""


class RunMovedOn(TaskQueueError):
    """What was asked of a run no longer fits: it, or the item that was named, has moved on. Nothing was changed."""


# --- the database ------------------------------------------------------------------------------


class DatabaseError(TaskQueueError):
    """The database refused a statement for a reason that has no class of its own below."""


class DatabaseUnavailable(DatabaseError):
    """The database cannot be reached, or stayed away for longer than the retries last."""


class DatabaseBusy(DatabaseUnavailable):
    """Others held the rows or the file for longer than the retries last."""


class DatabaseReadOnly(DatabaseError):
    """The database, or the file it lives in, cannot be written."""


class DatabaseFull(DatabaseError):
    """The disk of the database is full; nothing was stored."""


class SchemaError(DatabaseError):
    """Our tables are missing or of another release; ``taskqueue db upgrade`` is the usual remedy."""


class OutcomeUnknown(DatabaseError):
    """The connection was lost at a commit, and reading back could not tell whether it took place."""


class SessionMismatch(TaskQueueError):
    """The ``session=`` that was given works on another database than the queue."""
