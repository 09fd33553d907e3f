"""The tools of the browser tests do what they promise: a tool that looks away would let every test pass."""

from __future__ import annotations

import http.client
import os
import re
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.web.setups import under_both_servers
from tests.web.toolkit.browser import Complaints, Tab, Visitor, settle
from tests.web.toolkit.journal import Journal
from tests.web.toolkit.proxy import FaultyProxy
from tests.web.toolkit.server import process_state
from tests.web.toolkit.site import Site

PAGE = """<!doctype html><html lang=en><title>Stub</title><h1 id=h>Import</h1>
<progress aria-labelledby=h value=42 max=100></progress><p data-status=running>Running</p>
<button>Skip</button><button hidden>Retry</button>{more}"""


class Upstream(ThreadingHTTPServer):
    """Counts what reaches it; a request waits while the gate is closed."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.arrived: list[str] = []
        self.finished: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        self.page = PAGE.format(more="")
        self.csp = "default-src 'none'"


class _Handler(BaseHTTPRequestHandler):
    server: Upstream

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.arrived.append(f"{self.command} {self.path}")
        self.server.gate.wait(10)
        self.server.finished.append(f"{self.command} {self.path}")
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Security-Policy", self.server.csp)
        self.end_headers()
        self.wfile.write(self.server.page.encode())

    do_POST = do_GET

    def log_message(self, *_: Any) -> None:
        """Keep quiet."""


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """An application behind the proxy."""
    with Upstream() as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def proxy(upstream: Upstream) -> Iterator[FaultyProxy]:
    """The proxy, in front of it."""
    proxy = FaultyProxy(("127.0.0.1", upstream.server_address[1]))
    yield proxy
    proxy.close()


def ask(proxy: FaultyProxy, path: str = "/", method: str = "GET") -> int:
    """The status of the answer; 0 when there is none."""
    host, _, port = proxy.url.rpartition("/")[2].partition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    try:
        connection.request(method, path, body=b"{}" if method == "POST" else None)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


# --- proxy ---


def test_given_no_fault_when_asked_then_everything_passes_and_is_listed(proxy: FaultyProxy) -> None:
    # given, when
    statuses = [ask(proxy, "/a?x=1"), ask(proxy, "/b", "POST")]
    # then
    assert statuses == [200, 200]
    assert [(seen.method, seen.path, seen.query, seen.body) for seen in proxy.seen()] == [
        ("GET", "/a", "x=1", b""),
        ("POST", "/b", "", b"{}"),
    ]


def test_given_a_timeout_when_the_application_takes_longer_then_504_and_it_goes_on(
    proxy: FaultyProxy, upstream: Upstream
) -> None:
    # given
    upstream.gate.clear()
    with proxy.timeout(0.1, "/drive$"):
        # when
        status = ask(proxy, "/drive", "POST")
    # then
    assert (status, upstream.finished) == (504, [])
    upstream.gate.set()
    proxy.requests.clear()
    assert ask(proxy, "/drive", "POST") == 200
    assert upstream.arrived == ["POST /drive"] * 2


def test_given_a_bad_gateway_when_asked_then_502_and_the_application_hears_nothing(
    proxy: FaultyProxy, upstream: Upstream
) -> None:
    # given
    fault = proxy.bad_gateway("/drive$", times=1)
    # when
    statuses = [ask(proxy, "/state"), ask(proxy, "/drive", "POST"), ask(proxy, "/drive", "POST")]
    # then
    assert statuses == [200, 502, 200] and len(fault.hits) == 1
    assert upstream.arrived == ["GET /state", "POST /drive"]


def test_given_a_swallowed_answer_when_posted_then_no_answer_but_it_is_done(
    proxy: FaultyProxy, upstream: Upstream
) -> None:
    # given
    proxy.swallow("/retry$")
    # when
    statuses = [ask(proxy, "/retry"), ask(proxy, "/retry", "POST"), ask(proxy, "/retry", "POST")]
    # then
    assert statuses == [200, 0, 200]
    assert upstream.finished == ["GET /retry", "POST /retry", "POST /retry"]
    assert [seen.upstream_status for seen in proxy.seen(method="POST")] == [200, 200]


def test_given_a_held_request_when_let_go_then_it_arrives_only_then(proxy: FaultyProxy, upstream: Upstream) -> None:
    # given
    fault = proxy.hold("/module.js$")
    statuses: list[int] = []
    thread = threading.Thread(target=lambda: statuses.append(ask(proxy, "/module.js")))
    thread.start()
    fault.wait_for_hit()
    assert upstream.arrived == []
    # when
    fault.end()
    thread.join(10)
    # then
    assert (statuses, upstream.arrived) == ([200], ["GET /module.js"])


def test_given_a_held_answer_when_let_go_then_the_work_was_done_before(proxy: FaultyProxy, upstream: Upstream) -> None:
    # given
    fault = proxy.hold_answer("/drive$")
    statuses: list[int] = []
    thread = threading.Thread(target=lambda: statuses.append(ask(proxy, "/drive", "POST")))
    thread.start()
    seen = fault.wait_for_hit()
    while seen.upstream_status != 200:
        time.sleep(0.005)
    assert (statuses, upstream.finished) == ([], ["POST /drive"])
    # when
    fault.end()
    thread.join(10)
    # then
    assert statuses == [200]


def test_given_no_network_when_asked_then_nothing_until_it_is_back(proxy: FaultyProxy, upstream: Upstream) -> None:
    # given
    upstream.gate.clear()
    waiting: list[int] = []
    thread = threading.Thread(target=lambda: waiting.append(ask(proxy, "/drive", "POST")))
    thread.start()
    while not upstream.arrived:
        time.sleep(0.005)
    # when
    network = proxy.offline()
    thread.join(10)
    # then
    assert waiting == [0] and ask(proxy) == 0
    upstream.gate.set()
    network.end()
    assert ask(proxy) == 200


def test_given_no_application_when_asked_then_502(proxy: FaultyProxy, upstream: Upstream) -> None:
    upstream.shutdown()
    upstream.server_close()
    assert ask(proxy) == 502


# --- journal ---


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """An empty one."""
    return Journal(tmp_path)


def test_given_tasks_one_after_the_other_when_checked_then_nothing_is_found(journal: Journal) -> None:
    for number in (1, 2):
        journal.write("start", number=number)
        journal.write("end", number=number)
    journal.assert_each_once([1, 2])
    journal.assert_no_overlap()
    journal.assert_order()


def test_given_a_task_that_ran_twice_when_checked_then_it_is_found(journal: Journal) -> None:
    for number in (1, 1):
        journal.write("start", number=number)
        journal.write("end", number=number)
    with pytest.raises(AssertionError, match="not each once"):
        journal.assert_each_once([1])


@pytest.mark.parametrize("numbers", [[], [1, 2]])
def test_given_a_task_that_is_missing_or_too_many_when_checked_then_it_is_found(
    journal: Journal, numbers: list[int]
) -> None:
    for number in numbers:
        journal.write("start", number=number)
        journal.write("end", number=number)
    with pytest.raises(AssertionError, match="not each once"):
        journal.assert_each_once([1])


def test_given_a_task_that_never_ended_when_checked_then_it_is_found(journal: Journal) -> None:
    journal.write("start", number=1)
    with pytest.raises(AssertionError, match="not each ended"):
        journal.assert_each_once([1])


def test_given_two_tasks_at_a_time_when_checked_then_the_overlap_is_found(journal: Journal) -> None:
    journal.write("start", number=1)
    thread = threading.Thread(target=lambda: journal.write("start", number=2))
    thread.start()
    thread.join()
    with pytest.raises(AssertionError, match="was started beside"):
        journal.assert_no_overlap()


def test_given_a_start_in_a_process_that_was_killed_when_the_next_starts_then_that_is_no_overlap(
    journal: Journal,
) -> None:
    journal.write("start", number=1)
    journal.write("killed", pids=[os.getpid()])
    journal.write("start", number=1)
    journal.assert_no_overlap()


def test_given_tasks_out_of_order_when_checked_then_it_is_found(journal: Journal) -> None:
    for number in (2, 1):
        journal.write("start", number=number)
        journal.write("end", number=number)
    with pytest.raises(AssertionError, match="out of order"):
        journal.assert_order()


def test_given_a_gate_when_it_is_opened_then_the_task_goes_on(journal: Journal) -> None:
    thread = threading.Thread(target=lambda: (journal.pass_gate("a"), journal.write("end", number=1)))
    thread.start()
    assert journal.lines() == []
    journal.open_gate("a")
    journal.wait_for("end", number=1)
    thread.join()


# --- server ---


@under_both_servers
def test_given_a_killed_server_when_started_again_then_it_answers_on_the_same_port(site: Site) -> None:
    # given
    journal = site.make_queue({"kind": "ok"}).journal
    pids, port = site.server.pids(), site.server.port
    # when
    site.server.kill()
    # then
    assert not site.server.is_running
    assert ask(site.proxy, "/ready") == 502
    assert {process_state(pid) for pid in pids} == {"Z"}
    assert [sorted(line["pids"]) for line in journal.lines("killed")] == [sorted(pids)]
    site.server.restart()
    assert (site.server.port, ask(site.proxy, "/ready")) == (port, 200)


@under_both_servers
def test_given_a_frozen_server_when_thawed_then_it_goes_on(site: Site) -> None:
    # given
    pids = site.server.pids()
    site.server.freeze()
    # when
    with site.proxy.timeout(0.2):
        status = ask(site.proxy, "/ready")
    # then
    assert status == 504
    site.server.thaw()
    assert (ask(site.proxy, "/ready"), site.server.pids()) == (200, pids)


@under_both_servers
def test_given_a_server_when_asked_to_stop_then_it_ends_in_good_order(site: Site) -> None:
    site.server.stop()
    assert not site.server.is_running
    site.server.start()
    assert ask(site.proxy, "/ready") == 200


# --- browser ---


@pytest.fixture
def visitor(browser: Browser, proxy: FaultyProxy) -> Iterator[Visitor]:
    """Somebody in front of a stub of a page."""
    complaints = Complaints()
    context = browser.new_context()
    complaints.listen_to(context)
    yield Visitor(context, complaints, proxy.url)
    context.close()


def test_given_a_page_when_looked_at_then_its_parts_are_found(visitor: Visitor) -> None:
    # given, when
    tab = visitor.open("/")
    # then
    assert (tab.percent, tab.status, tab.buttons()) == (42.0, "running", {"Skip"})
    tab.expect_button("Skip")
    tab.expect_no_button("Retry", within=0.1)
    assert tab.violations() != []  # no main landmark, for one
    settle(visitor.context)
    assert visitor.complaints.unexpected() == []


@pytest.mark.parametrize(
    ("page", "csp", "complaint"),
    [
        ("<script>console.error('oops')</script>", "default-src 'self' 'unsafe-inline'", "console: oops"),
        ("<script>console.assert(false, 'odd')</script>", "default-src 'self' 'unsafe-inline'", "console: odd"),
        ("<script>throw Error('bug')</script>", "default-src 'self' 'unsafe-inline'", "script: .*bug"),
        ("<script>1</script>", "default-src 'self'", "policy violated: script-src"),
        ("<p style='color: red'>", "default-src 'self'", "policy violated: style-src"),
        ("<img src=/404>", "default-src 'self'", "policy|status of 502"),
    ],
)
def test_given_a_faulty_page_when_opened_then_the_complaint_is_noticed_and_can_be_allowed(
    visitor: Visitor, proxy: FaultyProxy, upstream: Upstream, page: str, csp: str, complaint: str
) -> None:
    # given
    upstream.page, upstream.csp = PAGE.format(more=page), csp
    proxy.bad_gateway("/404")
    # when
    visitor.open("/")
    settle(visitor.context)
    # then
    found = "\n".join(visitor.complaints.unexpected())
    assert re.search(complaint, found), found
    visitor.complaints.allow(complaint + "|.")
    assert visitor.complaints.unexpected() == []


def test_given_a_request_without_an_answer_when_noticed_then_it_can_be_allowed(
    visitor: Visitor, proxy: FaultyProxy, upstream: Upstream
) -> None:
    # given
    upstream.page, upstream.csp = PAGE.format(more="<img src=/lost>"), "default-src 'self'"
    proxy.cut("/lost")
    # when
    tab: Tab = visitor.open("/")
    tab.pause(0.05)
    # then
    assert visitor.complaints.unexpected() != []
    visitor.complaints.allow_lost_connections()
    assert visitor.complaints.unexpected() == []
