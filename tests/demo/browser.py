"""The web door as its users start it: a server process, and a browser without scripts that talks plain HTTP."""

from __future__ import annotations

import json
import re
import secrets
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from html.parser import HTMLParser
from http.client import HTTPConnection, HTTPResponse
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

from tests.demo.application import Application

_PATIENCE = 60.0
_ADDRESS = re.compile(r"http://127\.0\.0\.1:(\d+)/")


class Server:
    """``python -m demo_ext.web`` in a process of its own."""

    def __init__(self, application: Application, *arguments: str, **environment: str) -> None:
        self._application = application
        self._arguments = arguments
        self._environment = environment
        self._process: subprocess.Popen[str] | None = None
        self.port = 0

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        if self._process is not None:
            print(*self.end(signal.SIGKILL))  # shown beside a test that failed

    def start(self) -> None:
        """Start it, on the same port as before, and read its address."""
        arguments = self._arguments or ("--port", str(self.port))
        self._process = self._application.start(*arguments, module="demo_ext.web", **self._environment)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        found = _ADDRESS.search(line)
        if found is None:
            out, err = self._process.communicate()
            raise AssertionError(f"the server did not say its address: {line}{out}{err}")
        self.port = int(found[1])

    def end(self, number: signal.Signals) -> tuple[int, str, str]:
        """Send a signal and wait; return the exit code and what was printed since the start."""
        process, self._process = self._process, None
        assert process is not None
        process.send_signal(number)
        try:
            out, err = process.communicate(timeout=_PATIENCE)
        except BaseException:
            process.kill()
            raise
        return process.returncode, out, err

    def browser(self) -> Browser:
        """A visitor whom the server does not know yet."""
        return Browser(self)


@dataclass(frozen=True)
class Answer:
    """What a server answered."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def location(self) -> str:
        """Where a redirect leads."""
        return self.headers.get("Location", "")

    def json(self) -> Any:
        """The body."""
        return json.loads(self.text)

    def element(self, pattern: str) -> str:
        """What the group of a pattern matches in the text."""
        found = re.search(pattern, self.text, re.DOTALL)
        assert found is not None, f"{pattern} is not in {self.text}"
        return found[1]

    @property
    def words(self) -> str:
        """What a human reads."""
        reader = _Words()
        reader.feed(self.text)
        return " ".join(" ".join(reader.words).split())

    @property
    def tags(self) -> list[tuple[str, dict[str, str]]]:
        """All start tags, with their attributes."""
        reader = _Words()
        reader.feed(self.text)
        return reader.tags


class _Words(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


class Browser:
    """One visitor: keeps cookies, follows nothing by itself, runs no scripts."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.cookies: dict[str, str] = {}

    def another(self) -> Browser:
        """Another visitor of the same server."""
        return Browser(self._server)

    # --- requests ---

    def get(self, path: str, **headers: str) -> Answer:
        """GET."""
        return self.send("GET", path, headers=headers)

    def send(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Answer:
        """One request."""
        connection = HTTPConnection("127.0.0.1", self._server.port, timeout=_PATIENCE)
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        try:
            connection.request(method, path, body, {**({"Cookie": cookies} if cookies else {}), **(headers or {})})
            return self._answer(connection.getresponse())
        finally:
            connection.close()

    def _answer(self, response: HTTPResponse) -> Answer:
        for line in response.headers.get_all("Set-Cookie") or []:
            self.cookies |= {name: morsel.value for name, morsel in SimpleCookie(line).items()}
        return Answer(response.status, dict(response.headers), response.read().decode())

    def post(self, path: str, fields: dict[str, str], upload: tuple[str, bytes] | None = None) -> Answer:
        """Send a form, with a file or without."""
        border = secrets.token_hex(16)
        parts = [f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}' for name, value in fields.items()]
        body = b"".join(f"--{border}\r\n{part}\r\n".encode() for part in parts)
        if upload is not None:
            name, content = upload
            head = f'Content-Disposition: form-data; name="upload"; filename="{name}"\r\nContent-Type: text/csv\r\n\r\n'
            body += f"--{border}\r\n{head}".encode() + content + b"\r\n"
        headers = {"Content-Type": f"multipart/form-data; boundary={border}"}
        return self.send("POST", path, body + f"--{border}--\r\n".encode(), headers)

    # --- what a user does ---

    def form(self) -> dict[str, str]:
        """The hidden fields of the form on the first page, and what it is filled in with."""
        page = self.get("/")
        assert page.status == 200, page.text
        hidden = {name: page.element(rf'name="{name}" value="([^"]+)"') for name in ("token", "key")}
        return {**hidden, "source": "cities", "batch_size": "300", "seconds": "0", "failing": "0"}

    def send_form(self, upload: tuple[str, bytes] | None = None, **fields: str) -> Answer:
        """Fill in the form of the first page and send it."""
        return self.post("/imports", {**self.form(), **fields}, upload)

    def begin(self, upload: tuple[str, bytes] | None = None, **fields: str) -> Run:
        """Begin an import, which must be accepted."""
        answer = self.send_form(upload, **fields)
        assert answer.status == 303, answer.words
        return Run(self, answer.location)

    def press(self, path: str, **fields: str) -> Answer:
        """Send one of the small forms, with the token of this browser."""
        return self.post(path, {"token": self.form()["token"], **fields})


class Run:
    """The progress page of an import, driven as its script does."""

    def __init__(self, browser: Browser, path: str) -> None:
        self._browser = browser
        self.path = path
        self._driver = secrets.token_hex(16)
        page = browser.get(path)
        assert page.status == 200, page.words
        self.page = json.loads(page.element(r'id="taskqueue-page">(.*?)</script>'))

    @property
    def result(self) -> str:
        """The address of the page after the end."""
        return f"/imports/{self.queue.removeprefix('demo-import-')}"

    @property
    def queue(self) -> str:
        """The name of its queue."""
        return str(self.page["snapshot"]["run"]["queue"])

    def again(self, path: str) -> Run:
        """Another run, on its page."""
        return Run(self._browser, path)

    def state(self) -> Any:
        """The snapshot; looking changes nothing."""
        return self._browser.get(self.page["urls"]["state"]).json()

    def drive(self) -> Any:
        """One slice; the snapshot after it."""
        return self._post(self.page["urls"]["drive"], {})

    def act(self, verb: str) -> Any:
        """Press a button that the snapshot offers."""
        offered = {action["verb"]: action for action in self.state()["actions"]}
        named = {name: offered[verb][name] for name in ("item_id", "fence") if name in offered[verb]}
        return self._post(self.page["urls"]["actions"][verb], named)

    def drive_to(self, *statuses: str) -> Any:
        """Drive until the run has one of these statuses."""
        deadline = time.monotonic() + _PATIENCE
        while (snapshot := self.drive())["run"]["status"] not in statuses:
            assert time.monotonic() < deadline, snapshot
            if not snapshot["drive"]:
                time.sleep(0.1)
        return snapshot

    def _post(self, path: str, fields: dict[str, Any]) -> Any:
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "X-CSRFToken": self.page["csrf"],
            "X-Driver": self._driver,
        }
        body = json.dumps({"request_id": secrets.token_hex(16), **fields}).encode()
        answer = self._browser.send("POST", path, body, headers)
        assert answer.status == 200, answer.text
        return answer.json()


def wait_for(condition: Any, what: str) -> Any:
    """Wait until a condition holds; return what it gave."""
    deadline = time.monotonic() + _PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.02)
    return found


def all_files(folder: Path) -> list[str]:
    """The files of the application's folder, without its database."""
    with suppress(FileNotFoundError):
        paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
        return sorted(str(path) for path in paths if not path.name.startswith(("demo.db", "test.db")))
    return []
