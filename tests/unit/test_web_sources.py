"""What stands in no script and no template of ours: the ways by which a text becomes markup or script."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from flask import Flask

from taskqueue.web.answers import POLICY

_CHECKOUT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted([*(_CHECKOUT / "taskqueue").rglob("*.js"), *(_CHECKOUT / "demo_ext").rglob("*.js")])
TEMPLATES = sorted([*(_CHECKOUT / "templates").rglob("*"), *(_CHECKOUT / "demo_ext").rglob("templates/**/*")])
TEMPLATES = [path for path in TEMPLATES if path.is_file()]
MODULES = sorted([*(_CHECKOUT / "taskqueue").rglob("*.py"), *(_CHECKOUT / "demo_ext").rglob("*.py")])
#: In scripts.
_SINKS = re.compile(
    r"\b(?:innerHTML|outerHTML|insertAdjacentHTML|createContextualFragment|setHTMLUnsafe|parseHTMLUnsafe|DOMParser|"
    r"srcdoc|execScript)\b|\bdocument\s*\.\s*write|\beval\s*\(|\bnew\s+Function\b|\bsetAttribute\(\s*[\"'`]on|"
    r"\bset(?:Timeout|Interval)\(\s*[\"'`]|javascript:"
)
#: Lines that stand in a script all the same, and why: a page of ours is parsed, which executes nothing, and whose
#: texts the server has escaped; the policy of the page that takes a part of it over forbids inline handlers anyway.
_ALLOWED = {"dashboard.js": 'swap(new DOMParser().parseFromString(await response.text(), "text/html"), keepsOpen);'}
#: In templates; ``tojson`` escapes what would end a script.
_UNESCAPED = re.compile(r"\|\s*safe\b|\bautoescape\s+false|\bMarkup\b|\|\s*attr\b|\bjavascript:", re.IGNORECASE)
_INLINE = re.compile(
    r"<script(?![^>]*(?:\bsrc=|application/json))|\son\w+\s*=|<style|\sstyle\s*=|<base\b", re.IGNORECASE
)
_UNQUOTED = re.compile(r"\s(?:href|src|action|value|title|content|data-\w+|aria-\w+)=\{\{")
#: In modules.
_AS_MARKUP = re.compile(r"\bMarkup\(|\brender_template_string\(|\bfrom_string\(|\bautoescape\s*=\s*False")


def _shown(path: Path) -> str:
    return str(path.relative_to(_CHECKOUT))


def _found(pattern: re.Pattern[str], path: Path) -> list[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [f"{_shown(path)}:{number}: {line.strip()}" for number, line in enumerate(lines, 1) if pattern.search(line)]


def test_there_is_something_to_look_at() -> None:
    assert {"dashboard.js", "progress.js", "operations.js"} == {path.name for path in SCRIPTS}
    assert len(TEMPLATES) >= 13 and len(MODULES) >= 200


@pytest.mark.parametrize("path", SCRIPTS, ids=_shown)
def test_no_script_makes_markup_of_texts(path: Path) -> None:
    assert [line for line in _found(_SINKS, path) if line.partition(": ")[2] != _ALLOWED.get(path.name)] == []


@pytest.mark.parametrize("path", TEMPLATES, ids=_shown)
def test_every_template_is_escaped_and_has_nothing_inline(path: Path) -> None:
    # Jinja2 escapes by the ending of the name, as Flask has set it up.
    assert Flask(__name__).select_jinja_autoescape(path.name)
    assert [line for pattern in (_UNESCAPED, _INLINE, _UNQUOTED) for line in _found(pattern, path)] == []


def test_no_module_makes_markup_of_texts() -> None:
    assert [line for path in MODULES for line in _found(_AS_MARKUP, path)] == []


def test_the_policy_allows_nothing_inline_and_nothing_foreign() -> None:
    rules = dict(rule.strip().partition(" ")[::2] for rule in POLICY.split(";"))
    assert rules["default-src"] == "'none'" and rules["base-uri"] == "'none'" and rules["script-src"] == "'self'"
    assert not re.search(r"unsafe|\*|https?:|nonce|strict-dynamic", POLICY)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (_SINKS, "element.innerHTML = title"), (_SINKS, "document.write(x)"), (_SINKS, "eval(x)"),
        (_SINKS, "new Function(x)"), (_SINKS, "a.insertAdjacentHTML('beforeend', x)"), (_SINKS, "setTimeout('x()')"),
        (_UNESCAPED, "{{ title|safe }}"), (_UNESCAPED, "{% autoescape false %}"), (_INLINE, "<script>x()</script>"),
        (_INLINE, '<a onclick="x()">'), (_INLINE, '<p style="color: red">'), (_UNQUOTED, "<a href={{ url }}>"),
        (_AS_MARKUP, "return Markup(title)"),
    ],
)  # fmt: skip
def test_what_is_looked_for_would_be_found(pattern: re.Pattern[str], text: str) -> None:
    assert pattern.search(text)
