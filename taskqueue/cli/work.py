"""Serving queues in the background: ``work``."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

import click

from ..errors import ConfigurationError
from ..execution.calls import check_handler
from ..logs import JsonFormatter
from ..metrics import metrics_beside, share_with_children
from ..queues.batch import BatchQueue
from ..queues.sql_base import process
from ..worker import Worker, WorkerReport
from .options import allow_option, check_seconds, complete_queue, json_option
from .output import counted, one_line, print_json
from .service import Given, pass_given
from .signals import BY_SIGNAL
from .terminal_log import log_to_terminal
from .trust import require_allowed

_SIZE = re.compile(r"(\d+)\s*([kmg]?)b?", re.IGNORECASE)
_FACTORS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30}


def _bytes(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    if value is None:
        return None
    found = _SIZE.fullmatch(value.strip())
    if not found or not int(found[1]):
        raise click.BadParameter(f"{value!r} is no amount of memory: write it as 300M or 2G", ctx, param)
    return int(found[1]) * _FACTORS[found[2].lower()]


@click.command("work")
@click.argument("names", metavar="[QUEUE]...", nargs=-1, shell_complete=complete_queue)
@click.option("--processes", type=click.IntRange(1, 1000), default=1, show_default=True, help="Work in so many "
              "processes.")  # fmt: skip
@click.option("--threads", type=click.IntRange(1, 1000), default=1, show_default=True, help="In each process execute "
              "so many items at a time. With one, a task that exceeds its queue's lease_time is ended.")  # fmt: skip
@click.option("--prefetch", type=click.IntRange(min=1), help="Lease at most so many items ahead; 1: none.")
@click.option("--grouped", is_flag=True, help="Commit completions in groups: faster for quick tasks that may be "
              "repeated after a crash.")  # fmt: skip
@click.option(
    "--executor", metavar="NAME", help="Hand the calls to processes:N, dask://HOST:PORT, or MODULE:ATTRIBUTE."
)
@click.option("--once", is_flag=True, help="Execute one item, if there is one, and end.")
@click.option("--drain", is_flag=True, help="End when the queues are empty; leased items and retries are waited for, "
              "items that somebody delayed are not.")  # fmt: skip
@click.option("--max-items", type=click.IntRange(min=1), help="End after so many items.")
@click.option("--max-seconds", type=float, callback=check_seconds, help="Begin no item after so many seconds.")
@click.option("--max-memory", metavar="SIZE", callback=_bytes, help="Replace a process that uses more, such as 300M.")
@click.option("--metrics-port", type=click.IntRange(0, 65535), help="Show metrics for Prometheus there.")
@click.option("--metrics-host", default="127.0.0.1", show_default=True, help="The address of that port.")
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How lines "
              "of the log are written to stderr.")  # fmt: skip
@click.option("--grace", type=float, callback=check_seconds, default=30.0, show_default=True, help="After Ctrl-C or "
              "SIGTERM, let the items in hand go on for so many seconds before they are given back.")  # fmt: skip
@json_option
@allow_option
@pass_given
def work(
    given: Given, names: tuple[str, ...], processes: int, threads: int, prefetch: int | None, grouped: bool,
    executor: str | None, once: bool, drain: bool, max_items: int | None, max_seconds: float | None,
    max_memory: int | None, metrics_port: int | None, metrics_host: str, log_format: str, grace: float, as_json: bool,
    allow: tuple[str, ...],
) -> None:  # fmt: skip
    """Serve queues in the background: those that are named, else all active ones with agent="server".

    Any number of workers on any number of hosts may serve the same queues; sequential queues stay sequential. Ctrl-C
    or SIGTERM ends it in good order: no item is begun any more, those in hand may be finished; a second one, or the end
    of the grace period, gives them back. With --drain the exit code is 1 when a queue is left with items because it is
    aborted, paused or a draft; with --drain and --once also when this application cannot serve one that has items.

    \b
    Examples:
      taskqueue --app myapp.jobs:service work
      taskqueue --app myapp.jobs:service work mail import --processes 4
      taskqueue work import --allow myapp --drain        from cron; overlapping starts do no harm
    """
    if metrics_port is not None:
        share_with_children()  # before the application is imported, which may use the same library
    if log_format == "json":
        given.log_formatter = JsonFormatter()
    given.allow(allow)
    # Where an application is deployed, its workers may be there before its first item, and make the database.
    if given.missing_file is not None and not given.is_of_code and not given.service.local_queues():
        raise ConfigurationError(
            f"there is no database file {given.missing_file}, because no queue was ever made there: if yours are "
            "elsewhere, name the database by --database or --app"
        )
    queues = [given.queue(name) for name in names] or [
        queue for queue in given.queues() if given.service.serves(queue.name, queue.spec.payload)
    ]
    require_allowed(queue for queue in queues if names or queue.spec.agent == "server")
    process.program = "taskqueue work"
    log_to_terminal()
    worker = Worker(
        given.service, names or None, threads=threads, processes=processes, prefetch=prefetch, grouped=grouped,
        executor=executor, grace=grace, max_items=max_items, max_seconds=max_seconds, max_memory=max_memory,
    )  # fmt: skip
    if not (once or drain or as_json):
        number = "one process" if processes == 1 else f"{processes} processes"
        click.echo(f"Serving {_what(queues, names)} with {number}", err=True)
    outbox = given.service.settings.outbox
    if outbox is not None and outbox.has_tenants and not (once or as_json):
        click.echo(
            "Not served: the tenants of the outbox, which have databases of their own; TenantWorkers(outbox) serves "
            "them, 'taskqueue outbox flush' delivers for them once",
            err=True,
        )
    with _metrics(given, metrics_host, metrics_port):
        _work(worker, once=once, drain=drain, as_json=as_json)
    wanted = [queue for queue in queues if names or queue.spec.agent == "server"]
    refused = _refused(given, wanted, executor is not None) if once or drain else ""
    inactive = _inactive(wanted) if drain else ""
    for sentence in filter(None, (refused, inactive)):
        click.echo(sentence, err=True)
    if refused or inactive:
        raise click.exceptions.Exit(1)


@contextmanager
def _metrics(given: Given, host: str, port: int | None) -> Iterator[None]:
    if port is None:
        yield
        return
    with metrics_beside(given.service, port, host=host) as taken:
        click.echo(f"Metrics on http://{host}:{taken}/metrics", err=True)
        yield


def _what(queues: list[BatchQueue], names: tuple[str, ...]) -> str:
    if names:
        return one_line(", ".join(names))
    served = [queue.name for queue in queues if queue.spec.agent == "server"]
    return f"all queues with agent=server (now {one_line(', '.join(served)) or 'none'})"


def _refused(given: Given, queues: Sequence[BatchQueue], by_executor: bool) -> str:
    """Whoever waits for the end, as cron does, must hear that a queue could not be served here; "" if all could."""
    left = [
        f"{refusal} ({counted(number, 'item')} left)"
        for queue in queues
        if (refusal := _refusal(given, queue, by_executor)) and (number := queue.number_of_items())
    ]
    return f"Not served: {'; '.join(left)}." if left else ""


def _refusal(given: Given, queue: BatchQueue, by_executor: bool) -> str:
    """Why no worker of this application can serve the queue; "" if they can."""
    if not given.service.serves(queue.name, queue.spec.payload):
        return f"queue {queue.name!r} belongs to another application"
    try:
        check_handler(queue, by_executor=by_executor)
    except ConfigurationError as error:
        return str(error)
    return ""


def _inactive(queues: Sequence[BatchQueue]) -> str:
    """The same of those that are not active."""
    left = [
        f"queue {queue.name!r} is {status} and has {counted(number, 'item')} left"
        for queue in queues
        if (status := queue.status) not in ("active", "deleted") and (number := queue.number_of_items())
    ]
    return f"Not served: {'; '.join(left)}. See 'taskqueue show', 'retry', 'skip' and 'resume'." if left else ""


def _once(worker: Worker) -> WorkerReport:
    return WorkerReport(1, "spent") if worker.run_once() else WorkerReport(0, "nothing")


def _work(worker: Worker, *, once: bool, drain: bool, as_json: bool) -> None:
    signals: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        signals.append(number)
        worker.stop(now=len(signals) > 1)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        report = _once(worker) if once else worker.drain() if drain else worker.run()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if as_json:
        print_json({"executed": report.executed, "ended_by": report.ended_by})
    elif not once:
        click.echo(f"Ended ({report.ended_by}) after {counted(report.executed, 'item')}.", err=True)
    if len(signals) > 1 or signals[:1] == [signal.SIGINT]:
        raise click.exceptions.Exit(BY_SIGNAL + signals[-1])
