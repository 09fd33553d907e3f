"""``dead``, ``history`` and ``result``: what died, why, and back again."""

from __future__ import annotations

import json
import os
import pty
from dataclasses import replace

import pytest

from taskqueue import BatchQueue, QueueService, Runner, Task, travel
from taskqueue.queues import settlement
from tests.cli.conftest import JOBS, Here, Shell, refused

OK = f"{JOBS}:ok"
BAD = f"{JOBS}:bad"


@pytest.fixture
def queue(service: QueueService) -> BatchQueue:
    """A queue "q" with three dead letters: two of a timeout, the last of another callback."""
    queue = service.create("Sql", "q", error="dead", keep_result=3600)
    for data in (Task(BAD, ["Timeout of a"], "first"), Task(BAD, ["no such b"], "second")):
        queue.create_item(data)
    Runner(queue).run_all()
    queue.enqueue(OK, title="third")
    (item,) = queue.claim_items(1)
    queue.settle([item], settlement.bury("timeout of c", 'File "shop.py", line 7\n  buy()'))
    return queue


def ids(queue: BatchQueue) -> list[str]:
    return [str(letter.id) for letter in queue.dead_items()]


@pytest.mark.parametrize(
    ("args", "titles"),
    [
        ("--error TIMEOUT", ["first", "third"]),
        (f"--callback {BAD}", ["first", "second"]),
        (f"--callback {JOBS} --error such", ["second"]),
        ("--since 1h", ["first", "second", "third"]),
        ("--since 2020-02-28 --until 2020-03-01T12:00:00Z", []),
        ("--until 1h", []),
        ("--limit 2", ["first", "second"]),
    ],
)
def test_list_shows_those_that_are_asked_for(args: str, titles: list[str], here: Here, queue: BatchQueue) -> None:
    # when
    table, facts = here("dead", "list", "q", *args.split()), here("dead", "list", "q", "--json", *args.split())
    # then
    assert [each["title"] for each in json.loads(facts.stdout)] == titles
    assert all(title in table.stdout for title in titles)
    if not titles:
        assert table.stdout == "Queue 'q' has no such dead letters.\n"
    assert ("... and 1 more (--limit)" in table.stdout) == ("--limit" in args)


def test_show_tells_all_there_is(here: Here, queue: BatchQueue) -> None:
    # given
    third = queue.dead_items()[2]
    # when
    text, facts = here("dead", "show", "q", str(third.id)).stdout, here("dead", "show", "q", str(third.id), "--json")
    # then
    assert text.endswith('\nError\n  timeout of c\n\nTraceback\n  File "shop.py", line 7\n    buy()\n')
    told = json.loads(facts.stdout)
    assert (told["title"], told["callback"], told["attempts"], told["args"]) == ("third", OK, 1, [])
    assert told["traceback"] == third.traceback


def test_what_looks_like_a_secret_is_hidden(here: Here, queue: BatchQueue) -> None:
    # given
    url, headers = "mysql://me:sesame@host/x", [["X-Api-Key", "sesame"]]
    secrets = {"password": "sesame", "url": url, "headers": headers, "raw": b"sesame"}
    queue.create_item(Task(OK, [secrets], kwargs={"token": "sesame"}, run_as={"contact_id": 7, "secret": "sesame"}))
    # when
    waiting = here("items", "q", "--json")
    (item,) = queue.claim_items(1)
    queue.settle([item], settlement.bury("dead"))
    shown = here("dead", "show", "q", str(item.id)), here("dead", "list", "q", "--json")
    # then
    for output in (waiting, *shown):
        assert output.exit_code == 0
        assert "hidden" in output.stdout
        assert "sesame" not in output.stdout
        assert "c2VzYW1l" not in output.stdout  # the bytes, as they are stored
        assert "contact_id" in output.stdout


@pytest.mark.parametrize(("command", "done"), [("revive", "Revived"), ("delete", "Deleted")])
def test_those_that_match_are_moved(command: str, done: str, here: Here, queue: BatchQueue) -> None:
    # given
    _first, second, _third = ids(queue)
    # when
    result = here("dead", command, "q", "--error", "timeout", "--yes")
    # then
    assert (result.exit_code, result.stdout) == (0, f"{done} 2 dead letters of queue 'q'.\n")
    assert ids(queue) == [second]
    assert here("dead", command, "q", "--error", "timeout").stdout == f"{done} 0 dead letters of queue 'q'.\n"


@pytest.mark.parametrize(("command", "done"), [("revive", "revived"), ("delete", "deleted")])
def test_that_nothing_matches_is_no_error_but_an_id_that_is_not_there_is(
    command: str, done: str, here: Here, queue: BatchQueue
) -> None:
    # given
    before = ids(queue)
    # when
    none = here("dead", command, "q", "--error", "no such text", "--json")
    line = refused(here("dead", command, "q", before[0], "99"))
    # then
    assert (none.exit_code, json.loads(none.stdout)) == (0, {"queue": "q", done: 0})
    assert "no dead letter with the id 99; nothing was changed" in line
    assert ids(queue) == before
    told = " ".join(here("dead", command, "--help").stdout.split())
    assert f"no dead letter is an error (exit code 2), and nothing is {done}; that nothing matches" in told


@pytest.mark.parametrize(("command", "what"), [("revive", "revive"), ("delete", "throw away")])
@pytest.mark.parametrize(("answer", "code", "left"), [(b"y\n", 0, 1), (b"n\n", 1, 3)])
def test_a_human_is_told_how_many_match_and_asked(
    command: str, what: str, answer: bytes, code: int, left: int, shell: Shell, queue: BatchQueue
) -> None:
    # given
    ours, theirs = pty.openpty()
    # when
    process = shell.start("dead", command, "q", "--error", "timeout", stdin=theirs)
    os.close(theirs)
    os.write(ours, answer)
    _out, err = process.communicate(timeout=30)
    os.close(ours)
    # then
    assert (process.returncode, len(ids(queue))) == (code, left)
    assert f"This will {what} 2 dead letters of queue 'q'. Go on? [y/N]" in err


def test_where_nobody_can_be_asked_many_are_revived_and_not_deleted(here: Here, queue: BatchQueue) -> None:
    assert "this would throw away 3 dead letters" in refused(here("dead", "delete", "q", "--all"))
    assert len(ids(queue)) == 3
    assert here("dead", "revive", "q", "--all").exit_code == 0
    assert (ids(queue), queue.number_of_items()) == ([], 3)


@pytest.mark.parametrize(
    ("args", "part"),
    [
        ("revive q 1 --error x", "not both"),
        ("delete q --all --callback x", "not both"),
        ("list q --since yesterday", "'yesterday' is no time: write it as 2026-02-28,"),
        ("list q --until 2026-13-01", "'2026-13-01' is no time"),
        ("list q --since 999999999w", "no time"),
        ("list q --limit 0", "0"),
        ("list q --error=", "error must be text that is not empty"),
    ],
)
def test_a_wrong_choice_is_refused(args: str, part: str, here: Here, queue: BatchQueue) -> None:
    assert part in refused(here("dead", *args.split()))
    assert len(ids(queue)) == 3


def test_a_renamed_callback_is_listed_revived_after_the_fix_and_runs(
    shell: Shell, here: Here, service: QueueService
) -> None:
    # given
    queue = service.create("Sql", "mails", retry_limit=3)
    code, done = shell.folder / "shop.py", shell.folder / "done"
    code.write_text("def send(ctx): open('done', 'a').write(ctx.item.title)")
    assert shell.run("add", "mails", "shop:send", "--title", "a mail").returncode == 0
    # when
    code.write_text(code.read_text().replace("send", "deliver  "))
    runs = [shell.run("run", "mails", "--allow", "shop").returncode for _time in range(2)]
    # then
    (letter,) = json.loads(here("dead", "list", "mails", "--callback", "shop:send", "--json").stdout)
    assert runs == [1, 0]
    assert "has no attribute 'send'" in letter["error"]
    assert not done.exists()
    # when
    code.write_text(code.read_text() + "\nsend = deliver")
    assert shell.run("dead", "revive", "mails", "--callback", "shop").stdout.startswith("Revived 1 dead letter")
    assert shell.run("run", "mails", "--allow", "shop").returncode == 0
    # then
    assert (done.read_text(), queue.number_of_items()) == ("a mail", 0)


# --- history ---


def test_history_tells_each_failure(here: Here, queue: BatchQueue) -> None:
    # given
    first = ids(queue)[0]
    here("dead", "revive", "q", first)
    # when
    table, facts = here("history", "q", first), json.loads(here("history", "q", first, "--json").stdout)
    # then
    assert [line.split()[:2] for line in table.stdout.splitlines()] == [
        ["attempt", "outcome"], ["1", "dead"], ["1", "revived"],
    ]  # fmt: skip
    assert "ValueError: Timeout of a" in table.stdout
    assert [(each["outcome"], each["error"]) for each in facts] == [
        ("dead", "ValueError: Timeout of a"), ("revived", None),
    ]  # fmt: skip
    assert facts[0]["end_time"].endswith("+00:00")


def test_history_of_what_never_failed_or_never_was(here: Here, queue: BatchQueue) -> None:
    # given
    item = queue.create_item("a")
    # when
    text = here("history", "q", str(item.id))
    # then
    assert text.stdout == f"No attempt at item {item.id} of queue 'q' has failed; it is waiting.\n"
    assert here("history", "q", str(item.id), "--json").stdout == "[]\n"
    assert "nothing is known of an item 99" in refused(here("history", "q", "99"))


# --- results ---


def test_result_shows_what_the_task_returned(here: Here, queue: BatchQueue) -> None:
    # given
    queue.create_item("a")
    (item,) = queue.claim_items(1)
    queue.settle([item], replace(settlement.DONE, result=queue.pack_result(item, {"größe": [1, None]})))
    # when
    text, facts = here("result", "q", str(item.id)), json.loads(here("result", "q", str(item.id), "--json").stdout)
    # then
    assert '"größe": [1, null]' in text.stdout
    assert (facts["item_id"], facts["value"]) == (item.id, {"größe": [1, None]})
    # when, then
    with travel(7200):
        assert f"keeps no result of an item {item.id}" in refused(here("result", "q", str(item.id)))
