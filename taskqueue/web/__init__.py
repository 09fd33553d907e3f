"""The pages in a Flask application, and doors for programs: ``from taskqueue.web import TaskQueue, Webservice``."""

from .extension import TaskQueue
from .webservice import Webservice

__all__ = ["TaskQueue", "Webservice"]
