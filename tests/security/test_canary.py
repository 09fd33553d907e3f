"""A secret that goes in everywhere comes out nowhere: no page, log line or command that is meant to be seen has it."""

from __future__ import annotations

import base64
import logging
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from sqlalchemy import make_url

from taskqueue import ConfigurationError, ErrorMode, QueueService, Runner, SpecError, Task, TaskQueueError
from taskqueue.outbox import Outbox
from tests.cli.conftest import Shell
from tests.security import allowed
from tests.security.allowed import fail, good
from tests.web_api.app import ADMIN, Visitor, create_app, service_of

CANARY = "k4n4r1en/v0gel@geheim+#"
FORMS = {
    CANARY, quote(CANARY), quote(CANARY, safe=""), quote_plus(CANARY), base64.b64encode(CANARY.encode()).decode(),
    base64.urlsafe_b64encode(CANARY.encode()).decode(), CANARY.encode().hex(), repr(CANARY)[1:-1], "k4n4r1en",
}  # fmt: skip
SERVERS = pytest.mark.parametrize("kind", ["mariadb", "postgresql"])


def leaked(*said: object) -> list[str]:
    """The forms of the canary that stand in what was said."""
    text = "\n".join(map(str, said))
    return [form for form in FORMS if form in text]


@pytest.fixture(autouse=True)
def log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Everything that is logged, at all levels; nothing of it may have the canary.

    SQLAlchemy's own log is left out: it is off unless an application turns it on, and its to configure. So is the
    exception that a line on a failed task carries beside its text: the handlers of the application show it or not.
    """
    caplog.set_level(logging.DEBUG)
    yield
    # At the end ``caplog.records`` are those of the end.
    lines = [record for phase in ("setup", "call") for record in caplog.get_records(phase)]
    for record in lines:
        if not record.name.startswith("sqlalchemy"):
            said = {name: value for name, value in vars(record).items() if name not in ("exc_info", "exc_text")}
            assert leaked(record.getMessage(), said) == [], said


def with_password(url: str) -> str:
    """The URL with the canary as its password, which is wrong or not asked for."""
    return make_url(url).set(password=CANARY).render_as_string(hide_password=False)


def test_the_canary_is_found_in_each_form() -> None:
    for form in FORMS:
        assert leaked("x", f"a{form}b")
    assert leaked("nothing", {"password": "[hidden]"}) == []


# --- the address of the database ---


def unreachable(url: str) -> list[str]:
    """Addresses with the canary at which nobody answers, or that are wrong in other ways."""
    right = make_url(with_password(url))
    return [
        found.render_as_string(hide_password=False)
        for found in (
            right.set(port=1), right.set(database="there_is_none"), right.set(username="nobody"),
            right.set(query={"nonsense": CANARY}),
        )
    ] + [
        f"{make_url(url).get_backend_name()}://user:{CANARY}@127.0.0.1:port/x",
        f"oracle://user:{quote(CANARY)}@h/x",
    ]  # fmt: skip


@SERVERS
def test_given_a_database_that_cannot_be_reached_when_used_then_no_error_tells_the_password(
    shared_database: Callable[..., str], kind: str
) -> None:
    for address in unreachable(shared_database(kind, "security")):
        said: list[object] = []
        try:
            service = QueueService(address)
            said += [repr(service), str(service), repr(vars(service.settings))]
            service.database._patience = 0.1
            said += [repr(service.database), str(service.database)]
            service.create("Sql", "jobs")
        except TaskQueueError as error:
            said += [f"{error} {error!r}", *traceback.format_exception(error)]
        assert leaked(*said) == [], address


@SERVERS
@pytest.mark.parametrize("hosts", [None, ["127.0.0.1:1", "127.0.0.1:2"]], ids=["one host", "several hosts"])
def test_given_an_option_that_the_driver_does_not_know_when_connected_then_one_sentence_names_it(
    shared_database: Callable[..., str], kind: str, hosts: list[str] | None, tmp_path: Path
) -> None:
    wrong = make_url(with_password(shared_database(kind, "security"))).set(query={"nonsense": CANARY})
    address = wrong.render_as_string(hide_password=False)
    sentence = "the database address has an option that the driver does not know: 'nonsense'"

    with pytest.raises(ConfigurationError) as caught:
        QueueService(address, hosts=hosts).create("Sql", "jobs")

    assert str(caught.value) == sentence
    assert leaked(*traceback.format_exception(caught.value)) == []
    if hosts is None:
        shell = Shell(tmp_path)
        done = shell.run("list", env={"TASKQUEUE_DATABASE_URL": address})
        shell.close()
        assert (done.returncode, done.stdout, done.stderr) == (2, "", f"Error: {sentence}\n")


@pytest.mark.parametrize(
    "address", ["mysql://u@127.0.0.1:1/x?local_infile=", "sqlite:///x.db?timeout="], ids=["mysql", "sqlite"]
)
def test_given_an_option_of_another_kind_when_connected_then_the_sentence_has_its_name_alone(address: str) -> None:
    with pytest.raises(ConfigurationError, match="an option in the database address has no value of its kind") as found:
        QueueService(address + quote(CANARY)).create("Sql", "jobs")

    assert leaked(*traceback.format_exception(found.value)) == []


@SERVERS
def test_given_a_database_that_cannot_be_reached_when_commands_are_run_then_none_tells_the_password(
    shared_database: Callable[..., str], kind: str, tmp_path: Path
) -> None:
    shell = Shell(tmp_path)
    url = with_password(shared_database(kind, "security"))
    gone = make_url(url).set(database="there_is_none").render_as_string(hide_password=False)
    commands = (["list"], ["doctor", "--json"], ["--debug", "list"])
    started = [
        shell.start(*words, env={"TASKQUEUE_DATABASE_URL": address}) for address in (gone, url) for words in commands
    ]
    for process in started:
        out, err = process.communicate(timeout=120)
        assert leaked(out, err) == [], (process.args, out[-500:], err[-500:])
    assert any(process.returncode for process in started)
    shell.close()


# --- what tasks get ---


@pytest.fixture
def worked(url: str) -> Iterator[QueueService]:
    """A service on which tasks with the canary among their arguments have failed, or wait."""
    address = with_password(url) if url.startswith("postgresql") else url  # which is the one that asks for none
    service = QueueService(address, allow=[allowed.__name__])
    queue = service.create("Sql", "jobs", error="dead", keep_result=3600)
    for text in ERRORS:
        queue.create_item(Task(fail, (text,), "Fails"))
    for arguments in ARGUMENTS:
        queue.create_item(Task(fail, (f"the call failed with {arguments}"[:20],), "Fails", kwargs=arguments))
        queue.create_item(Task(good, (arguments,), "Works"))
        queue.create_item(Task(good, (), "Works", kwargs=arguments))
    yield service
    service.close()


#: What errors of drivers and clients quote.
ERRORS = [
    f"cannot reach mysql://root:{quote(CANARY, safe='')}@db/shop",
    f"401 for Authorization: Bearer {CANARY}",
    f"login failed: password={CANARY}",
    f"refused api_key='{CANARY}'",
]
ARGUMENTS: list[dict[str, Any]] = [
    {name: CANARY}
    for name in ("password", "db_passwd", "pwd", "client_secret", "access_token", "api_key", "Authorization", "cookie",
                 "session_cookie", "credentials")
] + [
    {"settings": {"deep": [{"password": CANARY}]}},
    {"headers": [["Authorization", f"Bearer {CANARY}"], ["X-Api-Key", CANARY]]},
    {"url": f"https://user:{quote(CANARY, safe='')}@host/path"},
    {"query": f"https://host/?access_token={quote(CANARY, safe='')}&x=1"},
    {"key": CANARY.encode()},
]  # fmt: skip


def test_given_secrets_among_arguments_when_commands_show_them_then_they_are_hidden(
    worked: QueueService, tmp_path: Path
) -> None:
    Runner(worked.load("jobs"), error_mode=ErrorMode.CONTINUE).run_all()
    letters = worked.load("jobs").dead_items()
    shell, address = Shell(tmp_path), worked.database.url.render_as_string(hide_password=False)
    first = str(letters[0].id)
    commands = [
        ["list", "--json"], ["items", "jobs"], ["items", "jobs", "--json"], ["dead", "list", "jobs"],
        ["dead", "list", "jobs", "--json"], ["dead", "show", "jobs", first], ["dead", "show", "jobs", first, "--json"],
        ["doctor", "--json"],
    ]  # fmt: skip
    for words in commands:
        done = shell.run(*words, env={"TASKQUEUE_DATABASE_URL": address, "MY_PASSWORD": CANARY})
        assert "Usage" not in done.stderr, (words, done.stderr)
        assert leaked(done.stdout, done.stderr) == [], (words, done.stdout[-800:], done.stderr[-300:])
    shell.close()


# --- headers, pages ---


def test_given_secrets_in_headers_when_recorded_then_they_are_refused_and_the_refusal_has_none(url: str) -> None:
    service = QueueService(url)
    outbox = Outbox(service)
    mails = outbox.register("mails", Mails())
    for headers in (
        {"Authorization": f"Bearer {CANARY}"}, {"X-Api-Key": CANARY}, {"cookie": [CANARY]}, {"X": {"token": CANARY}},
        {"X-Note": f"Basic {base64.b64encode(CANARY.encode()).decode()}"},
    ):  # fmt: skip
        with pytest.raises(SpecError, match="carries a secret") as caught:
            outbox.queued(mails, headers=headers).work("x")
        assert leaked(caught.value, *traceback.format_exception(caught.value)) == []
    assert sum(queue.number_of_items() for queue in service.queues()) == 0
    service.close()


class Mails:
    """What nothing is delivered to."""

    def work(self, value: Any) -> None:
        """Never called."""


def test_given_secrets_among_arguments_when_pages_show_the_run_then_they_are_hidden(
    worked: QueueService, url: str
) -> None:
    app = create_app(url, TASKQUEUE_ALLOW=[allowed.__name__])
    adam = Visitor(app, ADMIN)
    run_id = adam.make("jobs", error_mode="CONTINUE")
    for _ in range(50):
        answer = adam.post(run_id, "drive")
        assert leaked(answer.text, answer.headers) == []
        if answer.get_json()["run"]["status"] == "completed":
            break
    for view in ("", "state", "log", "log?format=txt"):
        answer = adam.get(run_id, view)
        assert (answer.status_code, leaked(answer.text, answer.headers)) == (200, [])
    assert adam.state(run_id)["run"]["status"] == "completed"
    service_of(app).close()
