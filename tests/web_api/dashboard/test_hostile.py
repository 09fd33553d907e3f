"""Parameters, posts and rows that nobody planned for: one sentence and 400 or 404, or a page that names the damage."""

# ruff: noqa: E501 (lists of texts)
from __future__ import annotations

import json
import os
import re
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.web_api.dashboard.stage import BASE, HIDDEN, LISTS, SEEN, Stage

EXAMPLES = 300 if os.environ.get("CI") else 40
#: As they stand in an address.
ODD = [
    "", "%00", "a%00b", "%ed%a0%80", "%ff%fe", "%F0%9F%92%A9", "x" * 100_000, "9" * 18, "9" * 19, "9" * 5000, "-1", "1.5",
    "1e3", "0x10", "%d9%a7", "%C2%B2", "+1", "%201", "1%20", "None", "null", "NaN", "true", "[]", "{}", "%5B%5D", "..", "../..",
    "%2e%2e%2f", "'%20OR%20'1'='1", "%22%3E%3Cscript%3Ealert(1)%3C/script%3E", "{{7*7}}", "${7*7}", "%25s", "%(x)s",
    "%0d%0aX-Evil:%201", "%E2%80%AE", "1.1", ".", "1.", ".1", "1." + "f" * 32, "1." + "%d9%a7" * 32, "1." + "z" * 32,
    "-1." + "f" * 32, "99999999999999999.1", "999999999999999999." + "f" * 32, "999999999999999999.999999999999999999",
    "waiting", "failed", "hour", "5m", "skip", "items", "dead", SEEN,
]  # fmt: skip
PARAMETERS = {
    "": ("from",), f"/queues/{SEEN}": ("period",), "/charts": ("queue", "period"),
    "/items": ("queue", "state", "text", "since", "until", "after"),
    "/dead": ("queue", "text", "since", "until", "after"), "/history": ("queue", "state", "since", "until", "after"),
    "/workers": (), "/schedules": (), "/runs": ("queue", "after"), "/outbox": ("queue", "after"),
    "/operations": ("state", "after"), "/audit": ("queue", "after"),
    "/confirm": ("what", "verb", "queue", "state", "text", "since", "until"),
}  # fmt: skip
COMMON = ("format", "done", "n", "of")


def fair(answer: Any, *expected: int) -> None:
    """No error of the server, and what is refused is refused in one sentence."""
    assert answer.status_code in (expected or (200, 400, 404)), (answer.status_code, answer.text[:500])
    assert "Traceback (most recent" not in answer.text and 'File "' not in answer.text
    assert "X-Evil" not in answer.headers
    assert answer.is_json or "<script>alert" not in answer.text
    if answer.status_code >= 400 and answer.is_json:
        message = answer.get_json()["error"]["message"]
        assert message and "\n" not in message and len(message) < 500, message


@pytest.mark.parametrize("page", PARAMETERS)
def test_odd_values_of_every_parameter(stage: Stage, page: str) -> None:
    visitor, before = stage.visitor(), stage.content()
    usual = "what=items&verb=skip&" if page == "/confirm" else ""
    for name in (*PARAMETERS[page], *COMMON, "nobody_knows", "%00", "page"):
        for number, value in enumerate(ODD):
            accept = "text/html" if name in COMMON or not number % 5 else "application/json"
            answer = visitor.get(f"{page}?{usual}{name}={value}", headers={"Accept": accept})
            fair(answer)
            if name in ("nobody_knows", "page"):
                assert answer.status_code == 400
        fair(visitor.get(f"{page}?{usual}{name}=1&{name}=2&{name}"))
    assert stage.content() == before


def test_odd_paths(stage: Stage) -> None:
    visitor, before = stage.visitor(), stage.content()
    for value in ODD:
        for path in (f"/queues/{value}", f"/queues/{value}/items/1", f"/queues/{SEEN}/items/{value}", f"/{value}",
                     f"/queues/{value}/steer"):  # fmt: skip
            answer = visitor.get(path)
            fair(answer, 200, 308, 400, 404)
    for number in (2**31, 2**53, 2**63 - 1, 2**63, 2**64, 10**18, 10**30, 10**400):
        assert visitor.get(f"/queues/{SEEN}/items/{number}").status_code == 404
        fair(visitor.get(f"/items?after={number}"))
    assert stage.content() == before


def test_a_number_that_is_none_is_refused_by_name(stage: Stage) -> None:
    visitor = stage.visitor()
    for page, name, value in (
        ("", "from", "x"), ("/items", "after", "-1"), ("/dead", "after", "1"), ("/dead", "after", "x.y"),
        ("/history", "after", "1.5"), ("/runs", "after", "1.x"), ("/operations", "after", "1"), ("/audit", "after", "x"),
        ("/charts", "period", "year"), ("/operations", "state", "x"), ("/items", "state", "failed"),
        ("/dead", "state", "waiting"), ("/items", "since", "1y"), ("/history", "text", "x"), ("/confirm", "what", "x"),
    ):  # fmt: skip
        answer = visitor.get(f"{page}?{name}={value}", headers={"Accept": "application/json"})
        assert (answer.status_code, answer.get_json()["error"]["code"]) == (400, "bad_request")
        assert name in answer.get_json()["error"]["message"], answer.text


# --- posts ---------------------------------------------------------------------------------------

scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20),
    st.sampled_from(["\0", "\ud800", "x" * 9000, 2**63, 2**64, 10**30, -1, float("nan"), float("inf"), "1", "99", "𝟗"]),
)  # fmt: skip
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner,
                      max_size=3), max_leaves=5)  # fmt: skip
chosen = st.one_of(
    st.sampled_from([f"{SEEN}/999999/0", f"{HIDDEN}/999999/0", f"{SEEN}/999999", "nowhere/1/1", f"{SEEN}/{'9' * 18}/{'9' * 18}",
                     f"{SEEN}/1/1/1", f"{SEEN}//", "/1/1", f"{SEEN}/-1/0", f"{SEEN}/1e3/0", f"{SEEN}/٣/0"]),
    values,
)  # fmt: skip
field_values = {
    "what": st.sampled_from(["items", "dead", "", "queues"]),
    "verb": st.sampled_from(["retry", "skip", "delete", "revive", "take_over", "pause", "edit", "view", "__class__"]),
    "items": st.one_of(chosen, st.lists(chosen, max_size=4)),
    "next": st.sampled_from([BASE, "//evil.example", "javascript:alert(1)", "\r\nX-Evil: 1", "x" * 9000]),
    "confirmed": st.sampled_from(["1", "0", 1, True]),
    "queue": st.sampled_from([SEEN, "nowhere", "a/b", ""]),
    "state": st.sampled_from(["waiting", "failed", ""]),
    "text": st.text(max_size=10), "since": st.sampled_from(["5m", "x"]), "until": st.sampled_from(["30d", "1h"]),
    "bound": st.sampled_from(["0", 0, "x", "9" * 18, "9" * 19, -1]), "moment": st.sampled_from(["0", "9" * 18, "x"]), "number": st.sampled_from(["0", "9" * 18, "x", 5]),
    "key": st.sampled_from(["f" * 32, "F" * 32, "f" * 31, "", 5]),
}  # fmt: skip
bodies = st.fixed_dictionaries(
    {}, optional={name: st.one_of(usual, usual, usual, values) for name, usual in field_values.items()}
)


@pytest.mark.parametrize("kind", ["json", "form", "raw"])
def test_odd_posts(stage: Stage, kind: str) -> None:
    visitor = stage.visitor()
    tables = ("taskqueue_item ", "taskqueue_dead ", "taskqueue_queue ")
    #: Of the queues of the stage; orders (which find nothing that is there: their bound is 0) may stand on their own.
    items = [row for row in stage.content() if row.startswith(tables)]

    @settings(max_examples=EXAMPLES, deadline=None, database=None, phases=(Phase.generate, Phase.shrink),
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(path=st.sampled_from(["/act", "/bulk", f"/queues/{SEEN}/options", "/queues/nowhere/steer"]), fields=bodies,
           raw=st.binary(max_size=60))  # fmt: skip
    def answers_fairly(path: str, fields: dict[str, Any], raw: bytes) -> None:
        headers = {"X-CSRFToken": visitor.token, "Accept": "application/json"}
        if kind == "json":
            answer = visitor.client.post(BASE + path, data=json.dumps(fields), content_type="application/json",
                                         headers=headers)  # fmt: skip
        elif kind == "form":
            body = "&".join(
                f"{name}={quote(str(value).encode(errors='surrogatepass'))}" for name, value in fields.items()
            )
            answer = visitor.client.post(BASE + path, data=body.encode(), headers=headers,
                                         content_type="application/x-www-form-urlencoded")  # fmt: skip
        else:
            answer = visitor.client.post(BASE + path, data=raw, content_type="application/json", headers=headers)
        fair(answer, 200, 303, 400, 403, 404, 413)

    answers_fairly()
    assert [row for row in stage.content() if row.startswith(tables) and "taskqueue.bulk" not in row] == items


def test_bodies_that_are_no_objects(stage: Stage) -> None:
    visitor, before = stage.visitor(), stage.content()
    for body in (b"", b"[]", b"1", b"null", b'"x"', b"{", b"[" * 10_000, b"\xff\xfe", b'{"items": ' + b"9" * 6000 + b"}",
                 b'{"a": 1}' * 3, b'{"items": "\\ud800"}', b'{"what": {"a": 1}}'):  # fmt: skip
        for path in ("/act", "/bulk", f"/queues/{SEEN}/steer", f"/queues/{SEEN}/options"):
            for kind in (
                "application/json",
                "application/json; charset=utf-16",
                "text/json",
                "multipart/form-data",
                "",
            ):
                answer = visitor.client.post(BASE + path, data=body, content_type=kind,
                                             headers={"X-CSRFToken": visitor.token, "Accept": "application/json"})  # fmt: skip
                fair(answer, 200, 303, 400, 413)
                assert "options" in path or answer.status_code >= 400
    assert stage.content() == before


def test_too_many_chosen_are_refused(stage: Stage) -> None:
    visitor = stage.visitor()
    chosen = [f"{SEEN}/{1_000_000 + number}/0" for number in range(201)]
    assert visitor.post("/act", {"what": "items", "verb": "retry", "items": chosen}).status_code == 400
    answer = visitor.post("/act", {"what": "items", "verb": "retry", "items": chosen[:200]})
    assert (answer.status_code, answer.get_json()) == (200, {"done": 0, "asked": 200})


def test_an_item_that_is_named_twice_is_done_once_and_counted_once(stage: Stage) -> None:
    visitor = stage.visitor()
    one = stage.chosen(SEEN, "waiting")
    answer = visitor.post("/act", {"what": "items", "verb": "delete", "items": [one, one, one]})
    assert answer.get_json()["done"] == 1
    letter = stage.chosen(SEEN, "dead")
    answer = visitor.post("/act", {"what": "dead", "verb": "revive", "items": [letter, letter]})
    assert answer.get_json()["done"] == 1
    lines = stage.rows("SELECT action FROM taskqueue_audit WHERE actor = 'user:adam'")
    assert lines == [("delete",), ("revive",)]


# --- where it leads ------------------------------------------------------------------------------

ELSEWHERE = [
    "//evil.example", "///evil.example", "\\\\evil.example", "/\\evil.example", "https://evil.example", "http:evil.example",
    "javascript:alert(1)", "data:text/html,x", "/%2f/evil.example", "%2f%2fevil.example", "/queue/dashboardX",
    "/queue/dashboard.evil.example", "/queue/dashboard@evil.example", "/queue/dashboard\\..\\evil", "/queue/run/x", "/", "",
    "/queue/dashboard\r\nX-Evil: 1", "/queue/dashboard\tx", "/queue/dashboard/\u202e", "//evil.example/queue/dashboard",
    "/queue/dashboard/../../sign-out", "/queue/dashboard/./../../sign-out", "/queue/dashboard/%2e%2e/%2e%2e/sign-out",
    "/queue/dashboard/items/%2E./../sign-out", " /queue/dashboard", "/QUEUE/DASHBOARD", "/queue/dashboard#@evil",
    "/queue/dashboard/..", "/queue/dashboard/.%2e/x",
]  # fmt: skip


@pytest.mark.parametrize("path", ["/act", f"/queues/{SEEN}/steer", f"/queues/{SEEN}/options"])
def test_an_act_leads_back_to_the_dashboard_only(stage: Stage, path: str) -> None:
    visitor = stage.visitor()
    verb = "resume" if "steer" in path else "retry"
    for following in ELSEWHERE:
        answer = visitor.submit(path, {"what": "items", "verb": verb, "items": [f"{SEEN}/1/1"], "next": following})
        assert answer.status_code == 303
        location = answer.headers["Location"]
        assert re.fullmatch(rf"{BASE}(/[A-Za-z0-9_./-]*)?\?[ -~]*", location), location
        assert "." not in location.partition("?")[0]
        assert "X-Evil" not in answer.headers


@pytest.mark.parametrize("following", [
    BASE, f"{BASE}/items", f"{BASE}/items?queue={SEEN}&text=a%20b", f"{BASE}/queues/{SEEN}", f"{BASE}?from=50",
    f"{BASE}/queues/a.b_c-d:e/items/5",
])  # fmt: skip
def test_an_act_leads_back_to_where_it_was_pressed(stage: Stage, following: str) -> None:
    answer = stage.visitor().submit(
        "/act", {"what": "items", "verb": "retry", "items": [f"{SEEN}/1/1"], "next": following}
    )
    mark = "&" if "?" in following else "?"
    assert answer.headers["Location"] == f"{following}{mark}done=retry&n=0&of=1"


def test_the_question_whether_it_is_meant_has_no_way_out_either(stage: Stage) -> None:
    visitor = stage.visitor()
    for following in ELSEWHERE:
        fields = {"what": "items", "verb": "delete", "items": [f"{SEEN}/1/1"], "next": following}
        answer = visitor.submit("/act", fields)
        assert answer.status_code == 200
        for link in re.findall(r'(?:href|action|value)="([^"]*)"', answer.text):
            assert "evil" not in link and "sign-out" not in link
            assert not link.startswith(("javascript:", "//", "data:text"))


# --- damaged rows --------------------------------------------------------------------------------

#: What is written into the database, and on which pages it must be told of by that name.
DAMAGE: dict[str, tuple[str, dict[str, str]]] = {
    "options of a queue": (f"UPDATE taskqueue_queue SET options = ? WHERE name = '{SEEN}'", {"": SEEN}),
    "type of a queue": (f"UPDATE taskqueue_queue SET type = ? WHERE name = '{SEEN}'", {"": SEEN}),
    "status of a queue": (f"UPDATE taskqueue_queue SET status = SUBSTR(?, 1, 16) WHERE name = '{SEEN}'", {"": SEEN}),
    "data of an item": ("UPDATE taskqueue_item SET data = ? WHERE id = {waiting}", {"/items": "#{waiting}"}),
    "error of an item": ("UPDATE taskqueue_item SET last_error = ? WHERE id = {waiting}", {"/items": "#{waiting}"}),
    "uid of an item": ("UPDATE taskqueue_item SET uid = SUBSTR(?, 1, 32) WHERE id = {waiting}", {"/items": "#{waiting}"}),
    "key of an item": ("UPDATE taskqueue_item SET order_key = SUBSTR(?, 1, 64) WHERE id = {waiting}", {}),
    "holder of an item": ("UPDATE taskqueue_item SET holder = SUBSTR(?, 1, 64) WHERE id = {running}", {"/items": "#{running}"}),
    "facts of a worker": ("UPDATE taskqueue_holder SET worker = ?", {}),
    "label of a worker": ("UPDATE taskqueue_holder SET label = ?", {}),
    "data of a dead letter": ("UPDATE taskqueue_dead SET data = ? WHERE id = {dead}", {"/dead": "#{dead}"}),
    "error of a dead letter": ("UPDATE taskqueue_dead SET error = ?, traceback = ? WHERE id = {dead}", {"/dead": "#{dead}"}),
    "outcome": ("UPDATE taskqueue_ending SET outcome = SUBSTR(?, 1, 16), error = ? WHERE item_id = {dead}", {}),
    "run": ("UPDATE taskqueue_run SET definition = ?", {"/runs": SEEN}),
    "status of a run": ("UPDATE taskqueue_run SET status = SUBSTR(?, 1, 16)", {"/runs": SEEN}),
    "cron": ("UPDATE taskqueue_periodic SET cron = ?, timezone = ?", {"/schedules": "opensesame-nightly"}),
    "data of a schedule": ("UPDATE taskqueue_periodic SET data = ?", {"/schedules": "opensesame-nightly"}),
    "error of an operation": ("UPDATE taskqueue_operation SET error = ?, state = 'dead', end_time = 5", {}),
    "state of an operation": ("UPDATE taskqueue_operation SET state = SUBSTR(?, 1, 16)", {}),
    "audit": ("UPDATE taskqueue_audit SET detail = ?, actor = ?, action = SUBSTR(?, 1, 32)", {}),
    "queue of the audit": ("UPDATE taskqueue_audit SET queue_name = ?", {}),
    "progress": ("UPDATE taskqueue_activity SET message = ?", {}),
}  # fmt: skip
TEXTS = [
    "", "not json", "[]", '{"queues": [5, null, {}], "pid": "x", "host": {}}', '{"v": 1, "callback": 5}',
    '{"payload": [], "lease_time": "x", "is_template": {}}', '{"code": 1}', "[" * 5000, "\x00\x01\x1b[31m\u202e",
    "<script>alert(1)</script>", "x" * 30_000, '{"v":1,"data":{"title":"\\u0000"}}', "{{7*7}} %(n)s %s",
]  # fmt: skip


@pytest.mark.parametrize("what", DAMAGE)
def test_every_page_still_draws_and_names_what_is_damaged(stage: Stage, what: str) -> None:
    sql, named = DAMAGE[what]
    ids = {state: item[0] for state, item in stage.items[SEEN].items()}
    sql = sql.format(**ids)
    pages = ["", *(f"/{name}" for name in LISTS), f"/queues/{SEEN}", f"/queues/{HIDDEN}", "/items?text=e",
             *(f"/queues/{SEEN}/items/{ids[state]}" for state in ("waiting", "running", "dead"))]  # fmt: skip
    for number, text in enumerate(TEXTS):
        stage.rows(sql, *[text] * sql.count("?"))
        visitor = stage.visitor()
        for page in pages if number == 1 else ("", pages[-3], *named):
            accept = "application/json" if number == 1 else "text/html"
            answer = visitor.get(page, headers={"Accept": accept})
            if f"/queues/{SEEN}" in page and what.endswith("of a queue") and answer.status_code != 200:
                assert (answer.status_code, f"{SEEN}: Damaged" in answer.text) == (409, True)
            else:
                fair(answer, 200)
        for page, name in named.items():
            of_queue = f"?queue={SEEN}" if page in ("/items", "/dead") else ""
            assert name.format(**ids) in visitor.get(page + of_queue).text, (page, text[:40])
        stage.close()


def test_a_queue_that_is_damaged_while_it_is_served_is_named(stage: Stage) -> None:
    visitor = stage.visitor()
    assert visitor.get(f"/queues/{SEEN}").status_code == 200
    stage.rows(f"UPDATE taskqueue_queue SET options = 'x' WHERE name = '{SEEN}'")
    answer = visitor.get(f"/queues/{SEEN}")
    assert (answer.status_code, f"{SEEN}: Damaged" in answer.text) == (409, True)
    assert visitor.get(f"/queues/{HIDDEN}").status_code == 200


#: Columns with times and numbers, by table.
NUMBERS = {
    "item": ("submit_time", "release_time", "run_count", "failures", "weight", "fence"),
    "dead": ("submit_time", "dead_time", "failures"), "ending": ("end_time", "attempt"),
    "holder": ("start_time", "beat_time", "beat_period"), "run": ("create_time", "start_time"),
    "periodic": ("next_time",), "operation": ("create_time", "end_time", "expire_time"),
    "audit": ("time", "item_id", "number"), "queue": ("create_time",), "trend": ("start", "done", "depth"),
}  # fmt: skip


@pytest.mark.parametrize("table", NUMBERS)
def test_times_and_numbers_out_of_all_bounds(stage: Stage, table: str) -> None:
    known = [row[1] for row in stage.rows(f"PRAGMA table_info(taskqueue_{table})")]
    assert set(NUMBERS[table]) <= set(known)
    ids = [stage.items[SEEN][state][0] for state in ("running", "dead", "scheduled")]
    own = {"item": "items", "ending": "history", "holder": "workers", "run": "runs", "periodic": "schedules",
           "operation": "operations", "trend": "charts", "queue": "items"}.get(table, table)  # fmt: skip
    pages = ["", f"/{own}", f"/queues/{SEEN}", *(f"/queues/{SEEN}/items/{each}" for each in ids)]
    for column in NUMBERS[table]:
        saved = stage.rows(f"SELECT rowid, {column} FROM taskqueue_{table}")
        for value in (-(2**62), 2**63 - 1):
            stage.rows(f"UPDATE taskqueue_{table} SET {column} = ?", value)
            visitor = stage.visitor()
            for page in pages:
                answer = visitor.get(page)
                assert answer.status_code == 200, (table, column, value, page)
            stage.close()
        for rowid, before in saved:
            stage.rows(f"UPDATE taskqueue_{table} SET {column} = ? WHERE rowid = ?", before, rowid)
