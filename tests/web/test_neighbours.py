"""The pages get on with what else lives in an application: other extensions, proxies, frames and templates."""

from __future__ import annotations

import dataclasses
import json
import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from itsdangerous import TimestampSigner, URLSafeTimedSerializer
from playwright.sync_api import Page, Route, expect

from tests.web.conftest import Sites
from tests.web.neighbours import MOUNTED, NEIGHBOURS, REPORTER
from tests.web.test_accessibility import open_in
from tests.web.test_security import attacking_form, header_of, token_of
from tests.web.test_without_javascript import hurry, send_form
from tests.web.toolkit.browser import Tab
from tests.web.toolkit.journal import wait_until
from tests.web.toolkit.proxy import FaultyProxy, Seen
from tests.web.toolkit.site import Run, Site

pytestmark = pytest.mark.parametrize("setup", [NEIGHBOURS], ids=str, indirect=True)

#: Flask-WTF's tokens live for an hour, ours for a day.
TWO_DAYS = 2 * 86_400
SALTS = {"own": "taskqueue.web.csrf", "flask-wtf": "wtf-csrf-token"}
SECRET_KEY = "only for tests"
FRAME = {"TASKQUEUE_BASE_TEMPLATE": "host/layout.html", "TEST_TEMPLATES": True}


@pytest.fixture
def site(sites: Sites) -> Site:
    """The neighbours, all asleep."""
    return sites()


# --- Flask-WTF, and tokens that age ---


@pytest.mark.parametrize("why", ["too old", "session renewed"])
@pytest.mark.parametrize("tokens", SALTS)
def test_given_a_page_whose_token_is_no_good_any_more_when_pressed_then_a_new_one_is_fetched_and_it_happens_once(
    sites: Sites, tokens: str, why: str
) -> None:
    # given
    site = with_tokens(sites, tokens)
    site.complaints.allow_statuses(400, 403)
    run = site.make({"kind": "ok", "times": 3}, start=False)
    tab = site.open(run)
    if why == "too old":
        reload_with_old_token(tab, run, SALTS[tokens])
    else:
        site.admin.context.clear_cookies(name="session")
    since = time.monotonic()
    # when
    tab.press("Start")
    # then
    tab.expect_status("completed")
    refused, done = site.proxy.seen(r"/start$", since=since)
    assert (refused.status, done.status) == (403, 200)
    assert len(site.proxy.seen(r"/csrf$", since=since)) == 1
    assert json.loads(refused.body)["request_id"] == json.loads(done.body)["request_id"]
    assert header(refused, "X-CSRFToken") != header(done, "X-CSRFToken")
    assert {seen.status for seen in site.proxy.drives()} == {200}
    run.journal.assert_each_once([1, 2, 3])


@pytest.mark.parametrize("tokens", SALTS)
def test_given_a_run_in_the_middle_when_the_token_has_become_too_old_then_it_goes_on(sites: Sites, tokens: str) -> None:
    # given
    site = with_tokens(sites, tokens)
    site.complaints.allow_statuses(400, 403)
    run = site.make({"kind": "ok", "times": 2}, {"kind": "fail"}, {"kind": "ok"})
    tab = site.open(run)
    tab.expect_status("blocked")
    reload_with_old_token(tab, run, SALTS[tokens])
    tab.press("Skip")
    # then
    tab.expect_status("completed")
    assert run.journal.starts() == {1: 1, 2: 1, 3: 1, 4: 1}
    assert run.state()["progress"]["skipped"] == 1


@pytest.mark.parametrize("tokens", SALTS)
def test_given_a_form_without_scripts_when_its_token_is_too_old_then_a_page_of_ours_says_so(
    sites: Sites, tokens: str
) -> None:
    # given
    site = with_tokens(sites, tokens)
    run = site.make({"kind": "ok"}, start=False)
    html = site.admin.get(run.url, nojs=1).text()
    token = re.findall(r'name="csrf_token" value="([^"]+)"', html)[0]
    # when
    refused = send_form(site.admin, html.replace(token, aged(token, SALTS[tokens])), "start")
    # then
    assert refused.status == 403 and "This page has expired" in refused.text()
    assert run.journal.lines() == [] and run.state()["run"]["status"] == "ready"
    # when
    assert send_form(site.admin, html, "start").status == 303
    # then
    site.open(run).expect_status("completed")


@pytest.mark.parametrize("token", ["none", "wrong"])
def test_given_flask_wtf_when_posted_without_a_good_token_then_it_is_refused_as_ever(sites: Sites, token: str) -> None:
    # given
    site = sites(TEST_CSRF_LATE=True)
    run = site.make({"kind": "ok", "times": 2})
    headers = {"X-CSRFToken": token_of(site.admin, run) + "x"} if token == "wrong" else {}
    for verb in ("start", "pause", "drive", "retry", "abort"):
        # when
        answer = site.admin.post(f"{run.url}/{verb}", {"request_id": "0" * 32}, headers)
        # then
        assert (answer.status, answer.json()["error"]["code"]) == (403, "csrf"), verb
    assert run.journal.lines() == [] and run.state()["run"]["status"] == "running"


# --- Flask-Login ---


@pytest.mark.parametrize("answer", ["state", "drive", "pause", "log", "tick", "csrf"])
def test_given_a_late_answer_when_somebody_has_signed_out_meanwhile_then_they_stay_signed_out(
    sites: Sites, answer: str
) -> None:
    # given: a permanent session, whose cookie Flask sends again with each answer
    site = sites(TEST_LOGIN="flask-login", TEST_PERMANENT=True, TEST_CSRF_LATE=True, TASKQUEUE_LOGIN_URL="/login")
    site.complaints.allow_statuses(400, 401, 403, 404)
    run = site.make({"kind": "ok"}, {"kind": "hold"}, {"kind": "ok"})
    late = site.proxy.hold_answer(rf"/{answer}$")
    # when
    tab = site.admin.open(run.url + ("?nojs=1" if answer == "tick" else ""))
    assert sets_cookie(site.proxy.seen(re.escape(run.url) + "$")[0]), "the session is not permanent"
    run.journal.wait_for("start", number=2)
    ask(tab, run, answer)
    seen = late.wait_for_hit()
    wait_until(lambda: seen.upstream_status != 0, "it is answered", explain=site.proxy.tail)
    if answer == "drive":
        site.admin.sign_in("bob")
    else:
        site.admin.sign_out()
    late.end()
    wait_until(lambda: all(seen.ended for seen in late.hits), "the late answers have arrived")
    # then
    assert site.admin.get("/who").text() == ("bob" if answer == "drive" else "None")
    assert not [seen for seen in late.hits if sets_cookie(seen)], site.proxy.tail()
    if answer != "tick":
        tab.expect_text(re.compile("no longer signed in"))
    # when
    site.admin.sign_in("admin")
    run.journal.open_gate()
    site.admin.close_tabs()  # the page without scripts goes on by itself, and would cross the next navigation
    tab = site.admin.open(run.url)
    if "Resume" in tab.buttons():
        tab.press("Resume")
    # then
    tab.expect_status("completed")
    run.journal.assert_each_once([1, 2, 3])


def test_given_a_permanent_session_when_the_page_is_at_work_then_only_pages_set_cookies(sites: Sites) -> None:
    # given
    site = sites(TEST_LOGIN="flask-login", TEST_PERMANENT=True, TEST_CSRF_LATE=True, TASKQUEUE_LOGIN_URL="/login")
    run = site.make({"kind": "ok"}, {"kind": "fail_until"}, {"kind": "ok"}, start=False)
    tab = site.open(run)
    # when
    tab.press("Start")
    tab.expect_status("blocked")
    tab.page.get_by_role("checkbox", name="Errors only").check()
    run.journal.mark("fixed")
    tab.press("Retry")
    tab.expect_status("completed")
    # then
    all_seen = site.proxy.seen(r"^/queue/")
    paths = {seen.path.rpartition("/")[2] for seen in all_seen if sets_cookie(seen)}
    assert paths == {run.run_id}
    assert {"start", "drive", "retry", "log", "progress.js"} <= {seen.path.rpartition("/")[2] for seen in all_seen}


# --- Flask-Babel ---


def test_given_a_locale_of_flask_babel_when_the_page_is_used_then_it_speaks_that_language(site: Site) -> None:
    # given: the browser itself would rather have English
    run = site.make({"kind": "ok"}, {"kind": "fail_until"}, {"kind": "ok"}, title="Einfuhr", start=False)
    tab = open_in(site, run, "de_AT", locale="en-GB")
    english = open_in(site, run, "fr", locale="de-DE")
    # then: Flask-Babel decides; what it wants and nobody has translated is English
    expect(english.page.locator("html")).to_have_attribute("lang", "en")
    expect(tab.page.locator("html")).to_have_attribute("lang", "de")
    # when
    tab.page.locator("form[data-verb=start] button").click()
    tab.expect_status("blocked")
    # then: from the first answer to the last one of the script
    expect(tab.page.locator("#tq-status")).to_have_text("Blockiert")
    expect(tab.page.locator("#tq-log-list")).to_contain_text("Fertig: Task 1")
    run.journal.mark("fixed")
    tab.page.locator("form[data-verb=retry] button").click()
    tab.expect_status("completed")
    words = tab.page.locator("#taskqueue").inner_text()
    assert not re.findall(r"\b(Completed|Done|Failed|Retry|Log|Download|tasks|Elapsed)\b", words), words
    # when: Flask-Babel is asked also where nothing but its own default speaks for English
    expect(site.visitor(locale="de-DE").open(run.url).page.locator("html")).to_have_attribute("lang", "en")


# --- twice in one application ---


def test_given_two_extensions_in_one_application_when_both_are_used_then_neither_knows_of_the_other(site: Site) -> None:
    # given
    reporter = site.visitor(REPORTER)
    tasks: list[dict[str, Any]] = [{"kind": "ok"}, {"kind": "fail"}, {"kind": "ok"}]
    runs = {"/queue": site.make(*tasks, start=False), "/reports": site.make(*tasks, by=reporter, start=False)}
    tabs = {prefix: site.open(run, by=run.maker) for prefix, run in runs.items()}
    # when: hand over hand
    for action, status in (("Start", "blocked"), ("Skip", "completed")):
        for tab in tabs.values():
            tab.press(action)
        for tab in tabs.values():
            tab.expect_status(status)
    # then
    for prefix, run in runs.items():
        assert run.url.startswith(f"{prefix}/run/")
        assert run.journal.starts() == {1: 1, 2: 1, 3: 1}
        asked = [seen.path for seen in site.proxy.seen(run.run_id)]
        assert asked and all(path.startswith(f"{prefix}/") for path in asked)
        for verb in ("start", "drive", "skip"):
            assert site.proxy.seen(rf"^{prefix}/run/{run.run_id}/{verb}$", method="POST")
        assert {seen.status for seen in site.proxy.seen(rf"^{prefix}/static/")} == {200}
    for prefix, run in (("/reports", runs["/queue"]), ("/queue", runs["/reports"])):
        for visitor in (site.admin, reporter):
            assert visitor.get(f"{prefix}/run/{run.run_id}/state").status == 404


# --- below a path, behind a proxy ---


@pytest.mark.parametrize("way", ["dispatcher", "proxy"])
@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
def test_given_a_path_in_front_of_the_application_when_used_then_all_addresses_are_below_it(
    site: Site, way: str, scripts: bool
) -> None:
    # given
    root = MOUNTED
    if way == "proxy":
        root = PrefixProxy.prefix
        site.proxy.close()
        site.proxy = PrefixProxy(site.server.address)
    run = site.make({"kind": "ok"}, {"kind": "fail"}, {"kind": "ok"}, start=False)
    since = time.monotonic()
    # when
    tab = site.visitor(java_script_enabled=scripts).open(root + run.url)
    for action, status in (("Start", "blocked"), ("Skip", "completed")):
        tab.press(action)
        if not scripts:
            hurry(tab)
        tab.expect_status(status)
    # then
    assert run.journal.starts() == {1: 1, 2: 1, 3: 1}
    asked = [seen for seen in site.proxy.seen(since=since) if seen.path not in ("/login", "/favicon.ico")]
    assert len(asked) > 6 and not [seen.path for seen in asked if not seen.path.startswith(f"{root}/queue/")]
    assert {seen.status for seen in asked} <= {200, 303}
    assert site.proxy.seen(rf"^{root}{run.url}/skip$", method="POST")
    site.admin.get(f"{root}{run.url}/log", format="txt")
    link = tab.page.get_by_role("link", name="Download").get_attribute("href")
    assert link and link.startswith(root) and site.admin.get(link).status == 200


def test_given_plain_http_in_an_intranet_when_used_then_it_works_and_other_sites_are_refused(site: Site) -> None:
    """There browsers send no Sec-Fetch-Site, and keep clipboard, notifications and randomUUID to themselves."""
    # given
    home, evil = "http://intranet.example", "http://evil.example/"
    gateway = ForwardProxy(site.server.address)
    run = site.make({"kind": "fail_until"}, {"kind": "ok"}, start=False)
    visitor = site.visitor(None, proxy={"server": gateway.url})
    visitor.url = home
    visitor.context.add_cookies([{"name": "user", "value": "admin", "url": home}])
    tab = visitor.open(run.url)
    try:
        assert tab.page.evaluate("[isSecureContext, crypto.randomUUID]") == [False, None]
        # when: another site posts what only a page of ours can know
        site.complaints.allow_statuses(403)
        token = tab.page.evaluate("JSON.parse(document.getElementById('taskqueue-page').textContent).csrf")
        form = attacking_form(f"{home}{run.url}/start", token)
        other = visitor.context.new_page()
        other.route(f"{evil}**", lambda route: route.fulfill(body=form, content_type="text/html"))
        other.goto(evil)
        other.evaluate("document.forms[0].submit()")
        expect(other.get_by_text("This page has expired")).to_be_visible()
        # then
        assert [seen.status for seen in gateway.seen(r"/start$")] == [403]
        assert run.journal.lines() == [] and run.state()["run"]["status"] == "ready"
        # when
        tab.press("Start")
        tab.expect_status("blocked")
        tab.page.get_by_role("button", name="Copy").click()
        expect(tab.page.get_by_role("button", name="Copied")).to_be_visible()
        run.journal.mark("fixed")
        tab.press("Retry")
        # then
        tab.expect_status("completed")
        posts = gateway.seen(method="POST")
        assert len(posts) >= 4 and not [seen for seen in posts if header(seen, "Sec-Fetch-Site")]
        assert run.journal.starts() == {1: 2, 2: 1}
    finally:
        visitor.close_tabs()
        gateway.close()


# --- frames and templates of the host ---


def test_given_a_frame_of_the_host_when_a_run_is_shown_in_it_then_both_work(sites: Sites) -> None:
    # given: with styles for bare elements, an inline script, and another language around it
    site = sites(**FRAME)
    run = site.make({"kind": "ok"}, {"kind": "fail"}, {"kind": "ok"}, start=False)
    tab = site.open(run)
    # then
    then_stands_in_the_frame(tab.page, run)
    assert tab.page.evaluate("window.hostScriptRan") is True
    expect(tab.page.locator("#taskqueue")).to_have_attribute("lang", "en")
    expect(tab.page.get_by_role("main")).to_have_count(1)
    # when
    tab.press("Start")
    tab.expect_status("blocked")
    then_it_looks_as_it_should(tab.page)
    tab.press("Skip")
    tab.expect_status("completed")
    # then
    then_stands_in_the_frame(tab.page, run)
    assert run.journal.starts() == {1: 1, 2: 1, 3: 1}
    without = site.visitor(java_script_enabled=False).open(run.url)
    then_stands_in_the_frame(without.page, run)


def test_given_a_run_that_wants_no_frame_when_shown_then_it_stands_in_ours_or_what_the_host_has_for_it(
    sites: Sites,
) -> None:
    """An upgrade must not lean on what it replaces; templates by our names take the place of ours all the same."""
    # given
    site = sites(**FRAME)
    site.complaints.allow_statuses(404)
    run = site.make({"kind": "ok", "times": 2}, is_minimal=True)
    # when
    tab = site.open(run)
    # then
    tab.expect_status("completed")
    tab.expect_text("A frame instead of yours")
    expect(tab.page.locator("html")).to_have_attribute("lang", "en")
    expect(tab.page.get_by_role("link", name="Home of the host")).to_have_count(0)
    run.journal.assert_each_once([1, 2])
    # when
    tab.goto(run.url + "0")
    # then
    expect(tab.page.get_by_role("heading", level=1)).to_have_text("The host is sorry")
    tab.expect_text("There is no such run")


# --- helpers ---


def with_tokens(sites: Sites, tokens: str) -> Site:
    return sites(TEST_CSRF_LATE=True) if tokens == "flask-wtf" else sites()


class PrefixProxy(FaultyProxy):
    """Has the application below a path of its own, and tells it so; everything else it passes on as it is."""

    prefix = "/tools/q"

    def _forward(self, seen: Seen) -> Any:
        if not seen.path.startswith(f"{self.prefix}/"):
            return super()._forward(seen)
        headers = {name: value for name, value in seen.headers.items() if name.lower() != "host"}
        headers |= {"Host": "inside:8000", "X-Forwarded-Host": header(seen, "Host"), "X-Forwarded-Proto": "http",
                    "X-Forwarded-For": "10.0.0.1", "X-Forwarded-Prefix": self.prefix}  # fmt: skip
        inside = dataclasses.replace(seen, path=seen.path[len(self.prefix) :], headers=headers)
        answer = super()._forward(inside)
        seen.upstream_status, seen.answer_headers = inside.upstream_status, inside.answer_headers
        return answer


class ForwardProxy(FaultyProxy):
    """For browsers that are told to use it; it takes every host for the application."""

    def _forward(self, seen: Seen) -> Any:
        inside = dataclasses.replace(seen, path=re.sub(r"^http://[^/]+", "", seen.path))
        answer = super()._forward(inside)
        seen.upstream_status, seen.answer_headers = inside.upstream_status, inside.answer_headers
        return answer


def ask(tab: Tab, run: Run, what: str) -> None:
    """Have the browser ask for it; for the state and for work the page asks by itself."""
    if what == "pause":
        tab.press("Pause")
    elif what == "log":
        tab.page.get_by_role("checkbox", name="Errors only").check()
    elif what == "csrf":
        reload_with_old_token(tab, run, SALTS["flask-wtf"])
        tab.press("Pause")


def aged(token: str, salt: str) -> str:
    """The same token, as it would have been made two days ago."""

    class Older(TimestampSigner):
        def get_timestamp(self) -> int:
            return super().get_timestamp() - TWO_DAYS

    content = URLSafeTimedSerializer(SECRET_KEY, salt=salt).loads(token)
    return str(URLSafeTimedSerializer(SECRET_KEY, salt=salt, signer=Older).dumps(content))


def reload_with_old_token(tab: Tab, run: Run, salt: str) -> None:
    """As if the page had been left open for two days."""

    def answer(route: Route) -> None:
        response = route.fetch()
        html = response.text()
        token = json.loads(re.findall(r'id="taskqueue-page">(.*?)</script>', html, re.DOTALL)[0])["csrf"]
        assert token in html
        route.fulfill(response=response, body=html.replace(token, aged(token, salt)))

    is_page: Callable[[str], bool] = lambda url: url.endswith(run.url)  # noqa: E731
    tab.page.route(is_page, answer)
    tab.goto(run.url)
    tab.page.unroute(is_page)


def header(seen: Seen, name: str) -> str:
    return header_of(seen.headers, name)


def sets_cookie(seen: Seen) -> bool:
    return any(name.lower() == "set-cookie" for name, _ in seen.answer_headers)


def then_stands_in_the_frame(page: Page, run: Run) -> None:
    expect(page.get_by_role("link", name="Home of the host")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_have_text("Import")
    expect(page.locator("html")).to_have_attribute("lang", "fr")
    # The script writes the title of its own; what the server wrote has the frame's words, too.
    assert "Import" in page.title()


def then_it_looks_as_it_should(page: Page) -> None:
    """Our styles hold against those that the host has for bare elements."""
    margin = page.evaluate("getComputedStyle(document.getElementById('tq-counts')).marginInlineStart")
    assert margin == "0px", "the margin is the host's"
