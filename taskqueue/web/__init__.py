"""The pages in a Flask application, and doors for programs: ``from taskqueue.web import TaskQueue, OperationsApi``."""

from .extension import TaskQueue
from .operations_api import OperationsApi
from .webservice import Webservice

__all__ = ["OperationsApi", "TaskQueue", "Webservice"]
