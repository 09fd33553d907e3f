"""The German texts are complete, and what is shipped is what is written; the right language is chosen."""

from __future__ import annotations

import ast
import re
from io import BytesIO
from pathlib import Path

import pytest
from babel.messages import Catalog, Message
from babel.messages.mofile import read_mo, write_mo
from babel.messages.pofile import read_po
from flask import Flask

from taskqueue.web import i18n
from taskqueue.web.texts import page_strings

from .catalogue import ROOT, messages

GERMAN = i18n.FOLDER / "de" / "LC_MESSAGES"
SCRIPT = Path(i18n.__file__).parent / "static" / "progress.js"


def forms(text: str | tuple[str, ...] | list[str]) -> tuple[str, ...]:
    """One text, or one for each number."""
    return (text,) if isinstance(text, str) else tuple(text)


def key(message: Message) -> tuple[str | None, tuple[str, ...]]:
    return message.context, forms(message.id)


def strings(catalogue: Catalog) -> dict[object, tuple[str, ...]]:
    return {key(message): forms(message.string) for message in catalogue if message.id}


@pytest.fixture(scope="module")
def written() -> Catalog:
    with (GERMAN / "taskqueue.po").open("rb") as file:
        return read_po(file, locale="de", domain=i18n.DOMAIN)


def test_every_text_stands_in_the_german_catalogue_and_nothing_else(written: Catalog) -> None:
    used = {key(message) for message in messages()}
    there = {key(message) for message in written if message.id}

    assert len(used) > 100, "the texts were not found"
    assert used - there == set()
    assert there - used == set()


def test_no_text_hides_inside_an_f_string() -> None:
    # There the translators' tools do not see it on Pythons before 3.12.
    for file in sorted((ROOT / "taskqueue" / "web").glob("*.py")):
        strings = (node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.JoinedStr))
        calls = (node for string in strings for node in ast.walk(string) if isinstance(node, ast.Call))
        names = {
            call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "") for call in calls
        }
        assert not names & {"_", "_p", "gettext", "ngettext", "pgettext"}, file.name


def test_every_german_text_is_finished(written: Catalog) -> None:
    for message in written:
        assert all(forms(message.string)), message.id
        assert not message.fuzzy, message.id


def test_every_german_text_has_the_placeholders_of_its_original(written: Catalog) -> None:
    def placeholders(text: str) -> set[str]:
        return set(re.findall(r"%(?:\(\w+\))?.", text))

    for message in written:
        if not message.id:
            continue
        wanted = set().union(*map(placeholders, forms(message.id)))
        assert all(placeholders(text) == wanted for text in forms(message.string)), message.id
        assert not list(message.check(written)), message.id


def test_the_compiled_catalogue_is_the_written_one(written: Catalog) -> None:
    compiled = BytesIO()
    write_mo(compiled, written)
    compiled.seek(0)
    with (GERMAN / "taskqueue.mo").open("rb") as file:
        shipped = read_mo(file)

    assert strings(shipped) == strings(read_mo(compiled)), "run: make translations"


def test_the_script_finds_every_text_that_it_uses() -> None:
    script = SCRIPT.read_text(encoding="utf-8")
    used = set(re.findall(r"\bstrings\.(\w+)", script))
    # strings[level]: the level of a line of the log.
    assert used | {"warning", "error"} == set(page_strings(i18n.load("en")))


def test_the_script_holds_no_text_of_its_own() -> None:
    script = re.sub(r"^\s*(//|/?\*).*$", "", SCRIPT.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert re.findall(r'"[A-Z][a-z]+ [a-z]+ [^"]*"', script) == []


@pytest.mark.parametrize(
    ("locale", "lang", "direction"),
    [
        ("en", "en", "ltr"),
        ("de", "de", "ltr"),
        ("de_AT", "de", "ltr"),
        ("de-CH", "de", "ltr"),
        ("DE", "de", "ltr"),
        ("fr", "en", "ltr"),
        ("ar", "en", "rtl"),
        ("he-IL", "en", "rtl"),
        ("uz_Arab_AF", "en", "rtl"),
        ("../../de", "en", "ltr"),
        ("x" * 1000, "en", "ltr"),
    ],
)
def test_a_locale_leads_to_a_language_and_a_direction(locale: str, lang: str, direction: str) -> None:
    chosen = i18n.load(locale)
    assert (chosen.lang, chosen.dir) == (lang, direction)


def test_the_hook_goes_before_the_browser() -> None:
    app = Flask(__name__)
    with app.test_request_context(headers={"Accept-Language": "fr, de-AT;q=0.7, en;q=0.3"}):
        assert i18n.choose().lang == "de"
        assert i18n.choose("en_GB").lang == "en"
    with app.test_request_context(headers={"Accept-Language": "fr, *;q=0.1"}):
        assert i18n.choose().lang == "en"
    with app.test_request_context():
        assert i18n.choose().lang == "en"
    assert i18n.choose().lang == "en", "outside a request"


def test_flask_babel_is_asked_when_it_is_there() -> None:
    flask_babel = pytest.importorskip("flask_babel")
    app = Flask(__name__)
    flask_babel.Babel(app, locale_selector=lambda: "de")
    with app.test_request_context(headers={"Accept-Language": "en"}):
        assert i18n.choose().lang == "de"
        assert i18n.choose("en").lang == "en"


def test_numbers_have_the_separators_of_the_language() -> None:
    assert [i18n.load("en").number(number) for number in (0, 9999, 20_000, 1_234_567)] == [
        "0", "9999", "20,000", "1,234,567",
    ]  # fmt: skip
    assert i18n.load("de").number(1_234_567) == "1.234.567"
    assert (i18n.load("en").percent(42), i18n.load("de").percent(42)) == ("42%", "42\u00a0%")


def test_a_percent_sign_in_a_value_stays() -> None:
    assert i18n.load("en").gettext("Failed: %(title)s", title="100% %(done)s") == "Failed: 100% %(done)s"
