"""Nobody does what they may not, and what a task says never becomes markup (part E)."""

from __future__ import annotations

import http.server
import json
import re
import secrets
import threading
from collections.abc import Iterator
from html import escape
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.web.conftest import Sites
from tests.web.tasks import EVIL
from tests.web.toolkit.browser import Tab, Visitor
from tests.web.toolkit.journal import wait_until
from tests.web.toolkit.site import Run, Site

VERBS = ("start", "pause", "resume", "retry", "skip", "steal", "abort", "retry_failed", "take_over")
POSTS = (*VERBS, "drive")
#: What a security-minded host sends with each page. Trusted types refuse every text that would become markup.
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
LOOKERS = {"reader": ["view"], "expert": ["view", "view_trace"], "boss": ["*"]}


# --- 41: who posts ---


@pytest.mark.parametrize("token", ["none", "wrong", "another session's", "in the address"])
def test_given_no_good_token_when_posted_then_it_is_refused_and_nothing_happens(site: Site, token: str) -> None:
    # given: the right user, the right run, what the page itself would send
    run = site.make({"kind": "ok", "times": 2})
    headers, query = {"X-Driver": secrets.token_hex(16), "Accept": "application/json"}, ""
    if token == "wrong":
        headers["X-CSRFToken"] = token_of(site.admin, run)[:-2] + "xx"
    elif token == "another session's":
        # The very same user in another browser, with a run of their own.
        elsewhere = site.visitor()
        headers["X-CSRFToken"] = token_of(elsewhere, run)
    elif token == "in the address":
        query = f"?csrf_token={token_of(site.admin, run)}"
    before = run.state()
    for verb in POSTS:
        # when
        for data in ({"request_id": secrets.token_hex(16), "item_id": 1, "fence": 0}, None):
            answer = site.admin.post(f"{run.url}/{verb}{query}", data, headers)
            # then
            assert (answer.status, answer.json()["error"]["code"]) == (403, "csrf"), verb
        form = {"request_id": secrets.token_hex(16), "csrf_token": headers.get("X-CSRFToken", "")}
        answer = site.admin.context.request.post(f"{site.proxy.url}{run.url}/{verb}{query}", form=form, max_redirects=0)
        assert answer.status == 403, verb
    then_nothing_happened(run, before)


@pytest.mark.parametrize("origin", ["same site", "cross site", "opaque"])
@pytest.mark.parametrize("way", ["form", "form as json", "fetch", "fetch with headers"])
def test_given_a_page_of_another_origin_when_it_posts_then_nothing_happens(
    site: Site, attacker: Attacker, origin: str, way: str
) -> None:
    # given: at worst, the page knows the address and even a good token
    site.complaints.allow(".*")  # the browser has much to say about such pages
    run = site.make({"kind": "ok", "times": 2}, start=False)
    token, before = token_of(site.admin, run), run.state()
    target = f"{site.proxy.url}{run.url}/start"
    attacker.page = attacking_page(way, target, token, is_opaque=origin == "opaque")
    # when
    site.admin.open(attacker.cross_site if origin == "cross site" else attacker.same_site)
    wait_until(lambda: bool(site.proxy.seen(r"/start$")), "the page has posted", explain=site.proxy.tail)
    wait_until(lambda: all(seen.status for seen in site.proxy.seen(r"/start$")), "answered", explain=site.proxy.tail)
    # then
    for seen in site.proxy.seen(r"/start$"):
        names = {name.lower() for name, _ in seen.answer_headers}
        assert seen.status == (403 if seen.method == "POST" else 200), site.proxy.tail()
        assert not any(name.startswith("access-control-") for name in names), "it allows other origins"
    assert way == "fetch with headers" or site.proxy.seen(r"/start$", method="POST"), site.proxy.tail()
    then_nothing_happened(run, before)


def test_given_the_same_form_on_a_page_of_ours_when_posted_then_it_works(site: Site) -> None:
    """The control of the test above: nothing but the origin makes the difference."""
    # given
    run = site.make({"kind": "ok", "times": 2}, start=False)
    tab = site.admin.open("/done")
    # when
    markup = attacking_form(f"{site.proxy.url}{run.url}/start", token_of(site.admin, run))
    tab.page.evaluate("markup => { document.body.innerHTML = markup; document.forms[0].submit(); }", markup)
    # then
    tab.expect_status("completed")
    run.journal.assert_each_once([1, 2])


def test_given_a_page_of_another_origin_when_it_frames_the_run_then_the_browser_refuses(
    site: Site, attacker: Attacker
) -> None:
    # given
    site.complaints.allow("frame-ancestors|Refused to frame|Framing|ERR_BLOCKED_BY_RESPONSE|chrome-error")
    run = site.make({"kind": "ok", "times": 2}, start=False)
    attacker.page = f'<!doctype html><title>Win a prize</title><iframe src="{site.proxy.url}{run.url}"></iframe>'
    # when
    tab = site.admin.open(attacker.same_site)
    site.proxy.seen(re.escape(run.url))
    # then
    frame = tab.page.frames[1]
    assert frame.locator("[data-status]").count() == 0 and not run.journal.lines()
    assert frame.url.startswith("chrome-error://") or frame.evaluate("document.body?.innerText ?? ''") == ""


def test_given_a_page_of_another_origin_when_it_reads_then_it_learns_nothing(site: Site, attacker: Attacker) -> None:
    # given: of the same site, so that the browser sends the cookies along
    site.complaints.allow(".*")
    run = site.make({"kind": "ok", "times": 2}, title="Secret import", start=False)
    base = f"{site.proxy.url}{run.url}"
    addresses = [base, f"{base}/state", f"{base}/log?format=txt", base.partition("/run/")[0] + "/csrf"]
    script = f"""
      for (const address of {json.dumps(addresses)}) {{
        for (const mode of ["cors", "no-cors"]) {{
          const read = fetch(address, {{ credentials: "include", mode }}).then((answer) => answer.text());
          const text = await read.catch(() => "");
          document.body.append(document.createElement("p"), `${{mode}} ${{text}}`);
        }}
      }}
      document.title = "done";
    """
    attacker.page = f"<!doctype html><title>Win a prize</title><body><script type=module>{script}</script>"
    # when
    page = site.admin.open(attacker.same_site).page
    expect(page).to_have_title("done")
    # then
    asked = [seen.status for seen in site.proxy.seen(rf"{run.run_id}|csrf") if header_of(seen.headers, "Cookie")]
    assert asked.count(200) == len(asked) >= 2 * len(addresses), site.proxy.tail()
    assert set(page.locator("body").inner_text().split()) == {"cors", "no-cors"}


# --- 43: who may ---


def test_given_a_reader_when_the_run_moves_then_they_see_it_without_a_button_and_drive_nothing(sites: Sites) -> None:
    # given: nobody else has the page open
    site = sites(TEST_AUTHORIZE=LOOKERS)
    run = site.make({"kind": "fail_until"}, {"kind": "ok"})
    tab = site.open(run, by=site.visitor("reader"))
    tab.expect_status("running")
    # when: for some looks at the state
    wait_until(lambda: len(site.proxy.seen(r"/state$")) >= 3, "the page looks again", explain=site.proxy.tail)
    # then
    assert site.proxy.seen(method="POST") == site.proxy.seen(r"^/make$"), "the reader's page has posted"
    assert run.journal.lines() == []
    then_no_button(tab)
    # when
    owner = site.open(run)
    for status in ("blocked", "completed"):
        # then
        tab.expect_status(status)
        then_no_button(tab)
        if status == "blocked":
            run.journal.mark("fixed")
            owner.press("Retry")


@pytest.mark.parametrize("why", ["reader", "read only"])
def test_given_read_only_when_verbs_are_sent_by_hand_then_each_is_refused_and_nothing_happens(
    sites: Sites, why: str
) -> None:
    # given: with a page's own token, and with what the owner's page would send
    if why == "reader":
        site = sites(TEST_AUTHORIZE=LOOKERS)
        run = site.make({"kind": "fail"}, {"kind": "ok"})
        site.open(run).expect_status("blocked")
        site.admin.close_tabs()
        tab = site.open(run, by=site.visitor("reader"))
    else:
        site = sites(TASKQUEUE_READ_ONLY=True)
        run = site.make({"kind": "fail"}, {"kind": "ok"})
        tab = site.open(run)
    site.complaints.allow_statuses(403)
    before, journal, status = run.state(), run.journal.lines(), tab.status
    problem = before["problem"] or {"item_id": 1, "fence": 0}
    then_no_button(tab)
    for verb in POSTS:
        # when
        body = {"request_id": secrets.token_hex(16), "item_id": problem["item_id"], "fence": problem["fence"]}
        answer, data = post_from(tab, f"{run.url}/{verb}", body)
        # then
        assert (answer, data["error"]["code"], [*data]) == (403, "forbidden", ["error"]), verb
    tab.page.request.get(f"{site.proxy.url}{run.url}/tick?t=x")
    then_nothing_happened(run, before, journal)
    assert tab.status == status and status == {"reader": "blocked", "read only": "running"}[why]


def test_given_a_stranger_when_they_ask_for_a_run_then_it_might_as_well_not_exist(site: Site) -> None:
    # given
    run = site.make({"kind": "ok", "times": 2}, title="Secret import")
    missing = run.url.replace(run.run_id, secrets.token_hex(16))
    for stranger in (site.visitor("bob"), site.visitor(None)):
        own = site.make({"kind": "ok"}, by=stranger)
        headers = {"X-CSRFToken": token_of(stranger, own), "X-Driver": secrets.token_hex(16)}
        gets = ("", "?nojs=1", "/state", "/log", "/log?format=txt", "/tick")
        for method, what in [*(("get", get) for get in gets), *(("post", f"/{verb}") for verb in POSTS)]:
            answers = []
            for url in (run.url, missing):
                # when
                ask = getattr(stranger.context.request, method)
                body = {"data": {"request_id": "0" * 32, "item_id": 1, "fence": 1}} if method == "post" else {}
                answer = ask(site.proxy.url + url + what, headers=headers, max_redirects=0, **body)
                answers.append((answer.status, answer.text(), sorted(answer.headers)))
            # then
            assert answers[0] == answers[1], what
            assert answers[0][0] == 404 and "Secret" not in answers[0][1], what
    assert run.journal.lines() == []


# --- 44: what tasks say ---


def test_given_markup_in_every_text_of_a_task_when_shown_then_it_stays_text(site: Site) -> None:
    # given
    run = site.make(
        {"kind": "report", "steps": 2, "note": EVIL, "step_gates": True, "title": f"first {EVIL}"},
        {"kind": "xss", "title": f"second {EVIL}"},
        {"kind": "ok", "title": f"third {EVIL}"},
        title=f"Import {EVIL}",
    )
    tab = site.open(run)
    # when: title and note of a running task
    run.journal.open_gate("step-1")
    tab.expect_text(f"first {EVIL}")
    tab.expect_text(re.compile(re.escape(f"50%: {EVIL}")))
    run.journal.open_gate("step-2")
    # when: a log line, an error
    tab.expect_status("blocked")
    # then
    expect(tab.page.get_by_role("heading", level=1)).to_have_text(f"Import {EVIL}")
    assert EVIL in tab.page.title()
    assert tab.alert.inner_text().count(EVIL) == 2, "title and message"
    assert tab.page.locator("#tq-log-list").inner_text().count(EVIL) >= 3
    assert tab.page.locator("#tq-actions").inner_text().count(EVIL) >= 2
    then_nothing_became_markup(tab)
    # when: the same, written by the server
    for url in (run.url, run.url + "?nojs=1"):
        server_made = site.visitor(java_script_enabled=False).open(url)
        assert server_made.page.locator("#tq-log-list").inner_text().count(EVIL) >= 3
        then_nothing_became_markup(server_made)
    # when: dialog and traceback
    tab.page.get_by_text("Traceback", exact=True).click()
    assert EVIL in tab.page.locator("#tq-trace-text").inner_text()
    tab.press("Abort")
    expect(tab.page.get_by_role("dialog")).to_be_visible()
    tab.page.keyboard.press("Escape")
    # when
    run.journal.mark("fixed")
    tab.press("Retry")
    tab.expect_status("completed")
    then_nothing_became_markup(tab)
    text = site.admin.get(run.url + "/log", format="txt")
    assert text.headers["content-type"].startswith("text/plain") and text.headers["x-content-type-options"] == "nosniff"
    assert "attachment" in text.headers["content-disposition"] and text.text().count(EVIL) >= 4


def test_given_marks_that_turn_the_text_round_when_shown_then_the_sentence_around_keeps_its_direction(
    site: Site,
) -> None:
    # given: without care, what follows the title would run from right to left
    run = site.make({"kind": "hold", "title": "abc\u202edef"}, {"kind": "ok"})
    tab = site.open(run)
    tab.expect_text("Running: ")
    tab.expect_text(re.compile(r"for \d+ s"))
    # when
    edges = tab.page.locator("#tq-line").evaluate(
        """line => [...line.firstChild.data].map((letter, index) => {
          const range = document.createRange();
          range.setStart(line.firstChild, index); range.setEnd(line.firstChild, index + 1);
          return [letter, range.getBoundingClientRect().left];
        })"""
    )
    # then
    bracket = next(index for index, (letter, _) in enumerate(edges) if letter == "(")
    turned = [left for letter, left in edges if letter in "def"][:3]
    assert max(turned) < edges[bracket][1], "the title does not end where it ends"
    after = [left for letter, left in edges[bracket:] if letter.strip()]
    assert after == sorted(after), "what follows the title runs backwards"


# --- 45: a strict policy ---


def test_given_a_strict_policy_of_the_host_when_everything_is_used_then_nothing_violates_it(sites: Sites) -> None:
    """Any violation fails a test at its end."""
    # given
    site = sites(TEST_CSP=CSP)
    run = site.make(
        {"kind": "report", "steps": 2, "step_gates": True}, {"kind": "fail_until"}, {"kind": "ok"},
        {"kind": "fail", "message": "for good"}, {"kind": "ok"}, start=False, on_end_url="/done",
    )  # fmt: skip
    tab = site.open(run)
    assert tab.page.request.get(site.proxy.url + run.url).headers["content-security-policy"] == CSP
    # when
    tab.press("Start")
    run.journal.wait_for("start", number=1)
    run.journal.open_gate("step-1")
    tab.expect_text(re.compile("50%"))
    tab.press("Pause")
    run.journal.open_gate("step-2")
    tab.expect_status("paused")
    tab.press("Resume")
    tab.expect_status("blocked")
    tab.page.get_by_text("Traceback", exact=True).click()
    tab.page.get_by_role("button", name="Copy").click()
    tab.page.get_by_role("checkbox", name="Errors only").check()
    tab.press("Abort")
    tab.page.get_by_role("dialog").get_by_role("button").first.click()
    run.journal.mark("fixed")
    tab.press("Retry")
    tab.expect_text("Failed: Task 4")
    tab.press("Skip")
    tab.page.wait_for_url("**/done")
    without_scripts = site.visitor(java_script_enabled=False).open(run.url)
    without_scripts.expect_status("completed")
    # then
    assert run.journal.starts() == {1: 1, 2: 2, 3: 1, 4: 1, 5: 1}


def test_given_no_policy_of_the_host_when_a_page_is_answered_then_it_brings_a_strict_one(site: Site) -> None:
    run = site.make({"kind": "ok"})
    for url, status in ((run.url, 200), (run.url + "?nojs=1", 200), (run.url + "0", 404)):
        answer = site.admin.get(url)
        policy = answer.headers["content-security-policy"]
        assert answer.status == status
        assert policy.startswith("default-src 'none'") and "unsafe" not in policy and "*" not in policy
        assert "script-src 'self';" in policy and "base-uri 'none'" in policy and "frame-ancestors 'self'" in policy
        assert answer.headers["cache-control"] == "no-store"
        assert "style=" not in answer.text() and not re.search(r"\son\w+=", answer.text())


# --- 48: what only some may see ---


def test_given_a_failure_when_the_visitor_may_not_see_tracebacks_then_there_is_none_anywhere(sites: Sites) -> None:
    # given
    site = sites(TEST_AUTHORIZE=LOOKERS)
    run = site.make({"kind": "fail", "message": "no such customer"}, {"kind": "ok"})
    site.open(run).expect_status("blocked")
    for user, may in (("reader", False), ("expert", True), ("admin", True)):
        # when
        visitor = site.visitor(user)
        tab = site.open(run, by=visitor)
        # then: everybody is told what is wrong
        expect(tab.alert).to_contain_text("no such customer")
        assert tab.page.get_by_text("Traceback", exact=True).is_visible() == may
        paths = (run.url, run.url + "?nojs=1", run.url + "/state", run.url + "/log", run.url + "/log?format=txt")
        answers = {path: visitor.context.request.get(site.proxy.url + path).text() for path in paths}
        for path, text in answers.items():
            assert "no such customer" in text, path
            told = "Traceback (most recent call last)" in text or "tasks.py" in text
            assert told == (may and "/log" not in path), f"{user}: {path}"
        assert "raise ValueError" not in answers[run.url + "/log?format=txt"]


# --- helpers ---


class Attacker:
    """A site of somebody else, on the same machine: "localhost" is another site than "127.0.0.1", with other cookies,
    and another port is another origin of the same site, with the same cookies."""

    def __init__(self) -> None:
        self.page = ""
        attacker = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = attacker.page.encode() if self.path == "/page" else b""
                self.send_response(200 if body else 404)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Keep quiet."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.block_on_close = False
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        port = self.server.server_address[1]
        self.same_site, self.cross_site = f"http://127.0.0.1:{port}/page", f"http://localhost:{port}/page"


@pytest.fixture
def attacker() -> Iterator[Attacker]:
    """Serves ``attacker.page``."""
    attacker = Attacker()
    yield attacker
    attacker.server.shutdown()
    attacker.server.server_close()


def attacking_form(target: str, token: str) -> str:
    fields = {"csrf_token": token, "request_id": secrets.token_hex(16)}
    inputs = "".join(f'<input type=hidden name="{name}" value="{escape(value)}">' for name, value in fields.items())
    return f'<form method=post action="{target}">{inputs}</form>'


def attacking_page(way: str, target: str, token: str, *, is_opaque: bool) -> str:
    """A page that posts by itself, from its own origin or from a sandbox that has none."""
    body = json.dumps({"request_id": secrets.token_hex(16), "csrf_token": token})
    # The name of the field, "=" and its value together are JSON.
    field = f"""<input name='{body[:-1]}, "x": "' value='"}}'>"""
    as_json = f'<form method=post enctype=text/plain action="{target}">{field}</form>'
    markup, script = "", "document.forms[0].submit()"
    if way == "form":
        markup = attacking_form(target, token)
    elif way == "form as json":
        markup = as_json
    else:
        headers = {"Content-Type": "application/json", "X-CSRFToken": token} if way == "fetch with headers" else {}
        mode = "cors" if headers else "no-cors"
        options = {"method": "POST", "mode": mode, "credentials": "include", "headers": headers, "body": body}
        script = f"fetch({json.dumps(target)}, {json.dumps(options)})"
    inner = f"<!doctype html><title>Win a prize</title><body>{markup}<script>{script}</script>"
    if not is_opaque:
        return inner
    return (
        "<!doctype html><title>Win a prize</title><iframe sandbox='allow-scripts allow-forms' "
        f'srcdoc="{escape(inner)}"></iframe>'
    )


def token_of(visitor: Visitor, run: Run) -> str:
    """The token of a session; any page of ours has it."""
    token: str = visitor.get(urlsplit(run.url).path.split("/run/")[0] + "/csrf").json()["csrf"]
    return token


def header_of(headers: dict[str, str], name: str) -> str:
    return next((value for each, value in headers.items() if each.lower() == name.lower()), "")


def post_from(tab: Tab, url: str, body: dict[str, Any]) -> tuple[int, Any]:
    """What somebody can do with the developer tools of their browser on the page."""
    status, data = tab.page.evaluate(
        """async ([url, body]) => {
          const page = JSON.parse(document.getElementById("taskqueue-page").textContent);
          const headers = {"Content-Type": "application/json", "Accept": "application/json",
                           "X-CSRFToken": page.csrf, "X-Driver": "0123456789abcdef"};
          const answer = await fetch(url, {method: "POST", headers, body: JSON.stringify(body)});
          return [answer.status, await answer.json()];
        }""",
        [url, body],
    )
    return status, data


def then_nothing_happened(run: Run, before: dict[str, Any], journal: list[dict[str, Any]] | None = None) -> None:
    assert run.journal.lines() == (journal or []), run.journal.tail()
    after = run.state()
    for part in ("progress", "problem", "running", "log"):
        assert after[part] == before[part]
    assert (after["run"]["status"], after["run"]["version"]) == (before["run"]["status"], before["run"]["version"])


def then_no_button(tab: Tab) -> None:
    assert tab.buttons() == set() and tab.page.locator("#tq-actions form").count() == 0


def then_nothing_became_markup(tab: Tab) -> None:
    """The texts hold an image and a script; the page has neither."""
    page: Page = tab.page
    assert page.locator("img").count() == 0
    scripts = page.locator("script:not([type='application/json']):not([src])")
    assert scripts.count() == 0
    assert page.locator("[onerror]").count() == 0
