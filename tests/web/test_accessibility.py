"""Everybody can use the page: with a screen reader, with the keyboard alone, enlarged, in their language (part F)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.web.conftest import Sites
from tests.web.neighbours import LANGUAGE, NEIGHBOURS
from tests.web.toolkit.axe import LOOKS, Look, examined, violations, where
from tests.web.toolkit.browser import Tab, Visitor
from tests.web.toolkit.journal import wait_until
from tests.web.toolkit.site import Run, Site

pytestmark = pytest.mark.parametrize("setup", [NEIGHBOURS], ids=str, indirect=True)

#: In the order in which the keyboard comes by.
CONTROLS = ["Copy", "Traceback", "Traceback", "Retry", "Skip", "Abort", "Errors only", "Download", "Log"]
#: One word.
LONG = "CustomersOfTheNorthernRegionWithoutAPostalCode" * 4


@pytest.fixture
def site(sites: Sites) -> Site:
    """The host in which a cookie chooses the language."""
    return sites()


# --- the states ---


def ready(site: Site) -> Run:
    return site.make({"kind": "ok", "times": 3}, start=False)


def running(site: Site) -> Run:
    run = site.make({"kind": "ok"}, {"kind": "report", "steps": 2, "step_gates": True}, {"kind": "ok"})
    site.open(run)
    run.journal.open_gate("step-1")
    wait_until(lambda: bool(run.state()["running"] and run.state()["running"][0]["note"]), "note", explain=run.explain)
    # The page that is looked at drives as soon as this one is gone.
    site.admin.close_tabs()
    return run


def watching(site: Site) -> Run:
    run = site.make({"kind": "ok"}, {"kind": "hold"}, {"kind": "ok"})
    site.open(run)
    run.journal.wait_for("start", number=2)
    return run


def waiting_for_retry(site: Site) -> Run:
    run = site.make({"kind": "fail"}, {"kind": "ok"}, options={"retry_limit": 4, "retry_interval": 600})
    site.open(run).expect_text("Next retry in")
    return run


def blocked(site: Site) -> Run:
    run = site.make({"kind": "ok"}, {"kind": "fail", "message": "No space left on device"}, {"kind": "ok"})
    site.open(run).expect_status("blocked")
    return run


def stale(site: Site) -> Run:
    queue = site.make_queue({"kind": "ok"}, {"kind": "hold"}, {"kind": "ok"})
    program = site.start_program("run", queue.queue)
    queue.journal.wait_for("start", number=2)
    program.kill()
    run = site.make(queue=queue.queue)
    wait_until(lambda: bool((item := run.state()["running"]) and item[0]["lease"]["stale"]), "stale")
    return run


def paused(site: Site) -> Run:
    run = site.make({"kind": "ok"}, {"kind": "hold"}, {"kind": "ok"})
    tab = site.open(run)
    run.journal.wait_for("start", number=2)
    tab.press("Pause")
    tab.expect_status("paused")  # else the task may end, and the next begin, before the server hears of it
    run.journal.open_gate()
    run.journal.wait_for("end", number=2)
    return run


def finishing(site: Site) -> Run:
    run = site.make({"kind": "ok", "times": 2}, on_end="end_hold")
    site.open(run).expect_status("finishing")
    return run


def completed(site: Site) -> Run:
    run = site.make({"kind": "ok", "times": 12}, on_end_url="/done")
    site.open(run)
    run.wait_for_status("completed")
    return run


def completed_with_failures(site: Site) -> Run:
    run = site.make({"kind": "ok", "times": 2}, {"kind": "fail", "times": 3}, error_mode="continue")
    site.open(run).expect_status("completed")
    return run


def aborted(site: Site) -> Run:
    run = site.make({"kind": "fail"}, {"kind": "ok", "times": 2})
    tab = site.open(run)
    tab.expect_status("blocked")
    tab.press("Abort")
    tab.page.locator("#tq-confirm-yes").click()
    tab.expect_status("aborted")
    return run


STATES: dict[str, tuple[Callable[[Site], Run], str]] = {
    "ready": (ready, "not started yet"),
    "running": (running, "50%: row 1 of 2"),
    "watching": (watching, "You are watching"),
    "waiting for retry": (waiting_for_retry, "Next retry in"),
    "blocked": (blocked, "No space left on device"),
    "stale": (stale, "No sign of life for"),
    "paused": (paused, "1 task to go"),
    "finishing": (finishing, "last step"),
    "completed": (completed, "Completed in"),
    "completed with failures": (completed_with_failures, "Completed with 3 failures"),
    "aborted": (aborted, "Aborted after"),
}


# --- 49: axe ---


@pytest.mark.parametrize("state", STATES)
def test_given_a_state_when_axe_looks_then_it_finds_nothing(site: Site, state: str) -> None:
    # given
    make, text = STATES[state]
    run = make(site)
    tab = open_in(site, run, "en")
    for language, looks in looks_of(state).items():
        speak(tab, language)
        expect(tab.page.locator("#tq-log-list li").first).to_be_attached()
        if language != "de":
            tab.expect_text(text)
        then_the_page_is_in(tab, language)
        for look in looks:
            # when, then
            then_axe_finds_nothing(tab.page, look)


def test_given_what_opens_by_a_press_when_axe_looks_then_it_finds_nothing(site: Site) -> None:
    # given
    site.complaints.allow_statuses(404)
    run = blocked(site)
    tab = open_in(site, run, "en")
    tab.page.get_by_text("Traceback", exact=True).click()
    tab.page.get_by_role("checkbox", name="Errors only").check()
    for look in LOOKS[:2]:
        then_axe_finds_nothing(tab.page, look)
    tab.press("Abort")
    expect(tab.page.get_by_role("dialog", name="Abort")).to_be_visible()
    for look in LOOKS[2:]:
        then_axe_finds_nothing(tab.page, look)
    # when: without scripts, where the reader is to decide; and a page that is not there
    for url, heading in ((run.url + "?nojs=1", "Import"), (run.url + "0", "Not possible")):
        tab.goto(url)
        expect(tab.page.get_by_role("heading", level=1)).to_have_text(heading)
        for look in LOOKS[:2]:
            then_axe_finds_nothing(tab.page, look)


# --- what a screen reader is told ---


def test_given_a_blocked_run_when_read_out_then_everything_has_its_role_name_and_words(site: Site) -> None:
    page = open_in(site, blocked(site), "en").page
    bar = page.get_by_role("progressbar", name="Import", exact=True)
    expect(page.get_by_role("progressbar")).to_have_count(1)
    expect(bar).to_have_attribute("aria-valuetext", "33 percent, 1 of 3 tasks")
    expect(bar).to_have_accessible_description("1 of 3 tasks")
    expect(page.get_by_role("heading", level=1)).to_have_text("Import")
    expect(page.get_by_role("status")).to_have_count(1)
    expect(page.get_by_role("alert")).to_have_count(1)
    expect(page.get_by_role("alert")).to_contain_text("Task 2")
    expect(page.locator("[data-status]")).to_have_text("Blocked")
    for verb, hint in (("Retry", "Runs “Task 2” again"), ("Skip", "Leaves “Task 2” out"), ("Abort", "Ends the run")):
        button = page.get_by_role("button", name=verb, exact=True)
        expect(button).to_have_accessible_description(re.compile(hint))
    expect(page.get_by_role("main")).to_have_count(1)


def test_given_100_steps_when_they_pass_then_few_words_are_spoken_and_each_change_of_state_is(sites: Sites) -> None:
    # given: each request executes one task, so that the page draws each of the steps
    site = sites(TASKQUEUE_BUDGET=0.005)
    quick = {"kind": "sleep", "seconds": 0.006}
    run = site.make(
        {**quick, "times": 24}, {"kind": "hold"}, {**quick, "times": 24}, {"kind": "fail"}, {**quick, "times": 50},
        start=False,
    )  # fmt: skip
    visitor = speaking(site, "en")
    visitor.context.add_init_script(LISTEN)
    tab = visitor.open(run.url)
    # when
    tab.press("Start")
    run.journal.wait_for("start", number=25)
    tab.press("Pause")
    run.journal.open_gate()
    tab.expect_status("paused")
    tab.press("Resume")
    tab.expect_status("blocked")
    looks = len(site.proxy.seen(r"/state$"))
    wait_until(lambda: len(site.proxy.seen(r"/state$")) >= looks + 3, "more looks", explain=site.proxy.tail)
    tab.press("Skip")
    tab.expect_status("completed")
    # then
    heard = tab.page.evaluate("heard")
    assert len(set(heard["bars"])) >= 60, f"the test has not seen enough of the way: {heard['bars']}"
    spoken = heard["status"]
    assert len(spoken) <= 15, spoken
    words = [re.sub(r"Completed in .*", "Completed", text) for text in spoken]
    states = [text.partition(",")[0] for text in words]
    assert [now for before, now in zip(["", *states], states, strict=False) if now != before] == [
        "Running", "Paused", "Running", "Blocked", "Running", "Completed"
    ]  # fmt: skip
    tenths = [int(number) for number in re.findall(r"(\d+) percent", " ".join(words))]
    assert all(number % 10 == 0 for number in tenths) and len(set(tenths)) >= 9
    assert len(heard["alert"]) == 1 and "Task 50" in heard["alert"][0], heard["alert"]


# --- 50: the keyboard alone ---


def test_given_the_keyboard_alone_when_a_task_fails_then_start_retry_and_end_can_be_reached(site: Site) -> None:
    # given
    run = site.make({"kind": "fail_until"}, {"kind": "hold"}, {"kind": "ok"}, start=False)
    tab = at_the_keyboard(site, run)
    tab_to(tab, "Start")
    # when
    press(tab, "Enter")
    # then: the button is gone, and nothing else was chosen for the user
    tab.expect_status("blocked")
    tab.expect_button("Retry")
    then_the_focus_went_only_to(tab, "Start", "Import")
    # when
    run.journal.mark("fixed")
    tab_to(tab, "Retry")
    press(tab, "Space")
    run.journal.wait_for("start", number=2)
    # then
    then_the_focus_went_only_to(tab, "Retry", "Import")
    # when
    tab_to(tab, "Pause")
    press(tab, "Enter")
    tab.expect_button("Resume")
    then_the_focus_went_only_to(tab, "Pause", "Import")
    tab_to(tab, "Resume")
    press(tab, "Enter")
    tab.expect_button("Pause")
    run.journal.open_gate()
    tab.expect_status("completed")
    # then
    then_the_focus_went_only_to(tab, "Resume", "Import")
    assert run.journal.starts() == {1: 2, 2: 1, 3: 1}


def test_given_the_keyboard_alone_when_a_task_is_lost_then_take_over_can_be_declined_and_confirmed(site: Site) -> None:
    # given
    run = stale(site)
    tab = at_the_keyboard(site, run)
    tab.expect_button("Take over")
    assert focused(tab) == "body", "the focus was moved onto something by itself"
    tab_to(tab, "Take over")
    # when
    press(tab, "Enter")
    # then: the question names the task, and Enter once more would decline
    dialog = tab.page.get_by_role("dialog", name="Take over")
    expect(dialog).to_contain_text("Task 2")
    assert focused(tab) == "Go back"
    # when
    press(tab, "Escape")
    # then
    expect(dialog).to_be_hidden()
    assert focused(tab) == "Take over"
    assert run.state()["run"]["status"] == "running"
    # when: the focus cannot leave the dialog but for the browser itself
    press(tab, "Enter")
    expect(dialog).to_be_visible()
    reached = set()
    for _ in range(5):
        tab.page.keyboard.press("Tab")
        reached.add(focused(tab))
    assert reached - {"body"} == {"Go back", "Take over"}
    tab_to(tab, "Take over")
    press(tab, "Enter")
    # then
    tab.expect_status("blocked")
    tab.expect_button("Retry", "Skip")
    then_the_focus_went_only_to(tab, "Take over", "Import")
    assert focused(tab) == "Import"
    # when
    run.journal.open_gate()
    tab_to(tab, "Retry")
    press(tab, "Enter")
    tab.expect_status("completed")
    assert run.journal.starts() == {1: 1, 2: 2, 3: 1}


def test_given_an_open_question_when_another_tab_answers_it_then_it_closes_and_the_focus_is_kept(site: Site) -> None:
    # given
    run = blocked(site)
    tab = at_the_keyboard(site, run)
    tab_to(tab, "Abort")
    press(tab, "Enter")
    expect(tab.page.get_by_role("dialog", name="Abort")).to_be_visible()
    # when
    other = site.open(run)
    other.press("Abort")
    other.page.locator("#tq-confirm-yes").click()
    # then
    tab.expect_status("aborted")
    expect(tab.page.get_by_role("dialog")).to_be_hidden()
    expect(tab.page.get_by_role("status")).to_contain_text("moved on")
    then_the_focus_went_only_to(tab, "Abort", "Go back", "Import")
    assert focused(tab) == "Import"


def test_given_a_focused_button_when_the_page_draws_again_and_again_then_it_keeps_the_focus(site: Site) -> None:
    # given: another tab drives, so that this one only looks
    run = watching(site)
    tab = at_the_keyboard(site, run)
    tab_to(tab, "Abort")
    tab.page.evaluate("document.activeElement.dataset.chosen = 'yes'; focusLog.splice(0)")
    looks = len(site.proxy.seen(r"/state$"))
    # when
    wait_until(lambda: len(site.proxy.seen(r"/state$")) >= looks + 12, "more looks", explain=site.proxy.tail)
    # then
    assert tab.page.evaluate("document.activeElement.dataset.chosen") == "yes"
    then_the_focus_went_only_to(tab, "Abort")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_given_everything_that_can_be_reached_when_it_has_the_focus_then_one_sees_it(site: Site, scheme: str) -> None:
    # given
    site.complaints.allow_statuses(404)
    run = blocked(site)
    tab = at_the_keyboard(site, run, color_scheme=scheme)
    tab.page.get_by_text("Traceback", exact=True).click()
    tab.page.locator("body").click(position={"x": 1, "y": 1})
    # when
    reached = []
    for _ in range(20):
        tab.page.keyboard.press("Tab")
        if (name := focused(tab)) == "body":
            break
        reached.append(name)
        # then
        then_the_focus_is_visible(tab)
    # The traceback and the log can be scrolled.
    assert [name for name in reached if name in CONTROLS] == CONTROLS, reached


# --- 54: enlarged ---


@pytest.mark.parametrize("language", ["en", "ar"])
def test_given_four_times_the_size_when_texts_are_long_then_nothing_scrolls_sideways(site: Site, language: str) -> None:
    """1280 x 1024 at 400 % are 320 x 256."""
    # given
    run = site.make(
        {"kind": "report", "steps": 2, "step_gates": True, "title": f"First {LONG}", "note": LONG},
        {"kind": "fail", "title": f"Second {LONG}", "message": LONG},
        {"kind": "fail", "title": f"Third {LONG}", "message": LONG},
        title=f"Import {LONG}",
    )
    tab = open_in(site, run, language, viewport={"width": 320, "height": 256}, device_scale_factor=4)
    run.journal.open_gate("step-1")
    tab.expect_text(re.compile(f"50%: {LONG}"))
    then_nothing_scrolls_sideways(tab.page)
    run.journal.open_gate("step-2")
    tab.expect_status("blocked")
    tab.page.get_by_text("Traceback", exact=True).click()
    then_nothing_scrolls_sideways(tab.page)
    # when
    tab.press("Abort")
    yes = tab.page.locator("#tq-confirm-yes")
    yes.scroll_into_view_if_needed()
    # then
    expect(yes).to_be_in_viewport(ratio=1)
    then_nothing_scrolls_sideways(tab.page)
    # when
    tab.page.keyboard.press("Escape")
    then_every_button_can_be_brought_into_sight(tab)
    for url in (f"{run.url}?nojs=1", f"{run.url}0"):
        site.complaints.allow_statuses(404)
        tab.goto(url)
        then_nothing_scrolls_sideways(tab.page)
    # when
    failed = site.make(
        {"kind": "fail", "title": LONG, "message": LONG, "times": 2}, title=LONG, error_mode="continue",
        on_end_url="/done",
    )  # fmt: skip
    tab.goto(failed.url)
    tab.expect_status("completed")
    then_nothing_scrolls_sideways(tab.page)


def test_given_somebody_who_wants_no_motion_when_things_change_then_nothing_moves(site: Site) -> None:
    run = blocked(site)
    moving = "getComputedStyle(document.querySelector('.tq-button')).transitionDuration"
    for motion, expected in (("no-preference", "0.15s"), ("reduce", "0s")):
        page = open_in(site, run, "en", reduced_motion=motion).page
        assert page.evaluate(moving) == expected
        assert page.evaluate("document.getAnimations().length") == 0
        page.close()


# --- helpers ---

#: Notes down everything that a screen reader would speak by itself, and each value of the bar.
LISTEN = """
window.heard = { status: [], alert: [], bars: [] };
addEventListener("DOMContentLoaded", () => {
  for (const role of ["status", "alert"]) {
    const region = document.querySelector(`[role=${role}]`);
    new MutationObserver(() => {
      const text = region.textContent.replace(/\\s+/g, " ").trim();
      if (text) heard[role].push(text); // the same once more is spoken once more
    }).observe(region, { subtree: true, childList: true, characterData: true });
  }
  const bar = document.querySelector("progress");
  new MutationObserver(() => heard.bars.push(bar.value)).observe(bar, { attributes: true });
});
"""
#: Notes down where the focus goes: names of what had it, and "body" whenever nothing has it.
FOLLOW = """
window.nameOf = (node) => {
  if (!node || node === document.body) return "body";
  const label = node.labels?.[0] ?? node;
  return node.getAttribute("aria-label") || document.getElementById(node.getAttribute("aria-labelledby"))?.textContent
    || label.textContent.trim();
};
window.focusLog = [];
const note = () => {
  const name = nameOf(document.activeElement);
  if (focusLog.at(-1) !== name) focusLog.push(name);
};
addEventListener("DOMContentLoaded", () => {
  document.addEventListener("focusin", note);
  const look = () => { note(); setTimeout(look, 4); };
  look();
});
"""


def at_the_keyboard(site: Site, run: Run, **options: Any) -> Tab:
    """The page, with notes of where the focus goes."""
    visitor = speaking(site, "en", **options)
    visitor.context.add_init_script(FOLLOW)
    return visitor.open(run.url)


def focused(tab: Tab) -> str:
    name: str = tab.page.evaluate("nameOf(document.activeElement)")
    return name


def tab_to(tab: Tab, name: str) -> None:
    """Go to a button, forwards."""
    passed = []
    for _ in range(25):
        if focused(tab) == name:
            then_the_focus_is_visible(tab)
            # A button that has just taken the place of a pressed one waits for the second half of a double click.
            expect(tab.page.locator(":focus")).not_to_have_attribute("aria-disabled", "true")
            return
        tab.page.keyboard.press("Tab")
        passed.append(focused(tab))
    raise AssertionError(f"{name} cannot be reached: {passed}")


def press(tab: Tab, key: str) -> None:
    """Press a key; from here on, nothing else moves the focus."""
    tab.page.evaluate("focusLog.splice(0)")
    tab.page.keyboard.press(key)


def then_the_focus_went_only_to(tab: Tab, *names: str) -> None:
    """Since the last key: never lost, and never moved onto something that would do harm."""
    log = tab.page.evaluate("focusLog")
    assert set(log) <= set(names), f"the focus went to {log}"


def then_the_focus_is_visible(tab: Tab) -> None:
    """There is a ring around it, thick enough, in sight, and of another colour than what lies behind it."""
    found = tab.page.evaluate(
        """() => {
          const node = document.activeElement, style = getComputedStyle(node), box = node.getBoundingClientRect();
          const behind = (each) => {
            for (let up = each.parentElement; up; up = up.parentElement) {
              const colour = getComputedStyle(up).backgroundColor;
              if (!/, 0\\)$|transparent/.test(colour)) return colour;
            }
            return getComputedStyle(document.documentElement).backgroundColor;
          };
          return { width: style.outlineStyle === "none" ? 0 : parseFloat(style.outlineWidth), ring: style.outlineColor,
                   behind: behind(node), inSight: box.bottom > 0 && box.top < innerHeight && box.width > 0 };
        }"""
    )
    assert found["width"] >= 2 and found["inSight"], f"{focused(tab)}: {found}"
    ratio = contrast(found["ring"], found["behind"])
    assert ratio >= 3, f"{focused(tab)}: {ratio:.1f} {found}"


def contrast(one: str, other: str) -> float:
    """Of two colours, as WCAG defines it."""

    def luminance(colour: str) -> float:
        channels = [float(part) / 255 for part in re.findall(r"[\d.]+", colour)[:3]]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def then_nothing_scrolls_sideways(page: Page) -> None:
    """Neither the page, nor anything that would be cut off at its edge; code may scroll in its own box."""
    found = page.evaluate(
        """() => {
          const { scrollWidth, clientWidth } = document.documentElement;
          const inBox = (node) => {
            for (let up = node; up && up !== document.body; up = up.parentElement) {
              if (up.matches("pre, .tq-unseen, [hidden], template")) return true;
            }
            return false;
          };
          const out = [...document.body.querySelectorAll("*")].filter((node) => {
            const box = node.getBoundingClientRect();
            return box.width && !inBox(node) && (box.left < -0.5 || box.right > clientWidth + 0.5);
          });
          return { scrollWidth, clientWidth, out: out.map((node) => node.outerHTML.slice(0, 100)) };
        }"""
    )
    assert found["scrollWidth"] <= found["clientWidth"] and not found["out"], found


def then_every_button_can_be_brought_into_sight(tab: Tab) -> None:
    for name in tab.buttons():
        button = tab.button(name)
        button.scroll_into_view_if_needed()
        expect(button).to_be_in_viewport(ratio=0.9)


def looks_of(state: str) -> dict[str, list[Look]]:
    """Each state is seen in all looks and all languages, and each language meets all looks in some state."""
    turn = [*STATES].index(state) % len(LOOKS)
    first, second, third, fourth = LOOKS[turn:] + LOOKS[:turn]
    return {"en": [first], "de": [second, third], "ar": [fourth]}


def speaking(site: Site, language: str, **options: Any) -> Visitor:
    """The admin, in a browser whose cookie asks for a language."""
    visitor = site.visitor(**options)
    visitor.context.add_cookies([{"name": LANGUAGE, "value": language, "url": visitor.url}])
    return visitor


def speak(tab: Tab, language: str) -> None:
    """Load the page again in another language."""
    url = tab.page.url
    cookie = {"name": LANGUAGE, "value": language, "url": url}
    tab.page.context.add_cookies([cookie])  # type: ignore[list-item]
    tab.goto(url)


def open_in(site: Site, run: Run, language: str, **options: Any) -> Tab:
    return speaking(site, language, **options).open(run.url)


def then_the_page_is_in(tab: Tab, language: str) -> None:
    page = tab.page
    for part in ("html", "#taskqueue"):
        # There are no Arabic texts, so English ones stand there, in the direction of the titles and messages.
        expect(page.locator(part)).to_have_attribute("lang", {"ar": "en"}.get(language, language))
        expect(page.locator(part)).to_have_attribute("dir", {"ar": "rtl"}.get(language, "ltr"))
    if language == "de":
        expect(page.get_by_role("heading", level=2, name="Protokoll")).to_be_visible()


def then_axe_finds_nothing(page: Page, look: Look) -> None:
    found = examined(page, look)
    lines = violations(found)
    # Where axe is not sure about a contrast, nobody can be.
    contrasts = (rule for rule in found["incomplete"] if "contrast" in rule["id"])
    lines += [f"unsure: {rule['id']} {where(rule)}" for rule in contrasts if not is_in_dialog(rule)]
    assert not lines, f"{look}:\n" + "\n".join(lines)


def is_in_dialog(rule: dict[str, Any]) -> bool:
    """There axe is never sure, because the page lies behind."""
    return all("tq-confirm" in node["html"] for node in rule["nodes"])
