"""The settings of the web extension: defaults, every check, and texts out of the environment."""

from __future__ import annotations

import math
import warnings
from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest
import sqlalchemy
from flask import Flask

from taskqueue.errors import ConfigurationError
from taskqueue.web.settings import UnknownKey, WebSettings

GOOD: list[tuple[str, Any, Any]] = [
    ("url_prefix", "/tools/q/", "/tools/q"),
    ("url_prefix", "/", ""),
    ("url_prefix", "", ""),
    ("mode", "inline", "inline"),
    ("mode", "observe", "observe"),
    ("budget", "0.5", 0.5),
    ("budget", 2, 2.0),
    ("heartbeat", None, None),
    ("heartbeat", "0.2", 0.2),
    ("stale_after", 2, 2.0),
    ("lease_slice", 30, 30.0),
    ("poll", 0.1, 0.1),
    ("read_only", True, True),
    ("read_only", "true", True),
    ("read_only", " Yes ", True),
    ("read_only", 1, True),
    ("read_only", "0", False),
    ("read_only", "off", False),
    ("read_only", "", False),
    ("base_template", "layout.html", "layout.html"),
    ("end_url_hosts", ["Example.com", "[::1]:8443"], ("example.com", "[::1]:8443")),
    ("end_url_hosts", "a.example, b.example:8080,", ("a.example", "b.example:8080")),
    ("end_url_hosts", "", ()),
    ("on_abort", "skip", "skip"),
    ("login_url", "/login?next=%2F", "/login?next=%2F"),
    ("login_url", "https://id.example/", "https://id.example/"),
    ("login_url", None, None),
    ("shutdown_grace", 0, 0.0),
    ("database_url", " sqlite:///queue.db ", "sqlite:///queue.db"),
    ("allow", ["shop", "shop.tasks"], ("shop", "shop.tasks")),
    ("allow", "shop,blog", ("shop", "blog")),
    ("allow", [], ()),
    ("allow", None, None),
    ("secret_key", "old" * 6, ("old" * 6,)),
    ("secret_key", b"old" * 6, (b"old" * 6,)),
    ("secret_key", ["old" * 6, b"new" * 6], ("old" * 6, b"new" * 6)),
    ("secret_key", None, ()),
    ("prefix", "my_", "my_"),
]

BAD: list[tuple[str, Any]] = [
    *(
        ("url_prefix", value)
        for value in ("queue", "//evil", "/a//b", "/a b", "/../x", "/.", "/<name>", "/a?b", None, 3)
    ),
    *(("mode", value) for value in ("Auto", "", None, True, ["auto"])),
    *(
        (key, value)
        for key in ("budget", "poll")
        for value in (0, -1, "0", "", "soon", None, True, math.nan, math.inf, "nan", "inf", 10**400, 1e6, [1])
    ),
    *((key, value) for key in ("heartbeat", "stale_after", "lease_slice") for value in (0, -1, "x", math.nan, False)),
    *(("shutdown_grace", value) for value in (-0.1, "x", None)),
    *(("read_only", value) for value in ("maybe", 2, None, 1.0, [])),
    *(("base_template", value) for value in ("", "  ", None, 1)),
    *(("end_url_hosts", value) for value in ("https://a.example", ["a/b"], [""], ["user@a"], [1], 1, {"a": 1}, b"a")),
    *(("on_abort", value) for value in ("drop", None, True)),
    *(
        ("login_url", value)
        for value in ("login", "//evil.example", "javascript:alert(1)", "/\\evil", "/a b", "/a\n", "", 1, "ftp://x/")
    ),
    *(("database_url", value) for value in ("", "  ", 7, b"sqlite://", ["sqlite://"])),
    *(("allow", value) for value in (" , ", ["a", 1], [""], 1, {"a": 1})),
    *(("secret_key", value) for value in ("", b"", [""], "too short", ["a", 1], 1, {"a": 1})),
    *(("prefix", value) for value in ("", "My_", "a-b", "1a", "a" * 41, None)),
]


def test_defaults() -> None:
    settings = WebSettings.of(Flask(__name__).config)
    assert settings == WebSettings()
    assert (settings.url_prefix, settings.mode, settings.budget, settings.poll) == ("/queue", "auto", 1.0, 1.0)
    assert (settings.heartbeat, settings.stale_after, settings.lease_slice) == (None, None, None)
    assert (settings.read_only, settings.end_url_hosts, settings.on_abort) == (False, (), "keep")
    assert (settings.base_template, settings.has_own_look) == ("taskqueue/base.html", True)
    assert (settings.login_url, settings.shutdown_grace, settings.database_url) == (None, 10.0, None)
    assert (settings.allow, settings.secret_key, settings.prefix) == (None, (), "taskqueue_")


@pytest.mark.parametrize(("name", "given", "read"), GOOD)
def test_good_values_are_read(name: str, given: Any, read: Any) -> None:
    value = getattr(WebSettings.of({f"TASKQUEUE_{name.upper()}": given}), name)
    assert value == read
    assert type(value) is type(read)


@pytest.mark.parametrize(("name", "given"), BAD)
def test_bad_values_are_refused_with_the_name_of_the_key(name: str, given: Any) -> None:
    key = f"TASKQUEUE_{name.upper()}"
    with pytest.raises(ConfigurationError, match=f"^{key} ") as caught:
        WebSettings.of({key: given})
    assert "\n" not in str(caught.value)


def test_every_setting_has_its_good_and_bad_values_here() -> None:
    names = {field.name for field in fields(WebSettings)}
    assert names == {name for name, *_ in GOOD} == {name for name, *_ in BAD}


def test_secrets_are_never_told() -> None:
    for key, value in (("TASKQUEUE_SECRET_KEY", ["hush", 1]), ("TASKQUEUE_DATABASE_URL", b"mysql://u:hush@h/d")):
        with pytest.raises(ConfigurationError) as caught:
            WebSettings.of({key: value})
        assert "hush" not in str(caught.value)


def test_a_database_may_be_an_engine_or_a_url_object() -> None:
    for target in (sqlalchemy.create_engine("sqlite://"), sqlalchemy.make_url("sqlite://")):
        assert WebSettings.of({"TASKQUEUE_DATABASE_URL": target}).database_url is target


def test_a_typing_error_is_warned_about() -> None:
    with pytest.warns(UnknownKey, match=r"^TASKQUEUE_BUGDET .*did you mean 'TASKQUEUE_BUDGET'\?"):
        assert WebSettings.of({"TASKQUEUE_BUGDET": 3}) == WebSettings()


def test_what_others_configure_is_not_looked_at() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert WebSettings.of({"DEBUG": True, "TASKQ_MODE": 1, 7: 8, "taskqueue_mode": "x"}) == WebSettings()  # type: ignore[dict-item]


def test_a_wrong_word_gets_a_hint() -> None:
    with pytest.raises(ConfigurationError, match="did you mean 'inline'"):
        WebSettings.of({"TASKQUEUE_MODE": "inlin"})


@pytest.mark.parametrize(
    "config",
    [
        {"TASKQUEUE_HEARTBEAT": 5, "TASKQUEUE_LEASE_SLICE": 10},
        {"TASKQUEUE_HEARTBEAT": 5, "TASKQUEUE_STALE_AFTER": 5},
    ],
)
def test_times_must_fit_each_other(config: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="TASKQUEUE_HEARTBEAT"):
        WebSettings.of(config)


def test_it_does_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        WebSettings().mode = "inline"  # type: ignore[misc]


def test_a_foreign_frame_is_noticed() -> None:
    assert not WebSettings.of({"TASKQUEUE_BASE_TEMPLATE": "layout.html"}).has_own_look
