"""Opening an executor by a text, as the command line names it."""

from __future__ import annotations

import importlib
import queue
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future
from typing import TYPE_CHECKING, Any

from ..errors import ConfigurationError

if TYPE_CHECKING:
    from concurrent.futures import ProcessPoolExecutor

#: Seconds to wait for a scheduler to answer.
_PATIENCE = 10


def open_executor(text: str) -> Executor:
    """The executor that ``text`` names; whoever opens it shuts it down (it is a context manager).

    Arguments:
        text: ``processes:4`` for so many processes of this host, each replaced when it dies;
            ``dask://host:8786`` for a Dask scheduler; ``package.module:attribute`` for an executor of your own, or a
            function that makes one.

    Raises :class:`ConfigurationError` when there is no such thing, or it cannot be reached.
    """
    if text.startswith("dask://"):
        return Dask(f"tcp://{text.removeprefix('dask://')}")
    kind, _, name = text.partition(":")
    if kind == "processes":
        if not name.isdecimal() or not 0 < int(name) <= 1000:
            raise ConfigurationError(f"an executor of processes is named as processes:4, not {text!r}")
        return Processes(int(name))
    return _own(text, kind, name)


class Processes(Executor):
    """Processes of this host, each a pool of its own: one that dies takes no other task with it, and is replaced."""

    def __init__(self, number: int) -> None:
        self._free: queue.SimpleQueue[ProcessPoolExecutor] = queue.SimpleQueue()
        self._number = number
        for _number in range(number):
            self._free.put(_one_process())

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """As :meth:`Executor.submit`; waits for a free process."""
        pool = self._free.get()
        try:
            future = pool.submit(fn, *args, **kwargs)
        except BrokenExecutor:  # its process has died
            pool.shutdown(wait=False)
            self._free.put(_one_process())
            return self.submit(fn, *args, **kwargs)
        except BaseException:
            self._free.put(pool)
            raise
        future.add_done_callback(lambda _done: self._free.put(pool))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """As :meth:`Executor.shutdown`; waits for what is in hand in any case."""
        for _number in range(self._number):
            self._free.get().shutdown(wait, cancel_futures=cancel_futures)


def _one_process() -> ProcessPoolExecutor:
    # Loaded only where it is used: it takes memory in each worker.
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    # Not forked: threads are running, and what they hold locked would stay locked in the child.
    return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))


class Dask(Executor):
    """The workers of a Dask scheduler, whose own retries are off: the queue decides what is tried again."""

    def __init__(self, address: str) -> None:
        try:
            distributed = importlib.import_module("distributed")
        except ImportError as error:
            raise ConfigurationError("dask:// needs the package distributed: install taskqueue-runner[dask]") from error
        try:
            self._client = distributed.Client(address, timeout=_PATIENCE, set_as_default=False)
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"no Dask scheduler answers at {address}: {error}") from error
        self._executor: Executor = self._client.get_executor(retries=0, pure=False)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """As :meth:`Executor.submit`."""
        return self._executor.submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """As :meth:`Executor.shutdown`; the scheduler and its workers stay."""
        self._executor.shutdown(wait)
        self._client.close()


def _own(text: str, module: str, attribute: str) -> Executor:
    if not all(part.isidentifier() for part in [*module.split("."), attribute]):
        raise ConfigurationError(
            f"an executor is named as processes:4, dask://host:8786 or package.module:attribute, not {text!r}"
        )
    try:
        found = getattr(importlib.import_module(module), attribute)
        executor = found() if callable(found) and not isinstance(found, Executor) else found
    except Exception as error:  # the user's code may raise anything
        raise ConfigurationError(
            f"the executor {text!r} cannot be had, it raises {type(error).__name__}: {error}"
        ) from error
    if not isinstance(executor, Executor):
        raise ConfigurationError(f"{text!r} is of type {type(executor).__name__}, and no concurrent.futures.Executor")
    return executor
