"""The runner: processes a queue once, to its end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from . import callbacks
from .drive import Drive
from .errors import ConfigurationError, NotSupported, PayloadError, QueueNotActive, RunMovedOn, SpecError
from .queues.batch import BatchQueue
from .queues.sql_base import SqlBase, process
from .remaining import Remaining
from .result import ErrorMode, RunResult, Watcher
from .runs.look import Look
from .runs.recorder import Recorder
from .runs.state import BUTTONS, Definition, RunState
from .runs.store import Runs
from .signals import run_finished, run_started
from .spec import shown

#: So often a run is joined that others just end, while they begin new ones again and again.
_TRIES = 10
#: Seconds for which a terminal counts as driving after its latest sign of life.
_LASTING = 10.0
_NO_PAGE = (
    "this process serves no progress page: install it with taskqueue.web.TaskQueue(app, service), or run the queue "
    "with run_all() or 'taskqueue run'"
)


class Runner:
    """Processes one queue to its end.

    Arguments:
        queue: the queue.
        title: a heading for the human who watches.
        error_mode: :class:`ErrorMode` for this run; None: follows the queue's ``error`` option.
        on_end: importable callback, called ``on_end(ctx)`` once, after the last item, in every mode.
        on_end_url: where a browser goes then.
        is_minimal: the page is shown without the application's own frame.
        buttons: those of "retry", "skip", "abort" that the page offers.

    Raises :class:`CallbackError` and :class:`SpecError` on unusable arguments.
    """

    ERROR_CONTINUE = ErrorMode.CONTINUE
    ERROR_ABORT = ErrorMode.ABORT

    def __init__(
        self,
        queue: BatchQueue,
        *,
        title: str = "Queue Runner",
        error_mode: ErrorMode | None = None,
        on_end: Callable[..., Any] | str | tuple[str, str] | None = None,
        on_end_url: str | None = None,
        is_minimal: bool = False,
        buttons: Sequence[str] = BUTTONS,
    ) -> None:
        if not isinstance(queue, BatchQueue):
            raise SpecError(f"a Runner takes a queue, not {shown(queue)}: make one with service.create()")
        if error_mode is not None and not isinstance(error_mode, ErrorMode):
            raise SpecError(f"error_mode must be ErrorMode.ABORT, ErrorMode.CONTINUE or None, not {shown(error_mode)}")
        if isinstance(buttons, str) or set(buttons) - set(BUTTONS):
            raise SpecError(f"buttons must be some of {', '.join(BUTTONS)}, not {shown(buttons)}")
        self.queue = queue
        self.title = title
        self.error_mode = error_mode
        self.on_end = callbacks.name_of(on_end) if on_end is not None else None
        if self.on_end is not None:
            callbacks.remember(self.on_end)
        self.on_end_url = on_end_url
        self.is_minimal = is_minimal
        self.buttons = tuple(buttons)
        self._mode = "web"
        self._run_id: str | None = None
        self._latest_run_id: str | None = None
        self._stop = threading.Event()
        self._is_aborted = False

    @classmethod
    def of_run(cls, queue: BatchQueue, run: RunState) -> Runner:
        """The runner that carries on a run of ``queue``. Raises :class:`PayloadError` on one that was tampered with."""
        if run.damage:
            raise PayloadError(f"run {run.id} cannot be carried on: {run.damage}")
        definition = run.definition
        mode = ErrorMode[definition.error_mode.upper()] if definition.error_mode else None
        runner = cls(
            queue, title=definition.title, error_mode=mode, on_end_url=definition.on_end_url,
            is_minimal=definition.is_minimal, buttons=definition.buttons,
        )  # fmt: skip
        runner.on_end = definition.on_end  # as stored: whether it may run is decided when it does
        runner._mode = definition.mode
        runner._run_id = run.id
        return runner

    def begin_anew(self) -> None:
        """Let :meth:`run_all` begin a run of its own, whatever stands open."""
        self._run_id = ""  # names no run that could be carried on

    # --- to the end ---

    def run_all(self, wait: float | None = None, progress: Watcher | None = None) -> RunResult:
        """Run the queue to its end. A run that was begun with the same definition, and not ended, is carried on.

        Arguments:
            wait: seconds to wait, without an item being run, for those that are leased by others or delayed;
                None: as long as it takes; 0: return at once.
            progress: called with a :class:`Progress` before and after each item and when a task reports.

        Raises :class:`QueueNotActive` when the queue is paused or a draft.
        """
        if wait is not None and (isinstance(wait, bool) or not isinstance(wait, (int, float)) or not wait >= 0):
            raise SpecError(f"wait must be seconds or None, not {shown(wait)}")
        self._open()
        run_started.answers(self)
        result = RunResult()
        try:
            with ExitStack() as stack:
                stack.callback(self.queue.store_counts, at_once=True)
                recorder = self._make_recorder()
                drive = self._drive(progress, stack.enter_context(recorder) if recorder is not None else None)
                result = drive.result
                return drive.to_the_end(wait)
        finally:
            if self._is_aborted:  # that was about this run; the next one may go
                self._is_aborted = False
                self._stop.clear()
            run_finished.answers(self, result=result)

    @property
    def run_id(self) -> str | None:
        """The run that the latest :meth:`run_all` was; None for a queue that no page could show."""
        return self._latest_run_id

    def stop(self) -> None:
        """Ask a run (from another thread, or a signal handler) to end after the item in hand; no item is lost."""
        self._stop.set()

    # --- step by step ---

    def run_next(self, use_steal: bool = False) -> RunResult:
        """Run one item; with ``use_steal`` also one that somebody else holds."""
        self._open()
        return self._drive().one(use_steal)

    def skip_next(self, use_steal: bool = False) -> RunResult:
        """Remove the next item without running it, on record."""
        self._open()
        return self._drive().skip(use_steal)

    def handle_end(self) -> RunResult:
        """Call ``on_end``, as :meth:`run_all` does after the last item."""
        return self._drive().end()

    # --- elsewhere ---

    def run_all_via_web(self, start: bool = True) -> Any:
        """Show the run on its progress page.

        Arguments:
            start: True: the run is running at once (somebody has just pressed a button); False: it waits for Start.

        Returns, inside a request, a redirect to the page; outside one, its URL.
        Raises :class:`NotSupported` for queues of this process only, :class:`QueueNotActive` when the queue is paused
        or a draft, and :class:`ConfigurationError` when no page is installed.
        """
        queue = self._stored_queue("a page may be answered")
        if queue.settings.pages is None:
            raise ConfigurationError(_NO_PAGE)
        self._mode = "web"
        self._open(resume=start)
        answer = queue.settings.pages(self, start)
        if start:
            run_started.answers(self)
        return answer

    def run_all_via_background(self) -> Any:
        """Let workers run the queue; its page, if there is one, shows how far they are.

        An open run of this definition (and of this user) is carried on. ``on_end`` is called by a worker, after the
        last item.

        Returns what :meth:`run_all_via_web` returns; where no page is installed, the id of the run.
        Raises :class:`NotSupported` for queues of this process only, :class:`QueueNotActive` when the queue is paused
        or a draft, and :class:`SpecError` when no worker would serve the queue, or not in this run's error mode.
        """
        queue = self._stored_queue("it would be served")
        if (obstacle := self._obstacle()) is not None:
            raise SpecError(obstacle)
        self._mode = "background"
        self._open()
        if queue.settings.pages is not None:
            answer = queue.settings.pages(self, True)
        else:
            answer = Runs.of(queue).carry_on(queue, self.definition, self._run_id).id
        run_started.answers(self)
        return answer

    def run_all_interactive(self) -> Any:
        """In the background if a worker that is alive serves the queue, else on its progress page.

        Returns, and raises, what :meth:`run_all_via_background` or :meth:`run_all_via_web` does.
        """
        queue = self._stored_queue("a page may be answered")
        is_for_workers = self._obstacle() is None
        if is_for_workers and queue.database.statement(Look(queue).is_served, write=False):
            return self.run_all_via_background()
        if is_for_workers and queue.settings.pages is None:
            start = f"start one with 'taskqueue work {queue.name}'"
            raise ConfigurationError(f"no worker serves queue {queue.name!r} ({start}), and {_NO_PAGE}")
        return self.run_all_via_web()

    def _stored_queue(self, why: str) -> SqlBase:
        queue = self.queue
        if not isinstance(queue, SqlBase) or not queue.spec.is_persistent:
            raise NotSupported(
                f"queue {queue.name!r} lives in this process only, and {why} by another: "
                "use a registered queue of type Sql or SqlParallel"
            )
        return queue

    def _obstacle(self) -> str | None:
        """Why workers cannot do what this runner asks for; None: they can."""
        queue = self.queue
        if queue.spec.agent != "server":
            return (
                f"queue {queue.name!r} has agent={queue.spec.agent!r}, so that no worker looks for it: "
                f"say queue.update(agent='server', error={self.policy!r}), or run it with run_all_via_web()"
            )
        if self.policy != queue.spec.policy:
            return (
                f"workers follow the queue's error option, which is {queue.spec.policy!r}, and this run asks for "
                f"{self.error_mode}: leave error_mode out, or say queue.update(error={self.policy!r})"
            )
        return None

    # --- for those who drive ---

    def finish(self, recorder: Recorder) -> RunResult:
        """The queue was drained by workers: carry out the last step of their run, whose record ``recorder`` keeps."""
        result = self._drive(None, recorder).end()
        if recorder.has_completed:
            run_finished.answers(self, result=result)
        return result

    @property
    def definition(self) -> Definition:
        """What is stored of this runner in the record of its run."""
        mode = self.error_mode.name.lower() if self.error_mode is not None else None
        return Definition(
            str(self.title), mode, self.on_end, self.on_end_url, bool(self.is_minimal), self.buttons, self._mode
        )  # fmt: skip

    def run_slice(self, seconds: float, recorder: Recorder, remaining: Remaining) -> RunResult:
        """Drive for about so many seconds, as the page does; ``recorder`` keeps the record."""
        pace = recorder.state.pace if recorder.state is not None else None
        result = self._drive(None, recorder, pace, remaining).slice(seconds)
        if result:
            run_finished.answers(self, result=result)
            self.queue.store_counts(at_once=True)  # the next slice in this process may be long in coming
        return result

    @property
    def policy(self) -> str:
        """What becomes of an item that used up its attempts: "abort", "delete" or "dead"."""
        wanted = self.queue.spec.policy
        if self.error_mode is ErrorMode.ABORT:
            return "abort"
        if self.error_mode is ErrorMode.CONTINUE:
            return "dead" if wanted == "dead" else "delete"
        return wanted

    def _drive(
        self,
        watcher: Watcher | None = None,
        recorder: Recorder | None = None,
        pace: float | None = None,
        remaining: Remaining | None = None,
    ) -> Drive:
        return Drive(
            self.queue, policy=self.policy, stop=self._stop, on_end=self.on_end, on_end_url=self.on_end_url,
            watcher=watcher, recorder=recorder, pace=pace, remaining=remaining,
        )  # fmt: skip

    def _open(self, *, resume: bool = True) -> None:
        status = self.queue.status
        if status in ("paused", "draft"):
            raise QueueNotActive(
                f"queue {self.queue.name!r} is {status}: set it active (queue.set_status('active'), "
                f"'taskqueue resume {self.queue.name}') before it is run"
            )
        if status in ("aborted", "completed") and resume:
            self.queue.set_status("active")
        if resume and not self.queue.is_active():
            raise QueueNotActive(f"queue {self.queue.name!r} is {self.queue.status} and held back: it cannot be run")

    def _aborted(self) -> None:
        self._is_aborted = True
        self.stop()

    def _make_recorder(self) -> Recorder | None:
        """Keeps the record of this run; None for a queue that no page could show."""
        queue = self.queue
        if not isinstance(queue, SqlBase) or not queue.spec.is_persistent:
            return None
        store = Runs.of(queue)
        for _time in range(_TRIES):
            run = store.carry_on(queue, self.definition, self._run_id)
            self._latest_run_id = run.id
            recorder = Recorder(
                store, queue, run.id, driver=f"{process.token}.{id(self):x}", label=process.label, lasting=_LASTING,
                on_stop=self._aborted,
            )  # fmt: skip
            if recorder.take(by_force=True):
                return recorder
        raise RunMovedOn("the run has ended while it was about to be carried on")
