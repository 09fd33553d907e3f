"""The demonstration's web door: a real server process, and a visitor who talks plain HTTP to it."""

from __future__ import annotations

import io
import re
import signal
import socket
import sqlite3
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest

from demo_ext.web.form import MAX_BATCH
from demo_ext.web.key import kept_key
from demo_ext.web.sources import MAX_UPLOAD, safe_name
from demo_ext.web.store import MOST
from taskqueue import QueueService
from tests.demo.application import Application
from tests.demo.browser import Browser, Server, all_files, wait_for

#: What the sample with mistakes is: rows that are kept, and lines of rows that are not.
KEPT, BAD_LINES = 16, [4, 6, 9, 14, 16, 20, 24, 27]
#: What makes the requests of a test short.
QUICK = {"FLASK_TASKQUEUE_BUDGET": "0.3"}


@pytest.fixture(scope="module")
def refusing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Application, Browser]]:
    """A server for all tests after which everything is as before, and a visitor."""
    folder = tmp_path_factory.mktemp("refusing")
    application = Application(f"sqlite:///{folder / 'test.db'}", folder)
    with Server(application, **QUICK) as running:
        yield application, running.browser()


@pytest.fixture
def server(application: Application) -> Iterator[Server]:
    """The server on a fresh database."""
    with Server(application, **QUICK) as running:
        yield running


@pytest.fixture
def browser(server: Server) -> Browser:
    """A visitor."""
    return server.browser()


def places(number: int) -> bytes:
    return b"name,population\n" + b"".join(b"place %d,%d\n" % (one, one) for one in range(number))


def queues(application: Application) -> dict[str, dict[str, int]]:
    """The statistics of all queues, by name."""
    service = QueueService(application.url)
    try:
        return {queue.name: queue.statistics() for queue in service.queues()}
    finally:
        service.close()


def left(application: Application) -> tuple[list[str], list[str]]:
    """What an import leaves: queues and files."""
    return sorted(queues(application)), all_files(application.folder)


def lose(request: Callable[[], object]) -> None:
    """Send a request whose answer may never come."""
    with suppress(OSError, HTTPException):
        request()


# --- the pages ---


def test_given_the_first_page_when_read_then_every_field_has_a_label_and_nothing_is_inline(
    refusing: tuple[Application, Browser],
) -> None:
    _, browser = refusing
    page = browser.get("/")

    assert page.status == 200
    fields = [tag for name, tag in page.tags if name in ("input", "select") and tag.get("type") != "hidden"]
    labels = {tag.get("for") for name, tag in page.tags if name == "label"}
    assert {field["name"] for field in fields} == {"source", "upload", "batch_size", "seconds", "failing"}
    assert all(field["id"] in labels for field in fields)
    described = " ".join(tag.get("aria-describedby", "") for _, tag in page.tags).split()
    assert set(described) <= {tag.get("id") for _, tag in page.tags}
    assert not any(name == "script" or "style" in tag or any(key.startswith("on") for key in tag)
                   for name, tag in page.tags)  # fmt: skip


@pytest.mark.parametrize("path", ["/", "/orders", "/nothing", "/imports/0123456789ab"])
def test_given_any_page_when_answered_then_its_headers_allow_nothing_foreign(
    refusing: tuple[Application, Browser], path: str
) -> None:
    _, browser = refusing
    headers = browser.get(path).headers

    assert headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert (headers["Cache-Control"], headers["X-Content-Type-Options"]) == ("no-store", "nosniff")


def test_given_a_request_under_a_foreign_name_when_answered_then_it_is_refused(
    refusing: tuple[Application, Browser],
) -> None:
    _, browser = refusing
    assert browser.get("/", Host="example.com").status == 400
    assert browser.get("/", Host="localhost:1").status == 200


# --- an import ---


def test_given_a_sample_when_imported_then_the_progress_page_leads_to_what_came_of_it(
    application: Application, browser: Browser
) -> None:
    run = browser.begin(source="mistakes", batch_size="5")
    assert application.rows() == []  # looking at the page has executed nothing

    end = run.drive_to("completed")

    assert end["run"]["end_url"] == run.result
    assert len(application.rows()) == KEPT
    assert [line for _, line, _ in application.bad_rows()] == BAD_LINES
    page = browser.get(run.result)
    assert f"Rows imported {KEPT} Bad rows {len(BAD_LINES)} Tasks skipped 0 From" in page.words
    for _, line, reason in application.bad_rows():
        assert f"{line} {reason}" in page.words
    assert "2 Köln DE 1,087,863 50.9384 6.9599 Mayor Henriette Reker" in page.words
    assert "mistakes.csv" in browser.get("/").words
    assert all_files(application.folder) == []  # on_end has removed the copy


def test_given_20000_real_rows_when_imported_then_the_table_is_that_of_the_command_line(
    application: Application, browser: Browser, undisturbed: list[Any]
) -> None:
    run = browser.begin(source="cities")
    run.drive_to("completed")

    rows = application.rows()
    assert len(rows) > 20_000
    assert rows == undisturbed
    first = browser.get(run.result)
    later = browser.get(f"{run.result}?after=26")
    assert (rows[0][2] in first.words, rows[0][2] in later.words, rows[25][2] in later.words) == (True, False, True)


def test_given_an_upload_when_imported_then_its_html_is_shown_as_text(
    application: Application, browser: Browser
) -> None:
    evil = "<script>alert(1)</script>"
    content = f'name,population,"{evil}"\n"{evil}",1,"{evil}"\nx,"{evil}",\n'.encode()

    run = browser.begin(("people.csv", content), source="cities")  # a chosen file wins over the marked sample
    run.drive_to("completed")

    assert [row[:3] for row in application.rows()] == [("people.csv", 2, evil)]
    page = browser.get(run.result)
    assert page.words.count(evil) == 4  # name, name and value of the column, and the bad value
    assert "<script" not in page.text
    assert "<script" not in browser.get(f"{run.path}?nojs=1").text


def test_given_tasks_that_fail_at_first_when_retried_and_skipped_then_the_gap_is_shown(
    application: Application, browser: Browser
) -> None:
    run = browser.begin(("many.csv", places(100)), batch_size="10", failing="3")

    assert run.drive_to("blocked")["problem"]["message"].startswith("It was asked to fail at its first attempt")
    assert "This import is not finished" in browser.get(run.result).words
    run.act("retry")
    run.drive_to("blocked")
    run.act("skip")
    run.drive_to("blocked")
    run.act("retry")
    run.drive_to("completed")

    lines = [row[1] for row in application.rows()]
    assert lines == [*range(2, 42), *range(52, 102)]  # the second, fifth and eighth batch failed; the fifth was skipped
    page = browser.get(run.result)
    assert "Rows imported 90 Bad rows 0 Tasks skipped 1 From" in page.words
    assert "The rows of skipped tasks are not in the table." in page.words


def test_given_a_file_of_one_batch_when_a_task_is_to_fail_then_that_one_does(browser: Browser) -> None:
    run = browser.begin(("one.csv", places(3)), failing="1")

    assert "one.csv, lines 2 to 4" in run.drive_to("blocked")["problem"]["title"]


def test_given_slow_tasks_when_watched_then_they_tell_how_far_they_are(browser: Browser) -> None:
    run = browser.begin(("slow.csv", places(8)), seconds="5")
    heard: set[str] = set()

    while len(heard) < 3 and (snapshot := run.drive())["run"]["status"] == "running":
        heard |= {item["note"] for item in snapshot["running"] if item["note"]}

    assert len(heard) == 3
    assert heard <= {f"row {number} of 8" for number in range(9)}


def test_given_an_aborted_import_when_gone_on_with_then_a_new_run_finishes_it(
    application: Application, browser: Browser
) -> None:
    first = browser.begin(("many.csv", places(50)), batch_size="10", failing="1")
    first.drive_to("blocked")
    first.act("abort")
    assert "It stands still" in browser.get(first.result).words

    answer = browser.press(f"{first.result}/resume")

    assert (answer.status, answer.location != first.path) == (303, True)
    second = first.again(answer.location)
    second.drive_to("completed")
    assert len(application.rows()) == 50
    assert "Imported" in browser.get(first.result).words


def test_given_a_paused_import_when_gone_on_with_then_it_runs(application: Application, browser: Browser) -> None:
    run = browser.begin(("many.csv", places(50)))
    run.act("pause")

    run.again(browser.press(f"{run.result}/resume").location).drive_to("completed")

    assert len(application.rows()) == 50


def test_given_an_import_when_removed_then_its_rows_queue_file_and_page_are_gone(
    application: Application, browser: Browser
) -> None:
    kept = browser.begin(("kept.csv", places(5)))
    kept.drive_to("completed")
    run = browser.begin(("many.csv", places(50)), batch_size="10", failing="1")
    run.drive_to("blocked")
    assert all_files(application.folder) == [f"demo-data/imports/{run.queue}/many.csv"]

    assert browser.press(f"{run.result}/remove").location == "/"

    assert [row[0] for row in application.rows()] == ["kept.csv"] * 5
    assert all_files(application.folder) == []
    assert (browser.get(run.result).status, browser.get(run.path).status) == (404, 410)
    assert list(queues(application)) == [kept.queue]


# --- what is refused ---


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("places.csv", places(3))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "places.csv is empty"),
        (b"\n\n", "places.csv is empty"),
        (b"\x89PNG\r\n\x1a\n\0\0", "places.csv is a binary file"),
        (b"name\n" + b"x\n" * 50_000 + b"\0", "places.csv is a binary file"),
        (zipped(), "places.csv is a zip archive or a spreadsheet: save it as CSV"),
        (b"12,Berlin\n", "places.csv has no header with a column for the name"),
        ("name\nx\n".encode("utf-16"), "places.csv is written in UTF-16"),
        (b'"name,\n', "places.csv has no readable header"),
    ],
    ids=["empty", "blank", "picture", "binary far behind", "zip", "no header", "utf-16", "quote"],
)
def test_given_an_upload_that_is_no_csv_when_sent_then_one_sentence_says_so_and_nothing_is_left(
    refusing: tuple[Application, Browser], content: bytes, sentence: str
) -> None:
    application, browser = refusing
    before = left(application)
    answer = browser.send_form(("places.csv", content))

    assert answer.status == 400
    assert answer.words.count(sentence) == 2  # on top, and beside the field
    assert "demo-data" not in answer.text  # where it lies is nobody's business
    assert left(application) == before


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"source": "own"}, "Choose a CSV file, or one of the samples."),
        ({"source": "../../etc/passwd"}, "Choose one of the samples, or a file of your own."),
        ({"source": ""}, "Choose one of the samples, or a file of your own."),
        ({"batch_size": "0"}, f"Enter a whole number from 1 to {MAX_BATCH}."),
        ({"batch_size": str(MAX_BATCH + 1)}, f"Enter a whole number from 1 to {MAX_BATCH}."),
        ({"batch_size": "9" * 5000}, f"Enter a whole number from 1 to {MAX_BATCH}."),
        ({"batch_size": "٣"}, f"Enter a whole number from 1 to {MAX_BATCH}."),
        ({"batch_size": '"><script>'}, f"Enter a whole number from 1 to {MAX_BATCH}."),
        ({"seconds": "1e9"}, "Choose one of the list."),
        ({"failing": "-1"}, "Choose one of the list."),
    ],
)
def test_given_a_field_with_a_value_that_is_not_offered_when_sent_then_it_is_named_and_nothing_begins(
    refusing: tuple[Application, Browser], fields: dict[str, str], sentence: str
) -> None:
    application, browser = refusing
    before = left(application)
    answer = browser.send_form(None, **{"batch_size": "7", "failing": "1", **fields})

    assert answer.status == 400
    assert answer.words.count(sentence) == 2
    assert "<script" not in answer.text
    kept = {"batch_size": "7"} | fields
    inputs = {tag.get("name"): tag.get("value") for name, tag in answer.tags if name == "input"}
    assert inputs["batch_size"] == kept["batch_size"]  # what was entered stands there still
    assert left(application) == before


def test_given_no_file_but_an_empty_field_for_it_when_sent_then_the_sample_is_taken(
    application: Application, browser: Browser
) -> None:
    browser.begin(("", b""), source="mistakes").drive_to("completed")

    assert len(application.rows()) == KEPT


@pytest.mark.parametrize("size", [MAX_UPLOAD + 200_000, 3 * MAX_UPLOAD])
def test_given_an_upload_that_is_too_large_when_sent_then_a_page_says_so_and_nothing_is_left(
    refusing: tuple[Application, Browser], size: int
) -> None:
    application, browser = refusing
    before = left(application)
    answer = browser.send_form(("huge.csv", b"name\n" + b"x" * size))

    assert answer.status == 413
    assert "The file is too large: up to 8 MB can be uploaded." in answer.words
    assert left(application) == before


def test_given_an_announced_size_beyond_all_reason_when_sent_then_it_is_refused_before_it_is_read(
    server: Server, browser: Browser
) -> None:
    with closing(socket.create_connection(("127.0.0.1", server.port), timeout=30)) as connection:
        head = f"POST /imports HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {4 * MAX_UPLOAD + 1}\r\n\r\ntoken="
        connection.sendall(head.encode())
        assert b" 413 " in connection.recv(100)
    assert browser.get("/").status == 200


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("../../evil.csv", "evil.csv"),
        ("/etc/cron.d/evil", "evil.csv"),
        ("C:\\\\Users\\\\me\\\\places.csv", "places.csv"),
        (".htaccess", "htaccess.csv"),
        ("..", "upload.csv"),
        ("東京.csv", "upload.csv"),
        ("evil.html", "evil.csv"),
        ("a" * 300 + ".csv", "a" * 60 + ".csv"),
        ("-rf.csv", "rf.csv"),
    ],
)
def test_given_a_hostile_file_name_when_uploaded_then_the_file_lies_where_it_should_under_a_plain_name(
    refusing: tuple[Application, Browser], given: str, kept: str
) -> None:
    application, browser = refusing
    before = all_files(application.folder)

    run = browser.begin((given, places(2)))

    assert set(all_files(application.folder)) - set(before) == {f"demo-data/imports/{run.queue}/{kept}"}
    run.drive_to("completed")
    assert kept in browser.get(run.result).element("<h1>(.*?)</h1>")
    browser.press(f"{run.result}/remove")
    assert all_files(application.folder) == before


def test_given_any_name_when_made_safe_then_it_is_one_plain_component() -> None:
    for given in ("", ".", "a/b", "a\0b", "a\nb.csv", "CON", "%2e%2e%2f", "é<x>.csv", "\u202egnp.csv", "a.b.c"):
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*\.csv", safe_name(given)), given


# --- whose it is ---


@pytest.mark.parametrize("token", ["", "0" * 32, "é"])
def test_given_a_form_without_the_token_of_this_browser_when_sent_then_it_is_refused(
    refusing: tuple[Application, Browser], token: str
) -> None:
    application, browser = refusing
    run = browser.begin(source="mistakes")
    before = left(application)
    stranger = browser.another().form()["token"]

    for given in (token, stranger):
        assert browser.send_form(token=given).status == 403
        assert browser.press(f"{run.result}/remove", token=given).status == 403
        assert browser.press(f"{run.result}/resume", token=given).status == 403

    assert left(application) == before
    assert browser.press(f"{run.result}/remove").status == 303


def test_given_the_import_of_another_browser_when_asked_for_then_there_is_none(
    server: Server, browser: Browser
) -> None:
    run = browser.begin(source="mistakes")
    other = server.browser()

    assert other.get(run.result).status == 404
    assert other.get(run.path).status == 404
    assert other.press(f"{run.result}/remove").status == 404
    assert "mistakes.csv" not in other.get("/").words
    assert browser.get(run.result).status == 200


@pytest.mark.parametrize("key", ["0123456789ab", "x", "%00", "a%2f..%2fb", "%F0%9F%98%80", "1" * 5000])
def test_given_a_key_of_no_import_when_asked_for_then_it_is_not_found(
    refusing: tuple[Application, Browser], key: str
) -> None:
    _, browser = refusing
    assert browser.get(f"/imports/{key}").status == 404


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_given_a_key_that_the_database_cannot_hold_when_asked_for_then_it_is_not_found(browser: Browser) -> None:
    assert browser.get("/imports/%00").status == 404


def test_given_a_wrong_method_when_sent_then_the_right_one_is_named(refusing: tuple[Application, Browser]) -> None:
    _, browser = refusing
    answer = browser.get("/imports")

    assert (answer.status, "POST" in answer.headers["Allow"]) == (405, True)


def test_given_one_form_sent_several_times_at_once_when_answered_then_it_is_one_import(
    application: Application, browser: Browser
) -> None:
    form, answers = browser.form(), []
    senders = [
        threading.Thread(target=lambda: answers.append(browser.post("/imports", form | {"source": "mistakes"})))
        for _ in range(5)
    ]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()

    assert {answer.status for answer in answers} == {303}
    assert len({answer.location for answer in answers}) == 1
    assert len(queues(application)) == 1


def test_given_the_form_of_somebody_elses_import_when_sent_then_it_is_an_import_of_its_own(
    application: Application, server: Server, browser: Browser
) -> None:
    form = browser.form() | {"source": "mistakes"}
    first = browser.post("/imports", form)
    other = server.browser()

    second = other.post("/imports", form | {"token": other.form()["token"]})

    assert (first.status, second.status, first.location == second.location) == (303, 303, False)
    assert len(queues(application)) == 2


def test_given_as_many_unfinished_imports_as_there_may_be_when_one_more_begins_then_it_waits_for_an_end(
    application: Application, browser: Browser
) -> None:
    runs = [browser.begin(("few.csv", places(1))) for _ in range(MOST)]

    refused = browser.send_form(("few.csv", places(1)))
    assert (refused.status, f"{MOST} imports are unfinished" in refused.words) == (400, True)
    runs[3].drive_to("completed")
    browser.begin(("more.csv", places(1)))

    standing = set(queues(application))
    assert len(standing) == MOST
    assert runs[3].queue not in standing  # the finished one made room


# --- stopping and starting ---


def test_given_a_restart_when_the_browser_comes_back_then_its_session_and_import_are_there(
    application: Application, server: Server, browser: Browser
) -> None:
    run = browser.begin(source="mistakes")
    key_file = next(application.folder.glob("*.key"))
    key = key_file.read_text()
    assert (key_file.stat().st_mode & 0o777, len(key)) == (0o600, 64)

    code, out, err = server.end(signal.SIGTERM)
    server.start()

    assert (code, err) == (0, "")
    assert "Stopping" in out
    run.drive_to("completed")
    assert browser.get(run.result).status == 200
    assert key_file.read_text() == key


def test_given_a_key_that_others_could_read_when_started_then_a_new_one_is_made(tmp_path: Path) -> None:
    path = tmp_path / "demo.db.key"
    first = kept_key(path)
    assert kept_key(path) == first
    path.chmod(0o644)

    second = kept_key(path)

    assert second != first
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_given_a_slow_task_in_hand_when_the_server_is_asked_to_stop_then_it_ends_soon_and_in_good_order(
    application: Application, server: Server, browser: Browser, number: signal.Signals
) -> None:
    run = browser.begin(("slow.csv", places(30)), batch_size="10", seconds="5")
    wait_for(lambda: run.drive()["running"] and run.state()["running"][0]["note"], "a task is in the middle")

    code, _, err = server.end(number)

    assert (code, err) == (0, "")
    assert len(application.rows()) == 10  # the task in hand was finished, and no other begun
    assert [(queue["leased"], queue["ready"]) for queue in queues(application).values()] == [(0, 3)]


@pytest.mark.chaos
@pytest.mark.parametrize("database_url", ["sqlite", "mariadb"], indirect=True)
def test_given_a_kill_in_mid_import_when_started_again_then_the_table_is_the_undisturbed_one(
    application: Application, server: Server, browser: Browser, undisturbed: list[Any]
) -> None:
    run = browser.begin(source="cities", batch_size="150")
    while application.number_of_rows() < len(undisturbed) // 4:
        run.drive()
    before = application.number_of_rows()
    hand = threading.Thread(target=lose, args=[run.drive])
    hand.start()
    wait_for(lambda: application.number_of_rows() > before, "a slice is under way")

    server.end(signal.SIGKILL)
    hand.join()
    assert len(undisturbed) // 4 <= len(application.rows()) < len(undisturbed)
    server.start()
    run.drive_to("completed")

    assert application.rows() == undisturbed
    assert application.bad_rows() == []
    assert f"Rows imported {len(undisturbed):,}" in browser.get(run.result).words


# --- beside the command line ---


def test_given_an_import_of_the_browser_when_finished_in_a_terminal_then_its_page_shows_the_end(
    application: Application, browser: Browser
) -> None:
    run = browser.begin(("many.csv", places(50)), batch_size="10")

    done = application.run("--app", "demo_ext.app:service", "run", run.queue, module="taskqueue")

    assert done.returncode == 0, done.stderr
    assert len(application.rows()) == 50
    run.drive_to("completed")
    assert "Rows imported 50" in browser.get(run.result).words


def test_given_imports_of_browser_and_command_line_when_repeated_then_neither_touches_the_other(
    application: Application, browser: Browser
) -> None:
    source = application.folder / "mine.csv"
    source.write_text("name\nx\ny,bad\n")
    run = browser.begin(("many.csv", places(50)), batch_size="10")
    run.drive()

    first, second = application.run(source), application.run(source)

    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert "1 rows of 1 files imported, 1 bad rows." in second.stdout
    run.drive_to("completed")
    assert [row[0] for row in application.rows()] == ["many.csv"] * 50 + ["mine.csv"]
    assert "Rows imported 50 Bad rows 0" in browser.get(run.result).words


def test_given_tables_of_an_earlier_version_when_started_then_they_get_the_new_columns_and_keep_their_rows(
    application: Application,
) -> None:
    with closing(sqlite3.connect(application.url.removeprefix("sqlite:///"))) as database:
        database.executescript(_OLD_TABLES)

    with Server(application, **QUICK) as server:
        server.browser().begin(source="mistakes").drive_to("completed")

    done = application.run("--help")
    assert done.returncode == 0
    assert application.rows()[-1][:3] == ("old.csv", 2, "old")
    assert len(application.rows()) == KEPT + 1


_OLD_TABLES = """
CREATE TABLE demo_import (id INTEGER NOT NULL PRIMARY KEY, sources JSON NOT NULL, started DATETIME NOT NULL,
  finished DATETIME, summary JSON);
CREATE TABLE demo_file (id INTEGER NOT NULL PRIMARY KEY, path TEXT NOT NULL, encoding VARCHAR(20) NOT NULL);
CREATE TABLE demo_row (id INTEGER NOT NULL PRIMARY KEY, file_id INTEGER NOT NULL REFERENCES demo_file (id),
  line INTEGER NOT NULL, name VARCHAR(200) NOT NULL, country VARCHAR(100), population BIGINT, latitude DOUBLE,
  longitude DOUBLE, extra JSON NOT NULL, CONSTRAINT demo_row_once UNIQUE (file_id, line));
CREATE TABLE demo_bad_row (id INTEGER NOT NULL PRIMARY KEY, path TEXT NOT NULL, line INTEGER NOT NULL,
  reason TEXT NOT NULL);
INSERT INTO demo_file VALUES (1, '/x/old.csv', 'utf-8');
INSERT INTO demo_row VALUES (1, 1, 2, 'old', NULL, NULL, NULL, NULL, '{}');
"""


# --- starting it wrongly ---


def test_given_a_port_that_is_taken_when_asked_for_then_one_sentence_and_exit_code_2(application: Application) -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        done = application.run("--port", str(port), module="demo_ext.web")

    assert (done.returncode, done.stdout) == (2, "")
    assert f"port {port} cannot be used" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("url", ["nonsense", "sqlite:////missing/folder/demo.db"])
def test_given_a_database_out_of_reach_when_started_then_one_sentence_and_exit_code_2(tmp_path: Path, url: str) -> None:
    done = Application(url, tmp_path).run("--port", "0", module="demo_ext.web")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Error: ")
    assert "Traceback" not in done.stderr


def test_given_help_when_asked_for_then_it_names_the_option(application: Application) -> None:
    done = application.run("--help", module="demo_ext.web")

    assert (done.returncode, "--port" in done.stdout) == (0, True)
