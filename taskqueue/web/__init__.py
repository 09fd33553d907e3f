"""The pages in a Flask application, ``from taskqueue.web import TaskQueue``, and the API of its operations."""

from .extension import TaskQueue
from .operations_api import OperationsApi

__all__ = ["OperationsApi", "TaskQueue"]
