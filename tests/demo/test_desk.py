"""The page of the demonstration that calls operations, without scripts: forms, results, and who may see them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from html import unescape

import pytest

from taskqueue.operations import Client
from tests.demo.application import Application
from tests.demo.browser import Server
from tests.demo.desk import ANN, Desk, contacts
from tests.servers import ALL_DATABASES


@pytest.fixture
def server(application: Application) -> Iterator[Server]:
    """The server on a fresh database."""
    with Server(application) as running:
        yield running


@pytest.fixture(scope="module")
def refusing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server for the tests of what is refused."""
    folder = tmp_path_factory.mktemp("refusing")
    with Server(Application(f"sqlite:///{folder / 'test.db'}", folder)) as running:
        yield running


@pytest.fixture
def sven(server: Server) -> Desk:
    return Desk(server.browser(), "sven")


@pytest.mark.parametrize("database_url", ALL_DATABASES, indirect=True)
def test_operations_are_deferred_and_run_now_and_their_results_shown(application: Application, sven: Desk) -> None:
    form = sven.form("?example=0")
    assert form["operation"] == "create"
    answer = sven.browser.post("/operations", form)
    assert (answer.status, answer.location.partition("#call-")[0]) == (303, "/operations")
    (done,) = sven.wait_for("Done")
    assert (done.id, done.operation) == (answer.location.partition("#call-")[2], "create")
    assert '"lastname": "Able"' in done.result and done.buttons == {"forget"}

    now = sven.send("create", ANN, how="now")
    assert (now.status, "create was executed" in now.words, '"lastname": "Able"' in now.words) == (200, True, True)
    described = sven.send("describe", {"elementType": "Contacts"}, how="now")
    assert (described.status, '"name": "Contacts"' in described.words) == (200, True)
    assert contacts(application) == ["Able", "Able"]


def test_the_same_form_sent_again_is_one_call(application: Application, sven: Desk) -> None:
    form = {**sven.form(), "data": json.dumps(ANN), "delay": "0"}
    with ThreadPoolExecutor() as pool:
        answers = list(pool.map(lambda _: sven.browser.post("/operations", form), range(4)))
    assert {(answer.status, answer.location) for answer in answers} == {(303, answers[0].location)}
    sven.wait_for("Done")
    assert contacts(application) == ["Able"]
    # With other data, as after going back: it is asked whether that is meant.
    other = sven.browser.post("/operations", {**form, "data": json.dumps({**ANN, "elementType": "Leads"})})
    assert (other.status, "This form was sent before" in other.words) == (409, True)
    assert other.element(r'name="key" value="(\w+)"') != form["key"]
    now = {**sven.form(), "data": json.dumps(ANN), "how": "now"}
    assert {sven.browser.post("/operations", now).status for _ in range(2)} == {200}
    assert contacts(application) == ["Able", "Able"]


@pytest.mark.parametrize("database_url", ALL_DATABASES, indirect=True)
def test_the_same_form_sent_again_is_one_call_also_of_what_takes_no_key(sven: Desk) -> None:
    form = {**sven.form(), "operation": "describe", "data": '{"elementType": "Leads"}'}
    with ThreadPoolExecutor() as pool:
        answers = list(pool.map(lambda _: sven.browser.post("/operations", form), range(4)))
    assert {(answer.status, answer.location) for answer in answers} == {(303, answers[0].location)}
    assert '"name": "Leads"' in sven.wait_for("Done")[0].result
    now = {**form, "key": "0123456789ab", "how": "now"}
    assert [sven.browser.post("/operations", now).status for _ in range(2)] == [200, 409]
    assert len(sven.calls()) == 1


def test_a_delayed_call_is_scheduled_and_cancelled(sven: Desk) -> None:
    sven.send("create", ANN, delay="3600")
    (call,) = sven.calls()
    assert (call.label, call.buttons, call.says[:7]) == ("Scheduled", {"cancel"}, "due at ")
    for _ in range(2):  # the second time from an old page
        assert sven.press("cancel", call.id).status == 303
        assert [(one.label, one.buttons) for one in sven.calls()] == [("Cancelled", {"forget"})]
    assert sven.press("retry", call.id).status == 303
    assert sven.press("forget", call.id).status == 303
    assert sven.calls() == []
    assert sven.press("forget", call.id).status == 404


def test_a_call_that_was_refused_says_why_and_is_tried_again(sven: Desk) -> None:
    sven.send("create", {"elementType": "Contacts", "element": {"firstname": "Ann", "assigned_user_id": "19x5"}})
    (call,) = sven.wait_for("Refused")
    assert "MANDATORY_FIELDS_MISSING" in call.says and call.buttons == {"retry", "forget"}
    assert sven.press("retry", call.id).status == 303
    sven.wait_for("Refused")


def test_calls_come_page_by_page(sven: Desk) -> None:
    for number in range(12):
        sven.send("create", {**ANN, "element": {"lastname": f"N{number}", "assigned_user_id": "19x5"}}, delay="60")
    first = sven.calls()
    page = sven.browser.get("/operations")
    older = unescape(page.element(r'href="/operations(\?after=\w+)[^"]*">Older ones'))
    second = sven.calls(older)
    assert (len(first), len(second), len({call.id for call in first + second})) == (10, 2, 12)
    assert "The latest" in sven.browser.get(f"/operations{older}").words
    assert len(sven.calls("?after=nonsense")) == 10


@pytest.mark.parametrize(
    ("fields", "status", "sentence"),
    [
        ({"data": "{nonsense"}, 400, "This is no JSON"),
        ({"data": "[" * 100_000}, 400, "This is"),
        ({"delay": "-1"}, 400, "Enter whole seconds from 0 to 86400."),
        ({"delay": "86401"}, 400, "Enter whole seconds from 0 to 86400."),
        ({"delay": "9" * 5000}, 400, "Enter whole seconds from 0 to 86400."),
        ({"delay": "1000000000"}, 400, "Enter whole seconds from 0 to 86400."),
        ({"operation": "nothing"}, 400, "Choose one of the list."),
        ({"data": '{"elementType": "Contact", "element": {}}'}, 422, "there is no module 'Contact'"),
        ({"data": '{"elementType": "Documents", "element": {"notes_title": "a"}}'}, 403, "may not call create"),
        ({"data": '"><script>alert(1)</script>'}, 400, "This is no JSON"),
        ({"operation": "MassDelete", "data": '{"ids": ["12x1"]}'}, 403, "may not call MassDelete"),
        ({"operation": "retrieve", "data": '{"id": "12x1"}'}, 409, "retrieve cannot be deferred"),
        ({"operation": "retrieve", "data": '{"id": "12x1"}', "how": "now"}, 422, "RECORD_NOT_FOUND"),
        ({"how": "now", "data": '{"elementType": "Contacts", "element": {"assigned_user_id": "19x5"}}'}, 422,
         "MANDATORY_FIELDS_MISSING"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_and_nothing_recorded(
    refusing: Server, fields: dict[str, str], status: int, sentence: str
) -> None:
    sven = Desk(refusing.browser(), "sven")
    form = {**sven.form(), "data": json.dumps(ANN), **fields}
    answer = sven.browser.post("/operations", form)
    assert (answer.status, sentence in answer.words, "<script>alert" in answer.text) == (status, True, False)
    assert 'role="alert"' in answer.text
    # What was entered is still there.
    entered = unescape(answer.element(r'<textarea id="data".*?>\n(.*?)</textarea>'))
    assert entered == form["data"]
    assert [call for call in sven.calls() if call.label != "Refused"] == []


def test_nothing_of_others_is_seen_or_touched_whatever_the_role(server: Server, sven: Desk) -> None:
    sven.send("create", ANN, delay="3600")
    (call,) = sven.calls()
    jo, maria = Desk(server.browser(), "jo"), Desk(server.browser(), "maria")  # she is a manager
    for other in (jo, maria):
        assert other.calls() == [] and call.id not in other.browser.get("/operations").text
        for verb in ("cancel", "retry", "forget"):
            assert other.press(verb, call.id).status == 404
        assert len(other.calls(f"?after={call.id}")) == 0
    assert jo.browser.get(f"/ops/runs/{call.id}").status == 404
    assert sven.calls() == [call]
    nobody = Desk(server.browser())
    assert call.id not in nobody.browser.get("/operations").text
    assert nobody.browser.get(f"/ops/runs/{call.id}").status == 401
    # Somebody else in the same browser.
    sven.become("jo")
    assert sven.calls() == []
    sven.become("")
    assert "Who are you?" in sven.browser.get("/operations").words


def test_a_form_of_somebody_else_or_of_another_page_does_nothing(sven: Desk) -> None:
    form = sven.form()
    call = sven.send("create", ANN, delay="3600").location.partition("#call-")[2]
    sven.become("jo")
    assert sven.browser.post("/operations", form).status == 403
    sven.become("sven")
    for wrong in ({"token": "0" * 32}, {"person": "jo"}, {"person": ""}):
        assert sven.browser.post("/operations", {**form, **wrong}).status == 403
        assert sven.press("cancel", call, **wrong).status == 403
    assert sven.browser.post("/operations/person", {"token": "0" * 32, "login": "maria"}).status == 403
    for login in ("olga", "nobody", ""):  # she has left
        sven.become(login)
        assert "Who are you?" in sven.browser.get("/operations").words
    sven.become("sven")
    assert [one.label for one in sven.calls()] == ["Scheduled"]


def test_files_are_downloaded(sven: Desk) -> None:
    letter = {"file": {"name": "letter.html", "content": "PGgxPkhlbGxvPC9oMT4="}, "convert_format": "txt"}
    sven.send("gendoc_convert", letter)
    sven.wait_for("Done")
    page = sven.browser.get("/operations")
    answers = [sven.send("gendoc_convert", letter, how="now")]
    answers.append(sven.browser.get(page.element(r'<a href="([^"]+)">Download the file')))
    assert all("attachment" in answer.headers["Content-Disposition"] for answer in answers)
    assert "sandbox" in answers[-1].headers["Content-Security-Policy"]
    for answer in answers:
        assert answer.status == 200 and "Hello" in answer.text


def test_many_contacts_are_made_by_the_example(application: Application, sven: Desk) -> None:
    example = next(number for number in range(10) if sven.form(f"?example={number}")["operation"] == "MassCreate")
    sven.browser.post("/operations", sven.form(f"?example={example}"))
    sven.wait_for("Done")
    assert len(contacts(application)) == 300


def test_programs_find_the_same_operations(server: Server, sven: Desk) -> None:
    cookies = "; ".join(f"{name}={value}" for name, value in sven.browser.cookies.items())
    client = Client(f"http://127.0.0.1:{server.port}/ops", headers={"Cookie": cookies})
    call = client.wait(client.defer("create", ANN).id, timeout=60)
    assert client.result(call.id)["lastname"] == "Able"
    assert [(one.id, one.label) for one in sven.calls()] == [(call.id, "Done")]
