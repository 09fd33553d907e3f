"""``outbox list``, ``flush`` and ``outbox dead list|show|revive|delete``."""

from __future__ import annotations

import json
import os
import pty
from typing import Any

import pytest

from taskqueue import QueueService
from taskqueue.outbox import MessageRef, Outbox
from tests.cli.conftest import Here, Shell, refused
from tests.cli.sending import Flights

APP = "tests.cli.sending:service"


@pytest.fixture
def outbox(service: QueueService) -> Outbox:
    """An outbox with the same services, in this process."""
    outbox = Outbox(service)
    outbox.register("flights", Flights())
    outbox.prepare()
    return outbox


@pytest.fixture
def form(outbox: Outbox) -> Any:
    return outbox.queued(outbox.connect("flights"), headers={"trace": "7"}, user="ann")


@pytest.fixture
def dead(outbox: Outbox, form: Any) -> dict[str, MessageRef]:
    """Three dead messages."""
    made = {"one": form.reserve("LH0", password="sesame"), "two": form.reserve("LH0"), "three": form.release("LH3")}
    outbox.flush()
    return made


def test_list_shows_what_waits(here: Here, form: Any) -> None:
    assert here("outbox", "list").stdout == "No message waits.\n"
    first, second = form.reserve("LH1", password="sesame"), form.release("LH2")

    table, facts = here("outbox", "list"), here("outbox", "list", "--json", "--service", "flights")

    assert all(ref.id in table.stdout for ref in (first, second))
    assert "flights.reserve" in table.stdout
    one, other = json.loads(facts.stdout)
    assert (one["id"], one["service"], one["event"], one["args"], one["user"], one["headers"]) == (
        first.id, "flights", "reserve", ["LH1"], "ann", {"trace": "7"}
    )  # fmt: skip
    assert other["id"] == second.id
    assert "sesame" not in table.stdout + facts.stdout
    assert here("outbox", "list", "--service", "hotels", "--json").stdout == "[]\n"
    assert "... and more (--limit)" in here("outbox", "list", "--limit", "1").stdout


@pytest.mark.parametrize("how", ["--drain", "--once"])
@pytest.mark.parametrize("names", [(), ("outbox",)], ids=str)
def test_a_worker_whose_application_makes_no_outbox_says_what_it_leaves(
    how: str, names: tuple[str, ...], shell: Shell, form: Any
) -> None:
    form.reserve("LH1")

    told = shell.run("--app", "tests.cli.jobs:service", "work", *names, how)

    assert told.returncode == 1, told.stderr
    assert told.stderr.splitlines()[-1] == (
        "Not served: queue 'outbox' has payload 'outbox', for which no handler is registered here: the module that "
        "makes the QueueService (which --app names) must make, or import, its Outbox (1 item left)."
    )
    assert shell.run("--app", APP, "work", *names, how).returncode == 0
    assert shell.run("--app", "tests.cli.jobs:service", "work", *names, how).returncode == 0  # nothing is left


def test_a_worker_does_not_leave_the_outbox_of_another_application_in_silence(
    shell: Shell, service: QueueService
) -> None:
    other = Outbox(service, app_id="other")
    other.queued(other.register("flights", Flights())).reserve("LH1")

    named = shell.run("--app", APP, "work", "outbox:other", "--drain")

    assert (named.returncode, named.stderr.splitlines()[-1]) == (
        1, "Not served: queue 'outbox:other' belongs to another application (1 item left)."
    )  # fmt: skip
    assert shell.run("--app", APP, "work", "--drain").returncode == 0


def test_flush_delivers_what_is_due(shell: Shell, form: Any) -> None:
    form.reserve("LH1")
    form.reserve("LH0")

    told = shell.run("--app", APP, "outbox", "flush")
    assert (told.returncode, told.stdout) == (0, "Made 2 attempts; 0 messages waiting, 1 dead.\n"), told.stderr
    facts = shell.run("--app", APP, "outbox", "flush", "--queue", "outbox", "--json")

    assert json.loads(facts.stdout) == {"attempts": 0, "waiting": 0, "dead": 1}
    assert (shell.folder / "journal").read_text() == "LH1\n"


def test_a_worker_says_nothing_of_what_another_application_has_left(
    shell: Shell, service: QueueService, form: Any
) -> None:
    other = QueueService(shell.url)
    theirs = Outbox(other, app_id="b")
    theirs.register("flights", Flights())
    theirs.queued(theirs.connect("flights")).reserve("LH7")
    theirs.suspend(queue="outbox")
    form.reserve("LH1")

    told = shell.run("--app", APP, "work", "--drain", "--json")

    assert (told.returncode, json.loads(told.stdout)["executed"]) == (0, 1), told.stderr
    assert (shell.folder / "journal").read_text() == "LH1\n"
    assert other.load("outbox:b").number_of_items() == 1
    other.close()


def test_tenants_have_messages_of_their_own(shell: Shell, form: Any) -> None:
    north = Outbox(QueueService(f"sqlite:///{shell.folder / 'north.db'}"), tenant="north")
    north.register("flights", Flights())
    form.reserve("LH1")
    sent = north.queued(north.connect("flights"))
    sent.reserve("LH2")
    sent.reserve("LH0")

    def told(*args: str) -> Any:
        result = shell.run("--app", APP, "outbox", *args, "--json")
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)

    assert [each["args"] for each in told("list")] == [["LH1"]]
    assert [each["args"] for each in told("list", "--tenant", "north")] == [["LH2"], ["LH0"]]
    assert told("flush", "--tenant", "north") == {"attempts": 2, "waiting": 0, "dead": 1}
    assert told("flush") == {"attempts": 1, "waiting": 0, "dead": 1}
    assert told("dead", "list") == []
    (dead,) = told("dead", "list", "--tenant", "north")
    assert (dead["args"], dead["tenant"]) == (["LH0"], "north")
    assert told("dead", "delete", dead["id"], "--tenant", "north") == {"deleted": 1}
    wrong = shell.run("--app", APP, "outbox", "flush", "--tenant", "nrth")
    assert "no tenant 'nrth' (did you mean 'north'?)" in refused(wrong)


def test_a_worker_says_that_it_serves_no_tenants(shell: Shell, form: Any) -> None:
    told = [shell.run("--app", app, "work", "--drain") for app in (APP, "tests.cli.sending:alone")]

    assert ["TenantWorkers(outbox) serves them" in each.stderr for each in told] == [True, False]


@pytest.mark.parametrize("before", [(), ("--app", "tests.cli.jobs:service"), ("--app", "tests.cli.sending:bare")])
def test_flush_needs_to_know_who_delivers(here: Here, outbox: Outbox, form: Any, before: tuple[str, ...]) -> None:
    form.reserve("LH1")

    assert "nothing says who delivers: name by --app" in refused(here(*before, "outbox", "flush"))

    assert outbox.queues.standing()[0].number_of_items() == 1


@pytest.mark.parametrize(
    ("args", "names"),
    [
        ("", ["one", "two", "three"]),
        ("--service flights --event reserve", ["one", "two"]),
        ("--error TIMEOUT", ["three"]),
        ("--service hotels", []),
        ("--since 1h --queue outbox", ["one", "two", "three"]),
        ("--until 1h", []),
        ("--limit 1", ["one"]),
    ],
)
def test_dead_messages_are_listed(args: str, names: list[str], here: Here, dead: dict[str, MessageRef]) -> None:
    table = here("outbox", "dead", "list", *args.split())
    facts = here("outbox", "dead", "list", "--json", *args.split())

    assert [each["id"] for each in json.loads(facts.stdout)] == [dead[name].id for name in names]
    assert all((ref.id in table.stdout) == (name in names) for name, ref in dead.items())
    assert "sesame" not in table.stdout + facts.stdout
    assert "\x1b" not in table.stdout + facts.stdout
    if not names:
        assert table.stdout == "There are no such dead messages.\n"
    assert ("... and 2 more (--limit)" in table.stdout) == ("--limit" in args)


def test_a_dead_message_is_shown(here: Here, outbox: Outbox, dead: dict[str, MessageRef]) -> None:
    shown, facts = (here("outbox", "dead", "show", dead["one"].id, *more) for more in ((), ("--json",)))

    entry = next(outbox.dead.list(dead["one"]))
    told = json.loads(facts.stdout)
    assert (told["id"], told["args"], told["headers"], told["user"]) == (entry.id, ["LH0"], {"trace": "7"}, "ann")
    assert (told["error"], told["dead_time"]) == (entry.error, entry.dead_time.isoformat())
    lines = dict(line.split(maxsplit=1) for line in shown.stdout.splitlines() if "  " in line.strip())
    assert (lines["args"], lines["headers"], lines["user"]) == ("['LH0']", "{'trace': '7'}", "ann")
    assert lines["submit_time"] == f"{entry.submit_time:%Y-%m-%d %H:%M:%S} UTC"
    assert lines["dead_time"] == f"{entry.dead_time:%Y-%m-%d %H:%M:%S} UTC"
    assert f"Error\n  {entry.error}" in shown.stdout
    assert "sesame" not in shown.stdout + facts.stdout
    assert "no dead message with the id ffff" in refused(here("outbox", "dead", "show", "ffff"))


def test_lists_write_times_alike(here: Here, outbox: Outbox, form: Any, dead: dict[str, MessageRef]) -> None:
    form.reserve("LH1")

    assert f"{next(outbox.queues.standing()[0].items()).submit_time:%Y-%m-%d %H:%M:%S}" in here("outbox", "list").stdout
    assert f"{next(outbox.dead.list()).dead_time:%Y-%m-%d %H:%M:%S}" in here("outbox", "dead", "list").stdout


@pytest.mark.parametrize("command", ["list", "dead list", "dead list --json", "dead delete --yes", "dead revive"])
def test_an_unknown_service_is_named(command: str, shell: Shell, form: Any) -> None:
    form.reserve("LH1")

    told = shell.run("--app", APP, "outbox", *command.split(), "--service", "flight")

    assert "the outbox has no service 'flight' (did you mean 'flights'?)" in refused(told)


def test_messages_of_a_service_that_was_given_up_are_found(shell: Shell, outbox: Outbox) -> None:
    outbox.register("trains", Flights())
    outbox.queued(outbox.connect("trains")).reserve("LH0")
    for command, found in (("list", 1), ("dead list", 0)):
        told = shell.run("--app", APP, "outbox", *command.split(), "--service", "trains", "--json")
        assert (told.returncode == 0) == bool(found), told.stderr
    outbox.flush()

    told = shell.run("--app", APP, "outbox", "dead", "delete", "--service", "trains", "--yes", "--json")
    assert json.loads(told.stdout) == {"deleted": 1}


def test_app_may_name_the_outbox(shell: Shell, form: Any) -> None:
    form.reserve("LH1")

    told = shell.run("--app", "tests.cli.sending:outbox", "outbox", "flush", "--json")

    assert (told.returncode, json.loads(told.stdout)["attempts"]) == (0, 1), told.stderr


def test_commands_for_all_queues_call_messages_by_the_same_names(here: Here, outbox: Outbox, form: Any) -> None:
    form.book("LH1")
    outbox.flush()
    form.reserve("LH2")
    outbox.schedule(outbox.connect("flights")).reserve("LH3").every("1h").as_("often")
    died = next(outbox.dead.list(event="book"))

    for command, titles in {
        "items outbox": ["flights.reserve"],
        "show outbox": ["flights.reserve"],
        "schedule list": ["flights.reserve"],
        "dead list outbox": [entry.title for entry in outbox.dead.list()],
        f"dead show outbox {died.item_id}": [died.title],
    }.items():
        table = here(*command.split()).stdout
        assert all(title in table for title in titles), command
        assert command.startswith("dead show") or "{" not in table, command
    assert [entry.title for entry in outbox.dead.list()] == ["flights.book", "flights.book/#failed"]


@pytest.mark.parametrize(
    ("command", "done", "left"), [("revive", "Revived", "waiting"), ("delete", "Deleted", "deleted")]
)
def test_dead_messages_are_moved(
    command: str, done: str, left: str, here: Here, outbox: Outbox, dead: dict[str, MessageRef]
) -> None:
    named = here("outbox", "dead", command, dead["one"].id)
    assert (named.exit_code, named.stdout) == (0, f"{done} 1 dead message.\n")
    matching = here("outbox", "dead", command, "--event", "reserve", "--yes", "--json")
    assert json.loads(matching.stdout) == {f"{command}d": 1}

    assert {name: ref.state for name, ref in dead.items()} == {"one": left, "two": left, "three": "dead"}
    assert here("outbox", "dead", command, "--all", "--yes").stdout == f"{done} 1 dead message.\n"
    assert here("outbox", "dead", command, "--all", "--yes").stdout == f"{done} 0 dead messages.\n"


@pytest.mark.parametrize(
    ("args", "part"),
    [
        ("", "--all"),
        ("--all --event reserve", "not both"),
        ("{one} --all", "not both"),
        ("{one} ffff", "no dead message with the id ffff; nothing was changed"),
        ("17", "no dead message with the id 17"),
        ("--queue nonsense", "no outbox has a queue 'nonsense'"),
        ("--since soon", "is no time"),
        ("--all", "say --yes if it is meant so"),
    ],
)
def test_what_is_not_clear_is_refused(args: str, part: str, here: Here, dead: dict[str, MessageRef]) -> None:
    given = [each.format(one=dead["one"].id) for each in args.split()]

    assert part in refused(here("outbox", "dead", "delete", *given))

    assert all(ref.state == "dead" for ref in dead.values())


@pytest.mark.parametrize(("answer", "code", "left"), [(b"y\n", 0, 1), (b"n\n", 1, 3)])
def test_a_human_is_told_how_many_match_and_asked(
    answer: bytes, code: int, left: int, shell: Shell, outbox: Outbox, dead: dict[str, MessageRef]
) -> None:
    ours, theirs = pty.openpty()
    process = shell.start("outbox", "dead", "delete", "--event", "reserve", stdin=theirs)
    os.write(ours, answer)
    _out, err = process.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)

    assert (process.returncode, outbox.dead.count()) == (code, left)
    assert "This will throw away 2 dead messages. Go on?" in err


@pytest.mark.parametrize("args", ["list", "dead list"])
def test_without_a_database_there_is_nothing_and_none_is_made(args: str, here: Here, shell: Shell) -> None:
    assert here("outbox", *args.split(), "--json").stdout == "[]\n"
    told = here("outbox", *args.split())
    assert (told.exit_code, told.stdout) == (0, "There are no messages, nor a database file taskqueue.db.\n")
    assert list(shell.folder.iterdir()) == []
    told = shell.run("--app", APP, "outbox", *args.split(), "--json")
    assert (told.returncode, told.stdout) == (0, "[]\n"), told.stderr
    assert list(shell.folder.iterdir()) == []


@pytest.mark.parametrize("command", ["outbox", "outbox list", "outbox flush", "outbox dead", "outbox dead show"])
def test_help_has_examples(command: str, here: Here) -> None:
    told = here(*command.split(), "--help")
    assert told.exit_code == 0
    assert ("Examples:" in told.stdout) == (command not in ("outbox", "outbox dead"))
