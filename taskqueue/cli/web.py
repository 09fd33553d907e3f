"""The progress pages without an application: ``web``."""

from __future__ import annotations

from typing import Any

import click

from ..errors import ConfigurationError
from ..queues.sql_base import SqlBase, process
from ..storage.faults import masked
from ..web.alone import Alone
from .options import allow_option, check_seconds, json_option
from .output import one_line, print_json
from .serve import address_of, is_private, listen, serve, web_server
from .service import Given, pass_given
from .signals import BY_SIGNAL
from .terminal_log import log_to_terminal
from .trust import require_allowed


@click.command("web")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, show_default=True, help="The port; 0: any free one.")
@click.option("--expose", is_flag=True, help="Permit a --host that other machines reach. The traffic is not encrypted.")
@click.option("--url-prefix", default="", metavar="PATH", help="What stands before all addresses, such as /queue.")
@click.option("--mode", type=click.Choice(["auto", "inline", "observe"]), default="auto", show_default=True,
              help="Where tasks run: in a thread, in the request that drives, or elsewhere only.")  # fmt: skip
@click.option("--read-only", is_flag=True, help="Pages only show; nobody can do anything.")
@click.option("--grace", type=float, callback=check_seconds, default=10.0, show_default=True, help="After Ctrl-C or "
              "SIGTERM, let the items in hand go on for so long.")  # fmt: skip
@json_option
@allow_option
@pass_given
def serve_pages(
    given: Given, host: str, port: int, expose: bool, url_prefix: str, mode: str, read_only: bool, grace: float,
    as_json: bool, allow: tuple[str, ...],
) -> None:  # fmt: skip
    """Show the queues and runs of a database in the browser, and handle them there.

    For people without an application: the dashboard, and the list of runs. The link that is printed signs one browser
    in; press Enter for another one. Whoever has come by such a link may see and handle everything, and run queues that
    nobody runs.

    \b
    Examples:
      taskqueue --app myapp.jobs:service web
      taskqueue --database sqlite:////srv/myapp/queue.db web --allow myapp --port 8080
      taskqueue web --read-only
    """
    web_server()  # if it is missing, that is what has to be said first
    _check_host(host, expose)
    if given.missing_file is not None:
        raise ConfigurationError(
            f"there is no database file {given.missing_file}: name the database by --database or --app"
        )
    given.allow(allow)
    process.program = "taskqueue web"
    if mode != "observe" and not read_only:
        queues = (queue for queue in given.queues() if isinstance(queue, SqlBase))
        require_allowed(queues, "; or only watch, with --mode observe or --read-only")
    with listen(host, port) as listener:
        pages = _make_pages(
            given, mode=mode, read_only=read_only, url_prefix=url_prefix, grace=grace,
            cookie=f"taskqueue_{listener.getsockname()[1]}",
        )  # fmt: skip
        address = address_of(listener)
        if not as_json:
            click.echo(f"Showing the queues of {one_line(masked(given.service.database.url))} on {address}")
        log_to_terminal()
        signal = serve(
            pages, listener, grace=grace, tell=lambda: _tell(address + pages.login_path(), as_json), stopping=_stopping
        )
    raise click.exceptions.Exit(BY_SIGNAL + signal)


def _check_host(host: str, expose: bool) -> None:
    if is_private(host):
        return
    if not expose:
        raise ConfigurationError(
            f"--host {host} can be reached by other machines, and the traffic is not encrypted: say --expose if it is "
            "meant so, or leave --host out and come through ssh -L or a proxy with https"
        )
    click.echo(
        "Warning: other machines can reach these pages, and the traffic is not encrypted: whoever reads it can do "
        "all that you can",
        err=True,
    )


def _make_pages(given: Given, **options: Any) -> Alone:
    try:
        return Alone(given.service, around=given.around, **options)
    except ConfigurationError as error:
        raise ConfigurationError(str(error).replace("TASKQUEUE_URL_PREFIX", "--url-prefix")) from error


def _tell(link: str, as_json: bool) -> None:
    if as_json:
        print_json({"url": link})
    else:
        click.echo(f"Open this link; it works once:\n\n    {link}\n\nEnter: a new link. Ctrl-C: the end.")


def _stopping() -> None:
    click.echo("Stopping after the items in hand; once more, or after the grace period: at once", err=True)
