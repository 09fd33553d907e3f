"""What errors quote of secrets is hidden; what they say otherwise is left as it is."""

from __future__ import annotations

import pytest

from taskqueue.execution.failure import error_text, traceback_text
from taskqueue.redact import redact_text


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("cannot reach mysql://root:s3cret@db/shop", "cannot reach mysql://[hidden]@db/shop"),
        ("401: Authorization: Bearer abc.def", "401: Authorization: [hidden]"),
        ("sent Bearer 0123456789abcdef0123", "sent Bearer [hidden]"),
        ("password=hush, user=me", "password=[hidden], user=me"),
        ("refused api_key='a b c'", "refused api_key=[hidden]"),
        ('{"password": "a\\"b"}', '{"password": [hidden]}'),
        ("postgresql://u:p/w?#x@host/db", "postgresql://[hidden]@host/db"),
    ],
)
def test_secrets_are_hidden(said: str, shown: str) -> None:
    assert redact_text(said) == shown
    assert error_text(ValueError(said)) == f"ValueError: {shown}"


@pytest.mark.parametrize(
    "said",
    ["KeyError: 'customer'", "unknown key: blue", "Unexpected token: }", "see https://host/a?b=c", "a@b.c: no mailbox"],
)
def test_what_is_no_secret_is_left(said: str) -> None:
    assert redact_text(said) == said


def test_the_last_line_of_a_traceback_has_none_either() -> None:
    try:
        raise ValueError("mysql://root:s3cret@db/shop")
    except ValueError as error:
        told = traceback_text(error)
    assert told is not None and "[hidden]@db/shop" in told and "ValueError: mysql://[hidden]@db/shop" in told
