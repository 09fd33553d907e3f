"""The pages in a Flask application: ``from taskqueue.web import TaskQueue``."""

from .extension import TaskQueue

__all__ = ["TaskQueue"]
