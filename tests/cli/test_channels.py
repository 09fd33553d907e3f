"""``channels list|subscriptions|send|get|peek|dispatch|expire``."""

from __future__ import annotations

import json
import subprocess
from datetime import timedelta
from typing import Any

import pytest

from taskqueue import QueueService, travel
from taskqueue.channels import Channels, Window
from tests.cli.conftest import Here, Shell, refused

APP = "tests.cli.messaging:service"
TO_BILLING = ("--producer", "shop", "--consumer", "billing")


@pytest.fixture
def channels(service: QueueService) -> Channels:
    return Channels(service)


def send(here: Here, *args: str) -> Any:
    told = here("channels", "send", "orders", *args, "--json")
    assert told.exit_code == 0, told.stderr
    return json.loads(told.stdout)


def test_without_a_database_nothing_is_made(here: Here, shell: Shell) -> None:
    for command in (("list",), ("subscriptions",)):
        told = here("channels", *command)
        assert (told.exit_code, told.stdout) == (0, "There is no database file taskqueue.db.\n")
        assert here("channels", *command, "--json").stdout == "[]\n"
    for command in (("get", "orders", "--consumer", "billing"), ("peek", "orders", "--consumer", "billing")):
        told = here("channels", *command)
        assert (told.exit_code, told.stdout, told.stderr) == (1, "", "No message may be had.\n")
    assert here("channels", "expire").stdout == "0 messages had expired.\n"
    assert list(shell.folder.iterdir()) == []


def test_a_message_is_sent_looked_at_and_got(here: Here) -> None:
    told = here("channels", "send", "orders", '{"n": 1, "password": "sesame"}', *TO_BILLING)
    assert (told.exit_code, told.stdout) == (0, "Sent message 1 to billing on channel orders.\n")

    seen = json.loads(here("channels", "peek", "orders", "--consumer", "billing").stdout)
    assert seen == {"n": 1, "password": seen["password"]}
    assert seen["password"] != "sesame"
    found = here("channels", "get", "orders", "--consumer", "billing")
    assert (found.exit_code, json.loads(found.stdout)) == (0, {"n": 1, "password": "sesame"})

    none = here("channels", "get", "orders", "--consumer", "billing", "--json")
    assert (none.exit_code, none.stdout) == (1, "null\n")


def test_all_that_may_be_said(here: Here, channels: Channels) -> None:
    facts = send(
        here, "[1]", *TO_BILLING, "--kind", "Data", "--sequence", "-3", "--delay", "5", "--expires", "1h",
        "--user", "7", "--window", "00:00-24:00", "--timezone", "Europe/Berlin",
    )  # fmt: skip

    with travel(6):
        message = channels.get("orders", consumer="billing", producer="shop", user="7")
    assert message is not None
    assert message.window == Window(timezone="Europe/Berlin")
    assert (message.data, message.kind, message.sequence) == ([1], "Data", -3)
    assert message.expires == message.sent + timedelta(hours=1, seconds=5)
    assert facts == {
        "id": message.id, "channel": "orders", "consumer": "billing", "producer": "shop", "kind": "Data",
        "sequence": -3, "user": "7", "sent": message.sent.isoformat(), "expires": message.expires.isoformat(),
        "deliver_after": message.deliver_after.isoformat(), "is_published": False, "reason": None, "attempts": 0,
        "data": [1], "window": {"start": "00:00", "end": "24:00", "timezone": "Europe/Berlin", "saturday": True,
                                "sunday": True},
    }  # fmt: skip


def test_weekends_alone_are_a_window(here: Here) -> None:
    facts = send(here, "1", *TO_BILLING, "--no-saturday", "--no-sunday")

    assert facts["window"] == Window(saturday=False, sunday=False).to_data()


def test_copies_for_who_has_subscribed(here: Here, channels: Channels) -> None:
    channels.subscribe("news", consumer="a", callback="call")
    channels.subscribe("news", consumer="b", producer="shop")

    told = here("channels", "send", "news", '"hello"', "--producer", "shop", "--publish")
    assert told.stdout == "Sent 2 copies on channel news.\n"
    facts = here("channels", "send", "news", '"hello"', "--producer", "web", "--publish", "--json")
    assert json.loads(facts.stdout) == {"copies": 1}

    table = here("channels", "list").stdout.splitlines()
    assert [line.split() for line in table] == [
        ["channel", "consumer", "ready", "held", "later"], ["news", "a", "2", "0", "0"], ["news", "b", "1", "0", "0"],
    ]  # fmt: skip
    assert json.loads(here("channels", "list", "--json").stdout)[1] == {
        "channel": "news", "consumer": "b", "ready": 1, "held": 0, "later": 0,
    }  # fmt: skip
    table = here("channels", "subscriptions").stdout.splitlines()
    assert [line.split() for line in table[1:]] == [["news", "a", "any", "call"], ["news", "b", "shop"]]
    assert json.loads(here("channels", "subscriptions", "--json").stdout)[1] == {
        "channel": "news", "consumer": "b", "producer": "shop", "callback": None,
    }  # fmt: skip


def test_nothing_was_ever_sent(here: Here, service: QueueService) -> None:
    service.create("Sql", "q")

    assert here("channels", "list").stdout == "No message was ever sent to a channel.\n"
    assert here("channels", "subscriptions").stdout == "Nobody has subscribed.\n"


def test_a_message_that_nobody_reads_stays(shell: Shell, channels: Channels) -> None:
    channels.send("orders", "x" * 900_000, producer="shop", consumer="billing")
    process = shell.start("channels", "get", "orders", "--consumer", "billing", stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None

    assert process.wait(60) == 141
    assert channels.is_waiting("orders", consumer="billing")


def test_expired_ones_are_put_on_the_invalid_channel(shell: Shell, channels: Channels) -> None:
    with travel(-60):
        channels.send("orders", "x", producer="shop", consumer="billing", expires=5)

    told = shell.run("--app", APP, "channels", "expire")
    assert (told.returncode, told.stdout) == (0, "1 message had expired.\n"), told.stderr
    assert channels.is_waiting("cbINVALID", consumer="billing")
    assert json.loads(shell.run("--app", APP, "channels", "expire", "--json").stdout) == {"expired": 0}


def test_callbacks_are_called(shell: Shell, channels: Channels) -> None:
    channels.subscribe("orders", consumer="billing", callback="bill")
    channels.send("orders", 1, producer="shop", consumer="billing")
    channels.send("orders", 2, producer="shop", consumer="billing")

    told = shell.run("--app", APP, "channels", "dispatch")
    assert (told.returncode, told.stdout) == (0, "Made 1 call.\n"), told.stderr
    assert (shell.folder / "bills").read_text() == "1\n2\n"
    assert json.loads(shell.run("--app", APP, "channels", "dispatch", "--json").stdout) == {
        "calls": 0, "unregistered": []
    }  # fmt: skip


def test_callbacks_that_are_not_registered_are_told(shell: Shell, channels: Channels) -> None:
    for callback in ("bil", "bill"):
        channels.subscribe("orders", consumer="billing", callback=callback)
    channels.send("orders", 1, producer="shop", consumer="stock")
    channels.subscribe("orders", consumer="stock", callback="count")

    told = shell.run("--app", APP, "channels", "dispatch")

    assert (told.returncode, told.stdout) == (
        0, "Made 0 calls; not made, because no such callback is registered here: count.\n"
    )  # fmt: skip
    assert "callback count is not registered in this process, and messages on channel orders wait" in told.stderr
    told = shell.run("--app", APP, "channels", "dispatch", "--json")
    assert json.loads(told.stdout) == {"calls": 0, "unregistered": ["count"]}


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("send", "orders", "1", "--producer", "shop"), "say who gets it: --consumer NAME, or --publish"),
        (("send", "orders", "1", *TO_BILLING, "--publish"), "say who gets it"),
        (("send", "orders", "{", *TO_BILLING), "argument 1 is no JSON"),
        (("send", "or ders", "1", *TO_BILLING), "cannot name a channel"),
        (("send", "orders", "1", *TO_BILLING, "--timezone", "UTC"), "--timezone is that of a window"),
        (("send", "orders", "1", *TO_BILLING, "--window", "22:00"), "--window takes two times of day"),
        (("send", "orders", "1", *TO_BILLING, "--window", "22-06"), "start of a window must be a time of day"),
        (("send", "orders", "1", *TO_BILLING, "--window", "22:00-06:00", "--timezone", "X"), "unknown time zone 'X'"),
        (("send", "orders", "1", *TO_BILLING, "--delay", "soon"), "delay must be seconds"),
        (("get", "orders"), "Missing option '--consumer'"),
        (("dispatch",), "nothing says what to call: name by --app"),
    ],
    ids=repr,
)
def test_mistakes_are_told(here: Here, service: QueueService, args: tuple[str, ...], said: str) -> None:
    service.create("Sql", "q")

    assert said in refused(here("channels", *args))
