"""Somebody who may do everything with one queue learns nothing of another one, and does nothing to it."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from taskqueue import Runner
from taskqueue.dashboard.acts import Acts
from taskqueue.operations import Operations
from taskqueue.outbox import Outbox
from taskqueue.queues import settlement
from tests.web_api.app import Mails
from tests.web_api.dashboard.stage import (
    HIDDEN,
    LISTS,
    MARKS,
    OPERATIONS,
    OUTBOX,
    SECRETS,
    SEEN,
    Stage,
    Visitor,
    everything,
    only_seen,
    service_of,
)

STATES = {
    "items": ("waiting", "running", "scheduled"), "operations": ("queued", "dead"),
    "history": ("failed", "retry", "abort", "delete", "dead", "skipped", "cancelled", "revived"),
}  # fmt: skip
#: Everything that may be looked at, by every parameter that there is.
PAGES = [
    "", "?from=0", "?from=1", f"/queues/{SEEN}", f"/queues/{SEEN}?period=week",
    *(f"/{name}" for name in LISTS),
    *(f"/{name}?queue={SEEN}" for name in LISTS if name not in ("workers", "schedules", "operations")),
    *(f"/{name}?state={state}" for name, states in STATES.items() for state in states),
    *(f"/{name}?{age}={of}" for name in ("items", "dead", "history") for age in ("since", "until")
      for of in ("5m", "30d")),
    *(f"/{name}?text={text}" for name in ("items", "dead")
      for text in ("hush", "e", "opensesame", HIDDEN, "sesame%20w")),
    *(f"/charts?period={period}" for period in ("hour", "day", "week")),
    *(f"/confirm?what=items&verb={verb}{more}" for verb in ("retry", "skip", "delete")
      for more in ("", f"&queue={SEEN}", "&text=hush", "&state=scheduled", "&since=1h", "&until=5m")),
    *(f"/confirm?what=dead&verb={verb}{more}" for verb in ("revive", "delete") for more in ("", "&text=hush")),
]  # fmt: skip
#: What moves on with the clock, or is of one answer alone.
_MOVES = ("age_s", "due_s", "heartbeat_age_s", "oldest_s", "bound", "moment", "ends_s", "running_s", "start", "since")


def still(value: Any) -> Any:
    """An answer without what the clock says."""
    if isinstance(value, dict):
        return {name: still(each) for name, each in value.items() if name not in _MOVES}
    return [still(each) for each in value] if isinstance(value, list) else value


def all_of(visitor: Visitor, page: str) -> list[Any]:
    """A page and those after it."""
    found: list[Any] = []
    path = page
    for _ in range(20):
        found.append(still(visitor.json(path)))
        following = found[-1].get("next")
        if following is None:
            return found
        name = "from" if not page.startswith("/") else "after"
        path = f"{page}{'&' if '?' in page else '?'}{name}={following}"
    raise AssertionError("there is no end")


@pytest.mark.parametrize("page", PAGES)
def test_no_page_names_what_is_hidden(stage: Stage, page: str) -> None:
    visitor = stage.visitor(only_seen)
    assert HIDDEN not in str(all_of(visitor, page)), page
    html = visitor.get(page)
    assert html.status_code == 200
    for word in SECRETS:
        asked = page.partition("?")[2]
        shown = html.text.replace(f'value="{word}"', "").replace(f"text={word}", "").replace(f">{word}<", "")
        assert word not in (shown if word in asked else html.text), word
        assert word not in str(html.headers)


def test_items_of_the_visible_queue_are_shown_to_him(stage: Stage) -> None:
    """Else the tests here could not fail."""
    visitor = stage.visitor(only_seen)
    for page in ("", "/items", "/dead", "/history", "/workers", "/runs", "/schedules"):
        assert SEEN in visitor.get(page).text
    for page in ("/items", "/dead", "/runs", "/schedules", "/audit"):
        assert MARKS[SEEN] in str(all_of(visitor, page)), page
    admin = stage.visitor(everything)
    for page in ("", *(f"/{name}" for name in LISTS if name not in ("charts", "operations"))):
        assert (HIDDEN if page != "/outbox" else "mails.send_mail") in str(all_of(admin, page)), page
    assert "hushcall" in str(all_of(admin, "/operations"))


def test_pages_are_the_same_whatever_stands_in_the_hidden_queue(stage: Stage) -> None:
    visitor = stage.visitor(only_seen)
    before = {page: all_of(visitor, page) for page in PAGES}
    _more_hidden(stage)
    visitor = stage.visitor(only_seen)
    for page in PAGES:
        assert all_of(visitor, page) == before[page], page


def _more_hidden(stage: Stage) -> None:
    service = service_of(stage.app())
    queue: Any = service.load(HIDDEN)
    queue.create_items([f"{MARKS[HIDDEN]} {number}" for number in range(120)])
    for number in range(60):
        item = queue.claim_item(lease_time=86_400)
        queue.settle([item], (settlement.bury("no"), settlement.retry(9999, "no"), settlement.skip("no"))[number % 3])
    acts = Acts(service, "user:somebody")
    for _ in range(60):
        acts.note("skip", HIDDEN, number=5)
        acts.note("skip", number=5)
        Runner(queue, title=MARKS[HIDDEN]).run_all_via_web(start=False)
    outbox, operations = Outbox(service), Operations(service)
    outbox.register("mails", Mails())
    operations.operation("hushcall", queueable=True)(lambda ctx, data: None)
    for _ in range(60):
        outbox.queued(outbox.connect("mails")).send_mail("hushmail")
        operations.defer("hushcall", {})
    service.schedule("hushcontent-more", "0 5 * * *", "x", queue=HIDDEN)
    service.create("Sql", "hushqueue-other").create_item("x")


def test_a_list_ends_where_it_ends_for_him(stage: Stage) -> None:
    """Not one page more: how many there are would tell how much is hidden."""
    visitor = stage.visitor(only_seen)
    _more_hidden(stage)
    for name in ("items", "dead", "history", "runs", "operations", "audit", "outbox"):
        pages = all_of(visitor, f"/{name}")
        key = {"outbox": "messages"}.get(name, name)
        assert len(pages) == 1, name
        assert name in ("outbox", "operations") or pages[0][key], name


def test_a_cursor_of_somebody_else_leads_nowhere_else(stage: Stage) -> None:
    admin, visitor = stage.visitor(everything), stage.visitor(only_seen)
    for name in ("items", "audit"):
        following = admin.json(f"/{name}")["next"]
        assert following
        assert HIDDEN not in str(visitor.json(f"/{name}?after={following}"))
    late = f"999999999999999.{'f' * 32}"
    last = {"items": 10**18 - 1, "history": 10**17, "dead": "999999999999999.5", "audit": 10**17, "runs": late}
    for name, after in {**last, "operations": late}.items():
        assert HIDDEN not in str(visitor.json(f"/{name}?after={after}"))


def _states(stage: Stage) -> list[str]:
    return [*stage.items[HIDDEN]]


@pytest.mark.parametrize("headers", [{}, {"Accept": "application/json"}], ids=["html", "json"])
def test_a_hidden_item_under_the_name_of_the_visible_queue_is_not_there(stage: Stage, headers: dict[str, str]) -> None:
    visitor = stage.visitor(only_seen)
    missing = visitor.get(f"/queues/{SEEN}/items/99999", headers=headers)
    assert missing.status_code == 404
    for state in _states(stage):
        item_id = stage.items[HIDDEN][state][0]
        for queue in (SEEN, HIDDEN, "nowhere"):
            answer = visitor.get(f"/queues/{queue}/items/{item_id}", headers=headers)
            assert (answer.status_code, answer.data) == (404, missing.data), (queue, state)
    for queue in (HIDDEN, OUTBOX, OPERATIONS, "nowhere", "taskqueue.bulk"):
        answer = visitor.get(f"/queues/{queue}", headers=headers)
        assert (answer.status_code, answer.data) == (404, missing.data)
        for name in ("items", "dead", "history", "runs", "outbox", "audit", "charts"):
            answer = visitor.get(f"/{name}?queue={queue}", headers=headers)
            assert (answer.status_code, answer.data) == (404, missing.data)


VERBS = [("items", verb) for verb in ("retry", "skip", "delete", "take_over")] + [
    ("dead", "revive"),
    ("dead", "delete"),
]


@pytest.mark.parametrize(("what", "verb"), VERBS)
def test_a_hidden_item_under_the_name_of_the_visible_queue_is_not_touched(stage: Stage, what: str, verb: str) -> None:
    visitor = stage.visitor(only_seen)
    before = stage.content()
    for state, fence in itertools.product(_states(stage), (0, 1, 2)):
        item_id = stage.items[HIDDEN][state][0]
        named = f"{item_id}/{fence}"
        answer = visitor.post("/act", {"what": what, "verb": verb, "items": [f"{SEEN}/{named}"]})
        assert (answer.status_code, answer.get_json()) == (200, {"done": 0, "asked": 1})
        page = visitor.submit("/act", {"what": what, "verb": verb, "items": [f"{SEEN}/{named}"], "confirmed": "1"})
        assert page.status_code == 303 and "n=0&of=1" in page.headers["Location"]
        foreign = visitor.post("/act", {"what": what, "verb": verb, "items": [f"{HIDDEN}/{named}"]})
        missing = visitor.post("/act", {"what": what, "verb": verb, "items": [f"nowhere/{named}"]})
        assert foreign.status_code == 404
        assert foreign.data == missing.data
    assert stage.content() == before


@pytest.mark.parametrize(("what", "verb"), VERBS)
def test_one_foreign_item_spoils_the_whole_act(stage: Stage, what: str, verb: str) -> None:
    visitor = stage.visitor(only_seen)
    before = stage.content()
    mine = [stage.chosen(SEEN, state) for state in ("dead", "dead2")] if what == "dead" else [
        stage.chosen(SEEN, state) for state in ("scheduled", "waiting", "silent")
    ]  # fmt: skip
    for foreign in (stage.chosen(HIDDEN, "dead" if what == "dead" else "scheduled"), "nowhere/1/1"):
        answer = visitor.post("/act", {"what": what, "verb": verb, "items": [*mine, foreign]})
        assert answer.status_code == 404
    assert stage.content() == before


def test_his_acts_in_many_places_stay_in_his_queue(stage: Stage) -> None:
    visitor = stage.visitor(only_seen)
    before = [row for row in stage.content() if HIDDEN in row]
    assert visitor.post("/queues/hushqueue/steer", {"verb": "pause"}).status_code == 404
    assert visitor.post("/queues/hushqueue/options", {"lease_time": 5}).status_code == 404
    assert visitor.post("/queues/nowhere/options", {"lease_time": 5}).status_code == 404
    assert visitor.post("/queues/seenqueue/steer", {"verb": "pause"}).get_json()["changed"]
    assert [row for row in stage.content() if HIDDEN in row] == before


def test_the_search_for_a_secret_that_is_not_shown_finds_nothing(stage: Stage) -> None:
    """Else it could be guessed, letter by letter."""
    queue: Any = service_of(stage.usual).load(SEEN)
    queue.create_item("x", weight=-9)
    (item,) = queue.claim_items(1)
    queue.settle([item], settlement.retry(86_400, "login failed: password=Tr0ub4dor-3 was refused"))
    queue.create_item("y", weight=-9)
    (item,) = queue.claim_items(1)
    queue.settle([item], settlement.bury("login failed: password=Tr0ub4dor-3 was refused"))
    visitor = stage.visitor(only_seen)
    for name in ("items", "dead"):
        (found,) = visitor.json(f"/{name}?text=login+failed")[name]
        assert found["error"] == "login failed: password=[hidden] was refused"
        for text in ("password%3DT", "Tr0ub4dor", "=Tr0"):
            assert visitor.json(f"/{name}?text={text}")[name] == [], text
        verb = "delete"
        assert visitor.json(f"/confirm?what={name}&verb={verb}&text=Tr0ub4dor")["number"] == 0


def test_the_arguments_of_items_are_neither_shown_nor_searched_without_that_permission(stage: Stage) -> None:
    visitor = stage.visitor(lambda action, queue: action == "view" and queue in (None, SEEN))
    for page in ("/items", "/items?text=argument", f"/queues/{SEEN}/items/{stage.items[SEEN]['waiting'][0]}"):
        text = visitor.get(page, headers={"Accept": "application/json"}).text
        assert "argument" not in text, page
        assert "sesame plain" not in text, page
    assert visitor.json("/items?text=sesame+plain")["items"] == []
    page = visitor.json(f"/queues/{SEEN}/items/{stage.items[SEEN]['dead'][0]}")
    assert "content" not in page and page["trace"] == ""
    assert not [ending for ending in page["history"] if ending["trace"]]


def test_a_queue_that_is_gone_is_as_hidden_as_it_was(stage: Stage) -> None:
    service = service_of(stage.usual)
    for name in (HIDDEN, OUTBOX, OPERATIONS):
        if service.exists(name):
            service.load(name).delete()
    visitor = stage.visitor(only_seen)
    for page in PAGES:
        assert not [word for word in (HIDDEN, MARKS[HIDDEN]) if word in str(all_of(visitor, page))], page


def test_a_queue_that_has_just_come_is_hidden_from_the_first_moment(stage: Stage) -> None:
    """Queues are looked up every two seconds at most."""
    service = service_of(stage.usual)
    for name in (HIDDEN, OUTBOX, OPERATIONS):
        if service.exists(name):
            service.load(name).delete()
    visitor = stage.visitor(only_seen)
    visitor.json("")  # he sees all there are, and that is remembered
    queue: Any = service.create("SqlParallel", "hushqueue-new")
    queue.create_item("hushcontent")
    queue.settle(queue.claim_items(1), settlement.bury("hushcontent"))
    Acts(service, "user:x").note("skip", "hushqueue-new", number=3)
    for page in ("/items", "/dead", "/history", "/audit", "/runs"):
        assert "hushqueue-new" not in str(all_of(visitor, page)), page
