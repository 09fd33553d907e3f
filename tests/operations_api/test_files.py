"""Files: saved, never shown; and whatever an operation says of them, nothing gets into the headers."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from werkzeug.http import parse_options_header

from taskqueue.operations import File, Operations
from tests.operations.conftest import drain
from tests.operations_api.app import Client


@pytest.mark.parametrize("content", [b"", bytes(range(256)), b"\xff" * 3_000_000], ids=len)
def test_files_round_trip(alice: Client, ops: Operations, content: bytes) -> None:
    ops.operation("give", queueable=True)(lambda ctx, data: File(content, "application/pdf", "Rechnung für Ärzte.pdf"))
    direct, location = alice.post("/ops/give"), alice.defer("give")
    drain(ops)
    for answer in (direct, alice.get(f"{location}/result")):
        assert (answer.status_code, answer.content_type, answer.data) == (200, "application/pdf", content)
        assert answer.headers["Content-Disposition"] == (
            "attachment; filename=\"Rechnung fur Arzte.pdf\"; filename*=UTF-8''Rechnung%20f%C3%BCr%20%C3%84rzte.pdf"
        )
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Security-Policy"].startswith("sandbox;")
        assert answer.headers["Cache-Control"] == "no-store"


def test_bytes_are_a_file_without_a_name(alice: Client) -> None:
    answer = alice.post("/ops/raw", "a")
    assert (answer.content_type, answer.data) == ("application/octet-stream", b"a")
    assert answer.headers["Content-Disposition"] == "attachment"


@pytest.mark.parametrize(("given", "sent"), [
    ("text/html", "text/html"), ("text/csv; charset=utf-8", "text/csv; charset=utf-8"),
    ('text/plain; x="a b"', 'text/plain; x="a b"'), ("", "application/octet-stream"),
    ("html", "application/octet-stream"),
    ("text/html; x", "application/octet-stream"), ("text/ht\u00e4ml", "application/octet-stream"),
    ("text/html, text/plain", "application/octet-stream"), ("a/b/c", "application/octet-stream"),
    ('text/plain; x="a', "application/octet-stream"),
])  # fmt: skip
def test_media_types(alice: Client, ops: Operations, given: str, sent: str) -> None:
    def give(ctx: Any, data: Any) -> File:
        made = File(b"<script>alert(1)</script>")
        object.__setattr__(made, "media_type", given)  # as if it were taken
        return made

    ops.operation("give")(give)
    answer = alice.post("/ops/give")
    assert (answer.status_code, answer.content_type) == (200, sent)
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert answer.headers["Content-Security-Policy"].startswith("sandbox;")


@pytest.mark.parametrize(
    "text", ["a\r\nSet-Cookie: x=1", "a\nb", "a\x00b", "\x85", "\u2028", "\u202efdp.exe", "x" * 201]
)
@pytest.mark.parametrize("what", ["media_type", "name"])
def test_no_line_ends_in_a_header(alice: Client, ops: Operations, what: str, text: str) -> None:
    def give(ctx: Any, data: Any) -> File:
        made = File(b"")
        object.__setattr__(made, what, text)  # as if it were taken
        return made

    ops.operation("give")(give)
    answer = alice.post("/ops/give")
    assert answer.status_code == 200
    assert "Set-Cookie" not in answer.headers
    for name, value in answer.headers:
        assert value.isprintable(), (name, value)
        assert value.isascii()


@pytest.mark.parametrize(("name", "saved"), [
    ("a.pdf", "a.pdf"), ("../../etc/passwd", "passwd"), ("C:\\x\\a.txt", "a.txt"), ('a"b.txt', 'a"b.txt'),
    ("a;b=c.txt", "a;b=c.txt"), ("%41.txt", "%41.txt"), (".htaccess", "htaccess"), ("日本.txt", "日本.txt"),
    ("..", None), ("/", None), ("a/", None), ("😀", "😀"), ("a\\", None), ("x" * 190 + ".pdf", "x" * 146 + ".pdf"),
])  # fmt: skip
def test_names(alice: Client, ops: Operations, name: str, saved: str | None) -> None:
    ops.operation("give")(lambda ctx, data: File(b"", name=name))
    kind, options = parse_options_header(alice.post("/ops/give").headers["Content-Disposition"])
    assert (kind, options.get("filename")) == ("attachment", saved)


def test_looking_at_the_headers_consumes_nothing(app: Flask, alice: Client, ops: Operations) -> None:
    location = alice.defer("raw", "a")
    drain(ops)
    for _ in range(2):
        answer = alice.send("HEAD", f"{location}/result?consume=1")
        assert (answer.status_code, answer.data, answer.headers["Content-Length"]) == (200, b"", "1")
    assert alice.get(f"{location}/result?consume=1").data == b"a"
    gone = alice.get(f"{location}/result")
    assert (gone.status_code, gone.get_json()["code"]) == (410, "gone")
    assert gone.get_json()["detail"].endswith(", or it was read once")


@pytest.mark.parametrize("value", [b"\xff" * 10_000_000, "é" * 5_000_000], ids=["file", "json"])
def test_large_results_round_trip(alice: Client, ops: Operations, value: Any) -> None:
    ops.operation("large", queueable=True)(lambda ctx, data: value)
    location = alice.defer("large")
    drain(ops)
    answer = alice.get(f"{location}/result")
    assert (answer.data if isinstance(value, bytes) else answer.get_json()) == value
