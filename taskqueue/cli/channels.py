"""Messages of channels: ``channels list|subscriptions|send|get|peek|dispatch|expire``."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, TypeVar

import click

from ..channels import Channels, Message, Window
from ..channels.facts import message_facts
from ..errors import ConfigurationError, SpecError
from ..queues.sql_base import process
from .add import values
from .choosing import together
from .options import json_option
from .output import counted, one_line, print_json, print_json_list, print_table
from .service import Given, pass_given
from .terminal_log import log_to_terminal

Command = TypeVar("Command", bound=Callable[..., Any])
_channel = click.argument("channel")
_consumer = click.option("--consumer", required=True, metavar="NAME", help="Whose messages.")
_from = together(
    click.option("--producer", metavar="NAME", help="Only what this one has sent."),
    click.option("--user", metavar="ID", help="Only what was sent in the name of this user."),
)


def _as_duration(_ctx: click.Context, _param: click.Parameter, value: str | None) -> float | str | None:
    """A bare number is seconds; whatever else it is, is looked at where it is used."""
    return float(value) if value is not None and value.isdecimal() else value


@click.group("channels", no_args_is_help=False)
def channels_of_messages() -> None:
    """Send messages to channels, get them, and look at what waits."""


def channels_of(given: Given) -> Channels:
    """Those of the application of --app, else such as a database alone has."""
    found = given.service.settings.channels
    return found if isinstance(found, Channels) else Channels(given.service)


@channels_of_messages.command("list")
@json_option
@pass_given
def list_channels(given: Given, as_json: bool) -> None:
    """Count what stands at each address: a consumer of a channel.

    "Later" is what waits for its time or its window, or has expired.

    \b
    Examples:
      taskqueue channels list
      taskqueue --database sqlite:///app.db channels list --json
    """
    found = channels_of(given).overview() if given.missing_file is None else []
    if as_json:
        print_json_list(map(asdict, found))
    elif not found:
        _say_none(given, "No message was ever sent to a channel.")
    else:
        rows = [[one.channel, one.consumer, one.ready, one.held, one.later] for one in found]
        print_table(("channel", "consumer", "ready", "held", "later"), rows)


@channels_of_messages.command("subscriptions")
@json_option
@pass_given
def list_subscriptions(given: Given, as_json: bool) -> None:
    """List who wants copies of what is published.

    \b
    Examples:
      taskqueue channels subscriptions
    """
    found = channels_of(given).subscriptions() if given.missing_file is None else []
    if as_json:
        print_json_list(map(asdict, found))
    elif not found:
        _say_none(given, "Nobody has subscribed.")
    else:
        rows = [[one.channel, one.consumer, one.producer or "any", one.callback or ""] for one in found]
        print_table(("channel", "consumer", "producer", "callback"), rows)


@channels_of_messages.command("send")
@_channel
@click.argument("data")
@click.option("--producer", required=True, metavar="NAME", help="Who sends it.")
@click.option("--consumer", metavar="NAME", help="Who gets it.")
@click.option("--publish", is_flag=True, help="Instead of --consumer: a copy for each who has subscribed.")
@click.option("--kind", default="", metavar="LABEL", help="Such as Command, Data or Event.")
@click.option("--sequence", type=int, default=0, show_default=True, help="Lower goes first.")
@click.option("--delay", metavar="TIME", callback=_as_duration, help="Not delivered before so long: 90, 15m, 12h, 30d.")
@click.option("--expires", metavar="TIME", callback=_as_duration, help="Not delivered any more so long after that.")
@click.option("--user", metavar="ID", help="In whose name.")
@click.option("--window", metavar="START-END", help="Delivered only between these times of day: 22:00-06:00.")
@click.option("--timezone", metavar="NAME", help="That of the window.  [default: UTC]")
@click.option("--no-saturday", is_flag=True, help="Not on Saturdays.")
@click.option("--no-sunday", is_flag=True, help="Not on Sundays.")
@json_option
@pass_given
def send_message(
    given: Given, /, channel: str, data: str, producer: str, consumer: str | None, publish: bool, window: str | None,
    timezone: str | None, no_saturday: bool, no_sunday: bool, as_json: bool, **options: Any,
) -> None:  # fmt: skip
    """Send a message; DATA is JSON, where text needs quotes of its own.

    \b
    Examples:
      taskqueue channels send orders '{"n": 1}' --producer shop --consumer billing
      taskqueue channels send news '"hello"' --producer shop --publish --expires 1h
      taskqueue channels send mails 17 --producer shop --consumer post --window 22:00-06:00 --timezone Europe/Berlin
    """
    if publish == (consumer is not None):
        raise SpecError("say who gets it: --consumer NAME, or --publish for all who have subscribed")
    opening = _window(window, timezone, no_saturday, no_sunday)
    (value,) = values([data])
    channels = channels_of(given)
    if consumer is not None:
        sent = channels.send(channel, value, producer=producer, consumer=consumer, window=opening, **options)
        if as_json:
            print_json(message_facts(sent, hides_secrets=True))
        else:
            click.echo(f"Sent message {sent.id} to {consumer} on channel {channel}.")
        return
    copies = channels.publish(channel, value, producer=producer, window=opening, **options)
    if as_json:
        print_json({"copies": copies})
    else:
        click.echo(f"Sent {counted(copies, 'copy', 'copies')} on channel {channel}.")


def _window(hours: str | None, timezone: str | None, no_saturday: bool, no_sunday: bool) -> Window | None:
    if hours is None and not (no_saturday or no_sunday):
        if timezone is not None:
            raise SpecError("--timezone is that of a window: give --window, --no-saturday or --no-sunday as well")
        return None
    start, separator, end = (hours or "00:00-24:00").partition("-")
    if not separator:
        raise SpecError(f"--window takes two times of day, as 22:00-06:00, not {hours!r}")
    return Window(start, end, timezone or "UTC", saturday=not no_saturday, sunday=not no_sunday)


@channels_of_messages.command("get")
@_channel
@_consumer
@_from
@json_option
@pass_given
def get_message(
    given: Given, channel: str, consumer: str, producer: str | None, user: str | None, as_json: bool
) -> None:
    """Print the data of the next message as JSON, and remove it once that is written; exit code 1 if there is none.

    With --json all of the message is printed, or null.

    \b
    Examples:
      taskqueue channels get orders --consumer billing
      while taskqueue channels get orders --consumer billing > order.json; do ./bill order.json; done
    """
    process.program = "taskqueue channels get"
    found = given.missing_file is None
    if found:
        receiving = channels_of(given).receive(channel, consumer=consumer, producer=producer, user=user)
        with receiving as message:
            found = _print(message, as_json, hides_secrets=False)
            sys.stdout.flush()
    else:
        _print(None, as_json, hides_secrets=False)
    if not found:
        raise click.exceptions.Exit(1)


@channels_of_messages.command("peek")
@_channel
@_consumer
@_from
@json_option
@pass_given
def peek_message(
    given: Given, channel: str, consumer: str, producer: str | None, user: str | None, as_json: bool
) -> None:
    """Print what 'get' would, and remove nothing; what looks like a secret is hidden.

    \b
    Examples:
      taskqueue channels peek orders --consumer billing --json
    """
    message = None
    if given.missing_file is None:
        message = channels_of(given).peek(channel, consumer=consumer, producer=producer, user=user)
    if not _print(message, as_json, hides_secrets=True):
        raise click.exceptions.Exit(1)


def _print(message: Message | None, as_json: bool, *, hides_secrets: bool) -> bool:
    """Whether there was something to print."""
    facts = message_facts(message, hides_secrets=hides_secrets) if message is not None else None
    if as_json:
        print_json(facts)
    elif facts is not None:
        click.echo(json.dumps(facts["data"]))
    else:
        click.echo("No message may be had.", err=True)
    return facts is not None


@channels_of_messages.command("dispatch")
@json_option
@pass_given
def dispatch(given: Given, as_json: bool) -> None:
    """Call those for whom a message waits, once each; for cron. The callbacks are those of --app.

    You are told of callbacks for which messages wait and that the module of --app does not register. What a callback
    raises is written to stderr.

    \b
    Examples:
      taskqueue --app myapp.jobs:service channels dispatch
    """
    channels = given.service.settings.channels
    if not isinstance(channels, Channels):
        raise ConfigurationError(
            "nothing says what to call: name by --app a QueueService whose module makes (or imports) its Channels"
        )
    process.program = "taskqueue channels dispatch"
    log_to_terminal()
    with given.around():
        made = channels.dispatch()
    left = sorted({subscription.callback or "" for subscription in channels.unregistered()})
    if as_json:
        print_json({"calls": made, "unregistered": left})
    else:
        named = f"; not made, because no such callback is registered here: {', '.join(left)}" if left else ""
        click.echo(f"Made {counted(made, 'call')}{named}.")


@channels_of_messages.command("expire")
@json_option
@pass_given
def expire(given: Given, as_json: bool) -> None:
    """Put what has expired on the invalid channel; for cron.

    \b
    Examples:
      taskqueue channels expire
    """
    moved = channels_of(given).expire() if given.missing_file is None else 0
    if as_json:
        print_json({"expired": moved})
    else:
        click.echo(f"{counted(moved, 'message')} had expired.")


def _say_none(given: Given, sentence: str) -> None:
    if given.missing_file is not None:
        sentence = f"There is no database file {one_line(given.missing_file)}."
    click.echo(sentence)
