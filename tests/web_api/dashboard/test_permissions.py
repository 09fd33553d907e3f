"""Each act needs its own permission on its own queue: it is not offered without, and refused when it is tried."""

# ruff: noqa: E501 (lists of texts)
from __future__ import annotations

import json
import re
from typing import Any

import pytest

from taskqueue.dashboard.bulk import PAYLOAD
from tests.web_api.dashboard.stage import ACTIONS, HIDDEN, MARKS, SEEN, Stage, Visitor, everything, service_of

#: The acts, on what, and on which of the items they do something.
ON_ONE = {
    ("items", "retry"): "scheduled", ("items", "skip"): "waiting", ("items", "delete"): "waiting2",
    ("items", "take_over"): "silent", ("dead", "revive"): "dead", ("dead", "delete"): "dead2",
}  # fmt: skip
ON_ALL = [key for key in ON_ONE if key[1] != "take_over"]
BOTH = {"html": False, "json": True}


def lacking(action: str, queue: str | None = None) -> Any:
    """Somebody who may do everything but that (on one queue)."""
    return lambda asked, name: asked != action or (queue is not None and name != queue) or name is None


def act(visitor: Visitor, as_json: bool, path: str, fields: dict[str, Any]) -> Any:
    return visitor.post(path, fields) if as_json else visitor.submit(path, {"confirmed": "1", **fields})


def order(visitor: Visitor, what: str, verb: str, as_json: bool = True, **fields: Any) -> Any:
    """Order an act on many, as the page of confirmation would."""
    given = {
        "what": what,
        "verb": verb,
        "bound": str(10**15),
        "moment": str(10**15),
        "number": "1",
        "key": "0123456789abcdef" * 2,
        **fields,
    }
    return act(visitor, as_json, "/bulk", given)


def run_orders(stage: Stage) -> None:
    """Carry out what was ordered."""
    from taskqueue import Runner

    service = service_of(stage.usual)
    for queue in service.queues():
        if queue.spec.payload == PAYLOAD:
            assert Runner(queue).run_all().failed == 0


@pytest.mark.parametrize("as_json", BOTH.values(), ids=BOTH)
@pytest.mark.parametrize(("what", "verb"), ON_ONE)
def test_without_the_permission_nothing_is_done(stage: Stage, what: str, verb: str, as_json: bool) -> None:
    state, before = ON_ONE[what, verb], stage.content()
    one, hidden = stage.chosen(SEEN, state), stage.chosen(HIDDEN, state)
    for hook in (lacking(verb), lacking(verb, SEEN), lambda action, queue: action in ("view", "view_args")):
        visitor = stage.visitor(hook)
        for chosen in ([one], [one, hidden], [hidden, one]):
            answer = act(visitor, as_json, "/act", {"what": what, "verb": verb, "items": chosen})
            assert answer.status_code == 403, answer.text
        if verb != "take_over":
            for more in ({"queue": SEEN}, {"queue": SEEN, "text": "x"}):
                assert order(visitor, what, verb, as_json, **more).status_code == 403
                query = "&".join(f"{name}={value}" for name, value in more.items())
                assert visitor.get(f"/confirm?what={what}&verb={verb}&{query}").status_code == 403
    nobody = stage.visitor(lacking(verb))
    if verb != "take_over":
        assert order(nobody, what, verb, as_json).status_code == 403
    assert stage.content() == before


@pytest.mark.parametrize("as_json", BOTH.values(), ids=BOTH)
@pytest.mark.parametrize(("what", "verb"), ON_ONE)
def test_with_that_permission_alone_it_is_done(stage: Stage, what: str, verb: str, as_json: bool) -> None:
    visitor = stage.visitor(lambda action, queue: action == "view" or (action == verb and queue == SEEN))
    answer = act(
        visitor, as_json, "/act", {"what": what, "verb": verb, "items": [stage.chosen(SEEN, ON_ONE[what, verb])]}
    )
    if as_json:
        assert answer.get_json() == {"done": 1, "asked": 1}
    else:
        assert answer.status_code == 303 and answer.headers["Location"].endswith(f"?done={verb}&n=1&of=1")
    (line,) = stage.rows(
        "SELECT actor, action, queue_name, item_id, number FROM taskqueue_audit ORDER BY id DESC LIMIT 1"
    )
    assert line == ("user:adam", verb, SEEN, stage.items[SEEN][ON_ONE[what, verb]][0], None)


@pytest.mark.parametrize("verb", ["pause", "resume", "edit"])
@pytest.mark.parametrize("as_json", BOTH.values(), ids=BOTH)
def test_queues_are_steered_by_those_who_may(stage: Stage, verb: str, as_json: bool) -> None:
    def steer(visitor: Visitor, name: str) -> Any:
        if verb == "edit":
            return act(visitor, as_json, f"/queues/{name}/options", {"lease_time": "77"})
        return act(visitor, as_json, f"/queues/{name}/steer", {"verb": verb})

    if verb == "resume":
        for name in (SEEN, HIDDEN):
            service_of(stage.usual).load(name).set_status("paused")
    before = stage.content()
    for hook in (lacking(verb), lacking(verb, SEEN)):
        assert steer(stage.visitor(hook), SEEN).status_code == 403
    assert stage.content() == before
    visitor = stage.visitor(lambda action, queue: action == "view" or (action == verb and queue == SEEN))
    assert steer(visitor, HIDDEN).status_code == 403
    assert stage.content() == before
    assert steer(visitor, SEEN).status_code == (200 if as_json else 303)
    assert stage.rows("SELECT actor, action, queue_name FROM taskqueue_audit ORDER BY id DESC LIMIT 1") == [
        ("user:adam", verb, SEEN)
    ]
    assert len([row for row in stage.content() if row.startswith("taskqueue_audit")]) == 1 + len(
        [row for row in before if row.startswith("taskqueue_audit")]
    )


@pytest.mark.parametrize("options", [
    {"lease_time": -1}, {"lease_time": "x"}, {"lease_time": "1e999"}, {"lease_time": "nan"}, {"lease_time": []},
    {"lease_time": True}, {"lease_time": {"a": 1}}, {"retry_limit": 10**30}, {"retry_limit": "9" * 5000},
    {"retry_limit": 1.5}, {"error": "explode"}, {"error": ["abort"]}, {"error": {}}, {"batch_limit": 0},
    {"batch_limit": "-5"}, {"keep_result": "x" * 300}, {"retry_backoff": "\ud800"}, {"concurrency_limit": "\0"},
])  # fmt: skip
def test_options_that_make_no_sense_change_nothing(stage: Stage, options: dict[str, Any]) -> None:
    visitor, before = stage.visitor(), stage.content()
    answer = visitor.client.post(
        f"/queue/dashboard/queues/{SEEN}/options", data=json.dumps(options), content_type="application/json",
        headers={"X-CSRFToken": visitor.token},
    )  # fmt: skip
    assert answer.status_code in (200, 400), answer.text
    if answer.status_code == 200:
        assert answer.get_json() == {"changed": []}
    else:
        message = answer.get_json()["error"]["message"]
        assert message and "\n" not in message and "Traceback" not in message
    assert stage.content() == before


@pytest.mark.parametrize(
    "option", ["payload", "agent", "is_persistent", "type", "name", "status", "runner", "is_template"]
)
def test_what_decides_what_may_run_is_not_edited(stage: Stage, option: str) -> None:
    visitor, before = stage.visitor(), stage.content()
    answer = visitor.post(f"/queues/{SEEN}/options", {option: "x"})
    assert answer.status_code in (200, 400)
    assert stage.content() == before


@pytest.mark.parametrize("hook", [everything, lambda action, queue: action != "view_args"])
def test_in_read_only_mode_there_are_no_acts(stage: Stage, hook: Any) -> None:
    visitor = stage.visitor(hook, TASKQUEUE_READ_ONLY=True)
    before = stage.content()
    for as_json in (False, True):
        for (what, verb), state in ON_ONE.items():
            fields = {"what": what, "verb": verb, "items": [stage.chosen(SEEN, state)]}
            assert act(visitor, as_json, "/act", fields).status_code == 403
        for what, verb in ON_ALL:
            assert order(visitor, what, verb, as_json).status_code == 403
            assert order(visitor, what, verb, as_json, queue=SEEN).status_code == 403
        for verb in ("pause", "resume"):
            assert act(visitor, as_json, f"/queues/{SEEN}/steer", {"verb": verb}).status_code == 403
        assert act(visitor, as_json, f"/queues/{SEEN}/options", {"lease_time": "5"}).status_code == 403
    assert stage.content() == before
    for path in ("", f"/queues/{SEEN}", "/items", "/dead", *(f"/queues/{SEEN}/items/{each[0]}" for each in stage.items[SEEN].values())):  # fmt: skip
        page = visitor.get(path)
        assert page.status_code == 200
        assert not _offered(page.text), path
    for state, (item_id, _fence) in stage.items[SEEN].items():
        assert visitor.json(f"/queues/{SEEN}/items/{item_id}")["actions"] == [], state


def _offered(html: str) -> set[str]:
    """The verbs of buttons and forms that post."""
    forms = re.findall(r"<form[^>]*method=\"?post.*?</form>", html, re.S | re.I)
    found = {verb for form in forms for verb in re.findall(r'name="verb"\s+value="(\w+)"', form)}
    found |= {verb for form in forms for verb in re.findall(r'value="(\w+)"\s+name="verb"', form)}
    found |= {
        verb for tag in re.findall(r"<button[^>]*>", html) for verb in re.findall(r'name="verb" value="(\w+)"', tag)
    }
    return found | {"edit" for form in forms if "/options" in form}


@pytest.mark.parametrize("action", [action for action in ACTIONS if not action.startswith("view")])
def test_what_somebody_may_not_do_is_not_offered(stage: Stage, action: str) -> None:
    service_of(stage.usual).load(SEEN).set_status("paused") if action == "resume" else None
    admin, visitor = stage.visitor(), stage.visitor(lacking(action))
    paths = ["", f"/queues/{SEEN}", "/items", "/dead"]
    paths += [f"/queues/{SEEN}/items/{item_id}" for item_id, _fence in stage.items[SEEN].values()]
    offered: set[str] = set()
    for path in paths:
        offered |= _offered(admin.get(path).text)
        assert action not in _offered(visitor.get(path).text), path
        assert f"verb={action}" not in visitor.get(path).text, path
    assert action in offered
    for item_id, _fence in stage.items[SEEN].values():
        assert action not in visitor.json(f"/queues/{SEEN}/items/{item_id}")["actions"]


def test_the_acts_of_an_item_are_those_that_its_state_allows(stage: Stage) -> None:
    admin = stage.visitor()
    expected = {
        "waiting": {"skip", "delete"}, "scheduled": {"retry", "skip", "delete"}, "running": {"delete"},
        "silent": {"take_over", "delete"}, "dead": {"revive", "delete"}, "retrying": {"retry", "skip", "delete"},
        "ended": set(), "skipped": set(),
    }  # fmt: skip
    for state, verbs in expected.items():
        page = admin.json(f"/queues/{SEEN}/items/{stage.items[SEEN][state][0]}")
        assert set(page["actions"]) == verbs, state


@pytest.mark.parametrize(("what", "verb"), ON_ALL)
def test_without_a_queue_it_is_done_where_the_visitor_may(stage: Stage, what: str, verb: str) -> None:
    """In one queue he may do it; in the other he may only look."""
    visitor = stage.visitor(lacking(verb, HIDDEN))
    table = "taskqueue_item" if what == "items" else "taskqueue_dead"
    hidden = stage.rows(f"SELECT * FROM {table} WHERE queue_name = ? ORDER BY id", HIDDEN)
    page = visitor.json(f"/confirm?what={what}&verb={verb}")
    meant = " AND state = 2" if verb == "retry" else ""  # only what is scheduled can be made ready
    rows = stage.rows(f"SELECT COUNT(*) FROM {table} WHERE queue_name <> ?{meant}", HIDDEN)
    assert page["number"] == rows[0][0] > 0
    answer = order(visitor, what, verb, bound=str(page["bound"]), number=str(page["number"]))
    assert answer.status_code == 200, answer.text
    run_orders(stage)
    assert stage.rows(f"SELECT * FROM {table} WHERE queue_name = ? ORDER BY id", HIDDEN) == hidden
    assert not stage.rows("SELECT * FROM taskqueue_audit WHERE queue_name = ? AND actor = 'user:adam'", HIDDEN)
    if what == "dead":
        assert not stage.rows("SELECT id FROM taskqueue_dead WHERE queue_name = ?", SEEN)


def test_text_in_what_may_not_be_shown_is_not_searched_by_orders_either(stage: Stage) -> None:
    visitor = stage.visitor(lacking("view_args"))
    assert visitor.json("/confirm?what=items&verb=skip&text=sesame+plain")["number"] == 0
    before = stage.rows("SELECT id FROM taskqueue_item WHERE queue_name = ? ORDER BY id", SEEN)
    assert order(visitor, "items", "skip", text="sesame plain").status_code == 200
    run_orders(stage)
    assert stage.rows("SELECT id FROM taskqueue_item WHERE queue_name = ? ORDER BY id", SEEN) == before
    assert MARKS[SEEN] in visitor.get(f"/items?queue={SEEN}").text


def test_a_permission_that_was_taken_away_before_the_post_counts(stage: Stage) -> None:
    may = {"skip"}
    visitor = stage.visitor(lambda action, queue: action.startswith("view") or action in may)
    page = visitor.json(f"/confirm?what=items&verb=skip&queue={SEEN}")
    may.clear()
    before = stage.content()
    assert order(visitor, "items", "skip", queue=SEEN, bound=str(page["bound"])).status_code == 403
    assert stage.content() == before


def test_pages_that_execute_nothing_take_no_orders(stage: Stage) -> None:
    visitor = stage.visitor(TASKQUEUE_MODE="observe")
    before = stage.content()
    assert order(visitor, "items", "skip", queue=SEEN).status_code == 409
    assert stage.content() == before
    assert 'type="submit"' not in visitor.get("/confirm?what=items&verb=skip").text
    assert 'type="submit"' in stage.visitor().get("/confirm?what=items&verb=skip").text
