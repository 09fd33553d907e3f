"""Telling Ctrl-C from what the user's code raises by itself."""

from __future__ import annotations

import threading


def let_interrupt_pass(error: BaseException) -> None:
    """Raise ``error`` again if it is Ctrl-C, which is meant for whoever waits in a terminal.

    Python interrupts the main thread alone. In any other one a KeyboardInterrupt is of the user's code, as everywhere
    SystemExit, CancelledError and the timeouts of some libraries are, which are no :class:`Exception` either: the code
    has failed, and whoever called it goes on.
    """
    if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
        raise error
