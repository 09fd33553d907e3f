"""What somebody sees who does something that makes no sense, or looks for what is not there any more."""

from __future__ import annotations

from typing import Any

import pytest

from taskqueue import Runner
from taskqueue.dashboard.bulk import PAYLOAD
from tests.web_api import tasks
from tests.web_api.dashboard.stage import SEEN, Stage, service_of
from tests.web_api.dashboard.test_permissions import order


@pytest.mark.parametrize("address", ["/items?state=nonsense", "/queues/nowhere", "/nothing"])
def test_a_refusal_is_json_where_json_was_asked_for(stage: Stage, address: str) -> None:
    answer = stage.visitor().get(f"{address}{'&' if '?' in address else '?'}format=json")
    assert answer.status_code in (400, 404)
    assert (answer.get_json() or {}).keys() == {"error"}


def test_the_overview_is_there_with_a_slash_at_its_end_too(stage: Stage) -> None:
    visitor = stage.visitor()
    found = [queue["name"] for queue in visitor.json("")["queues"]]
    assert found and [queue["name"] for queue in visitor.json("/")["queues"]] == found
    text = visitor.get("/?from=0").text
    assert 'name="next" value="/queue/dashboard?from=0"' in text, "an act leads back to the same queues"


def test_the_line_of_the_last_hour_leaves_the_minute_out_that_it_is_now(stage: Stage) -> None:
    service = service_of(stage.usual)
    now = int(stage.rows("SELECT CAST(strftime('%s', 'now') AS INTEGER)")[0][0]) * 1000
    for name in ("now", "before"):
        service.create("Sql", name)
    for name, start in (("now", now - now % 60_000), ("before", now - now % 60_000 - 600_000)):
        stage.rows(
            "INSERT INTO taskqueue_trend (queue_name, resolution, start, done) VALUES (?, 60, ?, 7)", name, start
        )
    text = stage.visitor().get("").text
    rows = {name: text.partition(f'/queues/{name}"')[2].partition("</tr>")[0] for name in ("now", "before")}
    assert ("<polyline" in rows["now"], "<polyline" in rows["before"]) == (False, True), rows


def test_a_refusal_leads_back_to_the_dashboard(stage: Stage) -> None:
    answer = stage.visitor().submit("/act", {"what": "dead", "verb": "revive"})
    assert answer.status_code == 400
    assert "Nothing was selected." in answer.text and 'href="/queue/dashboard"' in answer.text


@pytest.mark.parametrize("name", ["agent", "nope", "status"])
def test_an_option_that_cannot_be_changed_is_named(stage: Stage, name: str) -> None:
    before = stage.content()
    answer = stage.visitor().post(f"/queues/{SEEN}/options", {name: "server"})
    assert answer.status_code == 400 and name in answer.get_json()["error"]["message"]
    assert stage.content() == before


@pytest.mark.parametrize(("verb", "state"), [("retry", "running"), ("retry", "waiting"), ("skip", "running")])
def test_an_order_for_what_cannot_be_done_is_refused_and_not_offered(stage: Stage, verb: str, state: str) -> None:
    visitor = stage.visitor()
    assert visitor.get(f"/confirm?what=items&verb={verb}&state={state}").status_code == 400
    assert order(visitor, "items", verb, state=state).status_code == 400
    assert f"verb={verb}&amp;state" not in visitor.get(f"/items?state={state}").text


def test_the_log_of_an_order_says_what_was_done_and_what_was_left_alone(stage: Stage) -> None:
    # given: one of those that were meant has been claimed since
    visitor = stage.visitor()
    page = visitor.json(f"/confirm?what=items&verb=skip&queue={SEEN}&state=waiting")
    given = {name: str(page[name]) for name in ("bound", "moment", "number")}
    assert order(visitor, "items", "skip", queue=SEEN, state="waiting", **given).status_code == 200
    service = service_of(stage.usual)
    claimed: Any = service.load(SEEN)
    assert claimed.claim_item() is not None
    # when
    (orders,) = [queue for queue in service.queues() if queue.spec.payload == PAYLOAD]
    Runner(orders).run_all()
    # then
    lines = [text for (text,) in stage.rows("SELECT message FROM taskqueue_run_log")]
    assert any(f"{page['number'] - 1} done, 1 left alone" in line for line in lines), lines


def test_runs_of_others_are_listed_without_a_link_that_leads_nowhere(stage: Stage) -> None:
    owner = stage.visitor()
    text = owner.get("/runs").text
    assert "/queue/run/" not in text and " run</h2>" in text.replace("\n", "")


def test_what_has_ended_well_is_known_by_its_result(stage: Stage) -> None:
    # given
    service = service_of(stage.usual)
    queue: Any = service.create("Sql", "results", keep_result=3600)
    item = queue.enqueue(tasks.ok, 1)
    queue.settle([queue.claim_item()], _done(queue, item, {"answer": 42, "password": "x"}))
    # when
    page = stage.visitor().json(f"/queues/results/items/{item.id}")
    # then
    assert (page["state"], page["outcome"], page["content"]) == (
        "gone", "ok", {"result": {"answer": 42, "password": "[hidden]"}}
    )  # fmt: skip


def _done(queue: Any, item: Any, value: Any) -> Any:
    from taskqueue.queues.settlement import Settlement

    return Settlement(stays=False, result=queue.pack_result(item, value))
