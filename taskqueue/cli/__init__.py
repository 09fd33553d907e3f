"""The command line: ``taskqueue``, or ``python -m taskqueue``."""

from .group import main

__all__ = ["main"]
