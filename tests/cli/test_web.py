"""``web`` serves the pages alone: one link for one browser, nothing for anybody else, a good end."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from taskqueue import BatchQueue, QueueService
from taskqueue.queues.sql_base import SqlBase
from taskqueue.runs.state import Definition, RunState
from taskqueue.runs.store import Runs
from tests import ports
from tests.cli.conftest import JOBS, Shell, refused
from tests.cli.jobs import HOSTILE
from tests.cli.visitor import Visitor

OK = f"{JOBS}:append"
END = f"{JOBS}:end"
ALLOW = ("--allow", JOBS)


class Pages:
    """A running ``taskqueue web``."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.link = self.next_link()
        self.base = re.match(r"http://[^/]*/", self.link)[0]  # type: ignore[index]

    def next_link(self) -> str:
        """The link that is printed next."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read() if self.process.stderr else ""
        link: str = json.loads(line)["url"]
        return link

    def press_enter(self) -> str:
        """Ask for a new link."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.next_link()

    def stranger(self) -> Visitor:
        """Somebody without a link."""
        return Visitor(self.base)

    def admin(self) -> Visitor:
        """Somebody who comes by a link."""
        visitor = self.stranger()
        assert visitor.get(self.press_enter()).status == 303
        return visitor

    def end(self, number: signal.Signals = signal.SIGINT) -> tuple[int, str]:
        """Stop it; its exit code and what it said on stderr."""
        self.process.send_signal(number)
        _out, err = self.process.communicate(timeout=30)
        return self.process.returncode, err


Serve = Callable[..., Pages]


@pytest.fixture
def serve(shell: Shell, queue: BatchQueue) -> Iterator[Serve]:
    """Starts ``taskqueue web ARGS --json`` on a database with a queue "q"; it must not say a word unasked."""
    started: list[Pages] = []

    def start(*args: str, **options: Any) -> Pages:
        started.append(Pages(shell.start("web", "--json", *args, **options)))
        return started[-1]

    yield start
    for pages in started:
        if pages.process.poll() is None:
            code, err = pages.end()
            assert code == 130
            assert [line for line in err.splitlines() if not line.startswith("Stopping")] == []


def begin(queue: BatchQueue, title: str = "Import", *, owner: str = "user:ann", start: bool = True) -> RunState:
    """A run that an application has begun."""
    assert isinstance(queue, SqlBase)
    return Runs.of(queue).create(queue, Definition(title=title, on_end=END), owner=owner, start=start)


def run_of(queue: BatchQueue, run_id: str) -> RunState:
    """How a run stands."""
    assert isinstance(queue, SqlBase)
    return Runs.of(queue).get(run_id)


def journal(shell: Shell) -> list[str]:
    """What was executed."""
    path = shell.folder / "journal"
    return path.read_text().split() if path.exists() else []


# --- the link ------------------------------------------------------------------------------------


def test_the_link_signs_one_browser_in_once(serve: Serve) -> None:
    # given
    pages = serve(*ALLOW)
    first, second = pages.stranger(), pages.stranger()
    # when
    answer = first.get(pages.link)
    # then
    cookie = answer.headers["Set-Cookie"]
    assert (answer.status, answer.location, answer.headers["Cache-Control"]) == (303, "/", "no-store")
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Expires" not in cookie
    assert "<h1" in first.get("/runs").text
    # when
    again = second.get(pages.link)
    # then
    assert (again.status, again.headers["Set-Cookie"]) == (403, None)
    assert "press Enter in the terminal" in again.text
    assert second.get("/").status == 403
    # who is in already is not thrown out by an old link
    assert first.get(pages.link).location == "/"


def test_looking_at_a_link_beforehand_does_not_spend_it(serve: Serve) -> None:
    # given
    pages = serve(*ALLOW)
    stranger = pages.stranger()
    # when
    answers = [
        stranger.ask("HEAD", pages.link),
        stranger.ask("POST", pages.link, b""),
        stranger.get(pages.link, Sec_Purpose="prefetch;prerender"),
        stranger.get(pages.link, Purpose="prefetch"),
        stranger.get(pages.link[:-1]),
        stranger.get(pages.link + "x"),
        stranger.get(pages.link.replace("token=", "token=%ff&x=")),
    ]
    # then
    assert {answer.status for answer in answers} == {403}
    assert stranger.get(pages.link).status == 303


def test_enter_in_the_terminal_makes_a_new_link_and_the_one_before_void(serve: Serve) -> None:
    # given
    pages = serve(*ALLOW)
    # when
    links = [pages.link, pages.press_enter(), pages.press_enter()]
    # then
    assert len(set(links)) == 3
    assert [pages.stranger().get(link).status for link in links] == [403, 403, 303]


def test_two_started_side_by_side_do_not_share_a_cookie(serve: Serve) -> None:
    # given
    one, other = serve(*ALLOW), serve(*ALLOW)
    visitor = one.stranger()
    visitor.get(one.link)
    # when: cookies know no ports
    answer = visitor.get(f"{other.base}")
    visitor.get(other.link)
    # then
    assert answer.status == 403
    assert [visitor.get(base).status for base in (one.base, other.base)] == [303, 303]


# --- strangers -----------------------------------------------------------------------------------


def test_a_stranger_learns_nothing_and_does_nothing(serve: Serve, shell: Shell, queue: BatchQueue) -> None:
    # given
    queue.enqueue(OK, "one", title="Secret task")
    run = begin(queue, "Secret import")
    pages = serve(*ALLOW)
    stranger, page = pages.stranger(), f"/run/{run.id}"
    gets = ["/", "/runs", "/dashboard", "/dashboard/items", "/dashboard/queues/q", page,
            f"{page}?nojs=1", f"{page}/state", f"{page}/log?format=txt", f"{page}/tick?t=x",
            f"/run/{'0' * 32}", "/nonsense", "/csrf", "/login", "/login?token=", "/queue/q/run", "/%00",
            "/static/../x"]  # fmt: skip
    posts = [f"{page}/drive", f"{page}/abort", f"{page}/skip", "/queue/q/run", "/queue/other/run", "/", "/nonsense"]
    # when
    answers = [stranger.get(path) for path in gets] + [stranger.submit(path, item_id=1, fence=1) for path in posts]
    answers += [stranger.ask(method, page) for method in ("PUT", "DELETE", "OPTIONS")]
    scripts = [stranger.get(path, Accept="application/json") for path in gets]
    # then: the same for everything
    assert {(answer.status, answer.text) for answer in answers} == {(403, answers[0].text)}
    assert {(answer.status, answer.text) for answer in scripts} == {(404, scripts[0].text)}
    assert scripts[0].json["error"]["code"] == "sign_in"
    assert {answer.headers["Set-Cookie"] for answer in answers + scripts} == {None}
    assert not re.search(r"Secret|import|sqlite|>q<", answers[0].text)
    assert "default-src 'none'" in answers[0].headers["Content-Security-Policy"]
    assert (journal(shell), run_of(queue, run.id).version) == ([], run.version)


def test_a_session_of_another_start_is_worth_nothing(serve: Serve, free_port: int) -> None:
    # given
    port = ("--port", str(free_port))
    before = serve(*ALLOW, *port)
    visitor = before.admin()
    assert visitor.get("/runs").status == 200
    before.end()
    # when
    serve(*ALLOW, *port)
    # then
    assert [cookie.name for cookie in visitor.cookies] == [f"taskqueue_{free_port}"]
    assert visitor.get("/").status == 403


# --- the list ------------------------------------------------------------------------------------


def test_the_list_shows_the_runs_newest_first(serve: Serve, service: QueueService, queue: BatchQueue) -> None:
    # given
    other = service.create("Sql", "other", status="paused")
    other.create_items(range(3))
    older, newer = begin(other, "older"), begin(queue, HOSTILE + "<b>", start=False)
    service.database.transaction(
        lambda tx: tx.change("UPDATE {run} SET create_time = create_time - 60000 WHERE id = :id", id=older.id)
    )
    # when
    text = serve(*ALLOW).admin().get("/runs").text
    # then
    assert re.findall(r'href="/run/(\w+)"', text) == [newer.id, older.id]
    assert re.findall(r'data-status="(\w+)"', text) == ["ready", "paused"]
    assert "0 of 3 tasks" in text
    assert "older</a>" in text
    assert "&lt;b&gt;</a>" in text
    assert "<b>" not in text
    started = re.findall(r'<time datetime="([^"]*)">', text)
    assert len(started) == 2
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", each) for each in started)


def test_nothing_to_show(serve: Serve) -> None:
    text = serve(*ALLOW).admin().get("/runs").text
    assert "There are no runs yet." in text
    assert "<form" not in text


def test_the_list_speaks_the_language_of_the_browser(serve: Serve, queue: BatchQueue) -> None:
    # given
    queue.enqueue(OK, "one")
    admin = serve(*ALLOW).admin()
    # when
    text = admin.get("/runs", Accept_Language="de").text
    # then
    assert 'lang="de"' in text
    assert "Läufe" in text
    assert "Run this queue" not in text


# --- running -------------------------------------------------------------------------------------


def test_a_queue_that_nobody_runs_is_run_by_its_button(serve: Serve, shell: Shell, queue: BatchQueue) -> None:
    # given
    for word in ("one", "two"):
        queue.enqueue(OK, word)
    admin = serve(*ALLOW).admin()
    listed = admin.get("/runs")
    assert "Run this queue" in listed.text
    assert "2 tasks" in listed.text
    token = listed.field("csrf_token")
    # when: pressed twice
    first, second = (admin.submit("/queue/q/run", csrf_token=token) for _time in range(2))
    # then
    assert (first.status, second.status) == (303, 303)
    assert first.location == second.location
    assert journal(shell) == []
    # when
    page = admin.page(first.location or "")
    snapshot = page.drive().json
    # then
    assert (snapshot["run"]["status"], snapshot["run"]["title"], journal(shell)) == (
        "completed", "Queue q", ["one", "two"]
    )  # fmt: skip
    after = admin.get("/runs").text
    assert 'data-status="completed"' in after
    assert "Run this queue" not in after


@pytest.mark.parametrize("status", ["aborted", "completed"])
def test_a_queue_at_its_end_is_set_going_again(status: str, serve: Serve, shell: Shell, queue: BatchQueue) -> None:
    # given
    queue.enqueue(OK, "one")
    queue.set_status(status)
    admin = serve(*ALLOW).admin()
    # when
    begun = admin.submit("/queue/q/run", csrf_token=admin.get("/runs").field("csrf_token"))
    admin.page(begun.location or "").drive()
    # then
    assert journal(shell) == ["one"]


def test_a_button_needs_a_token_and_a_queue_that_may_be_run(
    serve: Serve, service: QueueService, queue: BatchQueue
) -> None:
    # given
    queue.enqueue(OK, "one")
    service.create("Sql", "held", status="paused").enqueue(OK, "two")
    service.create("Sql", "handled", payload="unknown").create_item(3)
    service.create("Sql", "empty")
    pages = serve(*ALLOW)
    admin = pages.admin()
    listed = admin.get("/runs")
    token = listed.field("csrf_token")
    # when
    tries = [
        admin.submit("/queue/q/run"),
        admin.submit("/queue/q/run", csrf_token="nonsense"),
        admin.ask("POST", "/queue/q/run", f"csrf_token={token}".encode(), Sec_Fetch_Site="cross-site"),
        admin.submit("/queue/held/run", csrf_token=token),
        admin.submit("/queue/handled/run", csrf_token=token),
        admin.submit("/queue/nonsense/run", csrf_token=token),
        admin.submit("/queue/a%2Fb/run", csrf_token=token),
        admin.get("/queue/q/run"),
        admin.submit("/queue/q/run", csrf_token=token, more="x" * 20_000),
    ]
    # then
    assert [answer.status for answer in tries] == [403, 403, 403, 403, 403, 404, 404, 405, 413]
    assert re.findall(r'action="([^"]*)"', listed.text) == ["/queue/q/run"]
    assert "This queue is paused." in listed.text
    assert ">empty<" not in listed.text
    assert isinstance(queue, SqlBase)
    assert Runs.of(queue).latest() == []
    code, err = pages.end()
    assert (code, sum("refused POST '/queue/q/run'" in line for line in err.splitlines())) == (130, 3)


def test_whoever_is_in_may_handle_the_runs_of_others(serve: Serve, shell: Shell, queue: BatchQueue) -> None:
    # given
    for callback in (OK, f"{JOBS}:bad", OK):
        queue.enqueue(callback, "one")
    run = begin(queue)
    pages = serve(*ALLOW)
    page = pages.admin().page(f"/run/{run.id}")
    # when
    paused = page.act("pause").json
    page.drive()
    # then
    assert (paused["run"]["status"], journal(shell)) == ("paused", [])
    # when
    page.act("resume")
    blocked = page.drive().json
    # then
    assert (blocked["run"]["status"], journal(shell)) == ("blocked", ["one"])
    # when
    item = {key: blocked["problem"][key] for key in ("item_id", "fence")}
    page.post(page.data["urls"]["actions"]["skip"], **item)
    done = page.drive().json
    # then
    assert (done["run"]["status"], done["progress"]["skipped"], journal(shell)) == (
        "completed",
        1,
        ["one", "one", "end"],
    )
    # what a task failed by stands in the log of the server, too
    code, err = pages.end()
    assert (code, "ValueError: one" in err) == (130, True)


def test_a_page_leads_back_to_the_list(serve: Serve, queue: BatchQueue) -> None:
    # given
    run = begin(queue)
    admin = serve(*ALLOW).admin()
    # when, then
    assert 'href="/runs">All runs</a>' in admin.get(f"/run/{run.id}").text
    assert 'href="/runs">All runs</a>' in admin.get("/nonsense").text
    assert "All runs" not in admin.get("/runs").text


# --- what it may do ------------------------------------------------------------------------------


@pytest.mark.parametrize(("args", "verbs"), [(["--read-only"], 0), (["--mode", "observe"], 2)])
def test_pages_that_only_watch_need_no_allow_list(
    args: list[str], verbs: int, serve: Serve, shell: Shell, service: QueueService, queue: BatchQueue
) -> None:
    # given
    queue.enqueue(OK, "one")
    other = service.create("Sql", "other")
    other.enqueue(OK, "two")
    run = begin(queue)
    admin = serve(*args).admin()
    # when
    listed, page = admin.get("/runs"), admin.page(f"/run/{run.id}")
    page.drive()
    # then
    assert "<form" not in listed.text
    assert admin.submit("/queue/other/run", csrf_token=page.data["csrf"]).status == 403
    assert (journal(shell), page.state()["drive"], len(page.state()["actions"])) == ([], False, verbs)
    assert page.act("abort").status == (200 if verbs else 403)
    assert run_of(queue, run.id).status == ("aborted" if verbs else "running")


def test_without_an_allow_list_a_queue_with_items_is_refused(shell: Shell, queue: BatchQueue) -> None:
    # given
    item = queue.enqueue(OK, "one")
    # when, then
    line = refused(shell.run("web"))
    assert "'q' keeps its 1 item untouched" in line
    assert "--mode observe" in line
    assert queue.fetch_item(item.id) == item


def test_without_an_allow_list_items_that_come_later_stay_untouched(
    serve: Serve, shell: Shell, queue: BatchQueue
) -> None:
    # given
    admin = serve().admin()
    item = queue.enqueue(OK, "one")
    run = begin(queue)
    page = admin.page(f"/run/{run.id}")
    # when
    answer = page.drive()
    # then
    assert (answer.status, page.state()["drive"], journal(shell)) == (403, False, [])
    assert queue.fetch_item(item.id) == item
    # when
    page.act("abort")
    # then
    listed = admin.get("/runs")
    assert "Nothing says which code of this queue may run here." in listed.text
    assert "<form" not in listed.text


def test_a_handler_of_the_app_needs_no_allow_list(shell: Shell, service: QueueService) -> None:
    # given
    (shell.folder / "app.py").write_text(
        "from pathlib import Path\n"
        "from taskqueue import QueueService\n"
        "service = QueueService()\n"
        "@service.handler('note')\n"
        "def note(ctx, data): Path('note').write_text(data)\n"
    )
    notes = service.create("Sql", "notes", payload="note")
    notes.create_item("noted")
    admin = Pages(shell.start("--app", "app:service", "web", "--json")).admin()
    # when
    begun = admin.submit("/queue/notes/run", csrf_token=admin.get("/runs").field("csrf_token"))
    answer = admin.page(begun.location or "").drive()
    # then
    assert (answer.status, (shell.folder / "note").read_text()) == (200, "noted")


# --- where it is ---------------------------------------------------------------------------------


def test_everything_stands_under_the_prefix(serve: Serve, shell: Shell, queue: BatchQueue) -> None:
    # given
    queue.enqueue(OK, "one")
    pages = serve(*ALLOW, "--url-prefix", "/tools/q")
    assert "/tools/q/login?token=" in pages.link
    visitor = pages.stranger()
    # when
    answer = visitor.get(pages.link)
    # then
    assert answer.location == "/tools/q/"
    assert "Path=/tools/q;" in answer.headers["Set-Cookie"]
    assert visitor.get("/tools/q/").location == "/tools/q/dashboard"
    listed = visitor.get("/tools/q/runs")
    begun = visitor.submit("/tools/q/queue/q/run", csrf_token=listed.field("csrf_token"))
    page = visitor.page(begun.location or "")
    assert {each.split("/run/")[0] for each in page.data["urls"]["actions"].values()} == {"/tools/q"}
    page.drive()
    assert journal(shell) == ["one"]
    paths = re.findall(r'(?:href|src|action)="([^"]*)"', listed.text)
    assert paths
    assert all(path.startswith("/tools/q/") for path in paths)
    assert pages.stranger().get("/").status == 403
    assert visitor.get("/").status == 403  # the cookie is not sent there


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_this_machine_alone_needs_no_flag(host: str, serve: Serve) -> None:
    if ":" in host and not _has_ipv6():
        pytest.skip("this machine has no IPv6")
    pages = serve(*ALLOW, "--host", host)
    assert pages.admin().get("/runs").status == 200


def test_other_machines_need_a_flag_and_are_warned_about(serve: Serve, free_port: int) -> None:
    # given
    pages = serve(*ALLOW, "--host", "0.0.0.0", "--expose", "--port", str(free_port))  # noqa: S104
    assert pages.base == f"http://{socket.gethostname()}:{free_port}/"
    pages.base = f"http://127.0.0.1:{free_port}/"
    # when, then
    assert pages.stranger().get("/").status == 403
    code, err = pages.end()
    assert (code, err.splitlines()[0].startswith("Warning: other machines can reach these pages")) == (130, True)


def test_a_port_that_is_taken_is_refused_in_one_line(shell: Shell, queue: BatchQueue) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        line = refused(shell.run("web", *ALLOW, "--port", str(taken.getsockname()[1])))
    assert "Address already in use; leave --port out" in line


def test_without_a_web_server_it_says_what_to_install(shell: Shell, queue: BatchQueue) -> None:
    # given
    code = "import sys; sys.modules['waitress'] = None; from taskqueue.cli import main; main(['web'])"
    # when
    process = shell.start(program=["-c", code])
    out, err = process.communicate(timeout=30)
    # then
    assert "pip install 'taskqueue-runner[web]'" in refused(
        subprocess.CompletedProcess([], process.returncode, out, err)
    )


def test_humans_get_sentences(shell: Shell, queue: BatchQueue) -> None:
    # given
    process = shell.start("web", *ALLOW)
    assert process.stdout is not None
    # when
    lines = [process.stdout.readline() for _line in range(6)]
    # then
    assert re.fullmatch(r"Showing the queues of sqlite:///taskqueue.db on http://127.0.0.1:\d+\n", lines[0])
    assert re.fullmatch(r" +http://127.0.0.1:\d+/login\?token=\S+\n", lines[3])
    assert "Ctrl-C" in lines[5]
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 143


# --- the end -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_task_in_hand_may_end(
    number: signal.Signals, code: int, serve: Serve, shell: Shell, queue: BatchQueue
) -> None:
    # given
    started, gate = shell.fifo("started"), shell.fifo("gate")
    queue.enqueue(f"{JOBS}:until_opened", str(started), str(gate))
    queue.enqueue(OK, "never")
    run = begin(queue)
    pages = serve(*ALLOW, "--grace", "600")
    page = pages.admin().page(f"/run/{run.id}")
    driven = page.drive()  # answered while the task goes on
    assert (driven.status, started.read_text()) == (200, "started")
    # when
    pages.process.send_signal(number)
    assert pages.process.stderr is not None
    assert pages.process.stderr.readline().startswith("Stopping")
    refused_drive = page.drive()
    gate.write_text("go on")
    # then
    assert refused_drive.status in (200, 429)  # it waits for the task in hand, or is told to wait
    assert pages.process.wait(30) == code
    assert (queue.number_of_items(), queue.statistics()["leased"], journal(shell)) == (1, 0, [])
    assert run_of(queue, run.id).status == "running"


@pytest.mark.parametrize("grace", ["0.2", "600"])
def test_a_task_that_does_not_listen_is_left_after_the_grace_period_or_a_second_signal(
    grace: str, serve: Serve, shell: Shell, queue: BatchQueue
) -> None:
    # given
    started, gate = shell.fifo("started"), shell.fifo("gate")
    item = queue.enqueue(f"{JOBS}:until_opened", str(started), str(gate))
    run = begin(queue)
    pages = serve(*ALLOW, "--grace", grace)
    pages.admin().page(f"/run/{run.id}").drive()
    assert started.read_text() == "started"
    # when
    pages.process.send_signal(signal.SIGTERM)
    assert pages.process.stderr is not None
    assert pages.process.stderr.readline().startswith("Stopping")
    if grace == "600":
        pages.process.send_signal(signal.SIGTERM)
    # then: nothing is lost
    assert pages.process.wait(30) == 143
    assert queue.fetch_item(item.id) is not None


def _has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest.fixture
def free_port() -> int:
    """A port on which nobody listens."""
    return ports.free_port()
