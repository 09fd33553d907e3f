"""What the HTTP API answers, as :class:`Client` gives it: calls, results, errors."""

from __future__ import annotations

import json
import re
from datetime import datetime
from email.message import Message
from email.utils import collapse_rfc2231_value
from http import HTTPStatus
from typing import Any, NoReturn

from ..errors import SpecError
from ..spec import is_name
from . import problems
from .call import Call, Progress, is_call_id
from .problems import CallGone, OperationError, OperationFailed, StillRunning, TooManyCalls
from .results import BINARY, File
from .transport import Answer
from .users import owner_stored

_USUAL_PAUSE = 5.0
#: The kinds of errors by their code.
_KINDS: dict[str, type[OperationError]] = {
    kind.usual_code: kind
    for kind in vars(problems).values()
    if isinstance(kind, type) and issubclass(kind, OperationError)
}
#: What the API itself has against a request.
_OWN_CODE = "invalid_request"
#: What it is when an operation has chosen the code itself.
_BY_STATUS: dict[int, type[OperationError]] = {
    HTTPStatus.UNPROCESSABLE_ENTITY: OperationFailed,
    HTTPStatus.FORBIDDEN: problems.AccessDenied,
    HTTPStatus.GONE: CallGone,
    HTTPStatus.TOO_MANY_REQUESTS: TooManyCalls,
}


class UnexpectedAnswer(OperationError):
    """The server has answered as no API of operations does: it is another one, or something stands between."""

    usual_code = "unexpected_answer"
    status = 502


def json_of(answer: Answer) -> Any:
    """The body of a good answer. Raises what a bad one says, or :class:`UnexpectedAnswer`."""
    if not 200 <= answer.status < 300:
        raise_problem(answer)
    if answer.media_type != "application/json":
        raise _odd(answer)
    try:
        return json.loads(answer.body)
    except ValueError:
        raise _odd(answer) from None


def call_of(facts: Any) -> Call:
    """A call of its facts; its ``owner`` is "" unless that is told. Raises :class:`UnexpectedAnswer`."""
    try:
        progress = facts["progress"]
        times = {name: _moment(facts[name]) for name in ("due", "deadline", "finished", "expires")}
        created = _moment(facts["created"])
        if not is_call_id(facts["id"]) or created is None:
            raise ValueError
        return Call(
            id=facts["id"], operation=facts["operation"], state=facts["state"],
            owner=owner_stored(facts.get("owner", "")), attempts=facts["attempts"],
            created=created, error=facts["error"], is_stopping=facts["stopping"] is True, **times,
            progress=progress and Progress(progress["done"], progress["total"], progress["message"]),
        )  # fmt: skip
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise UnexpectedAnswer("the server answered with something else than the facts of a call") from error


def result_of(answer: Answer) -> Any:
    """What an operation has returned: JSON, or a :class:`File`. Raises as :func:`json_of`."""
    if 200 <= answer.status < 300 and answer.headers.get_content_disposition() == "attachment":
        return _file(answer)
    return json_of(answer)


def _file(answer: Answer) -> File:
    # Only the last part: a name must not lead out of the folder in which it is saved.
    name = re.split(r"[/\\]", _file_name(answer.headers))[-1]
    for given in (name, None):
        try:
            return File(answer.body, str(answer.headers.get("Content-Type", BINARY)), given or None)
        except SpecError:
            continue
    return File(answer.body)


def _file_name(headers: Message) -> str:
    """As told by "filename*", which holds all characters, else by "filename"; "" without."""
    given: list[tuple[str, Any]] = headers.get_params([], "Content-Disposition")
    names = [value for name, value in given if name.lower() == "filename"]
    return collapse_rfc2231_value(next((name for name in names if isinstance(name, tuple)), (names or [""])[0]))


def raise_problem(answer: Answer) -> NoReturn:
    """Raise what an answer says that is not good, as the kind of error that the operations themselves raise."""
    try:
        said = json.loads(answer.body)
        code, sentence = said["code"], str(said.get("detail") or said["title"])
    except (ValueError, KeyError, TypeError, AttributeError):
        raise _odd(answer) from None
    code = code if is_name(code) else "unknown"
    kind = _KINDS.get(code, OperationError)
    if kind.status != answer.status and code != _OWN_CODE:
        kind = _BY_STATUS.get(answer.status, OperationError)
    raised = _made(kind, sentence, answer)
    raised.code, raised.details, raised.status = code, said.get("errors"), answer.status
    if answer.retry_after is not None:
        raised.retry_after = answer.retry_after
    raise raised


def _made(kind: type[OperationError], sentence: str, answer: Answer) -> OperationError:
    if issubclass(kind, TooManyCalls):
        return kind(sentence, _USUAL_PAUSE)
    if issubclass(kind, StillRunning):
        return kind(sentence, str(answer.headers.get("Location", "")).rstrip("/").rpartition("/")[2])
    return kind(sentence)


def _odd(answer: Answer) -> UnexpectedAnswer:
    what = f"{answer.status} with {answer.media_type or 'no media type'}"
    if 300 <= answer.status < 400:
        what = f"{answer.status}, which leads elsewhere"
    return UnexpectedAnswer(
        f"the server answered {what}, as no API of operations does: check the address and the credentials"
    )


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text.replace("Z", "+00:00"))
