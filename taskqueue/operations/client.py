"""``Client``: operations of an application elsewhere, over its HTTP API."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from ..durations import seconds_of
from ..errors import SpecError
from ..spec import is_name, shown
from .answers import UnexpectedAnswer, call_of, json_of, raise_problem, result_of
from .call import Call, is_call_id
from .problems import CallGone, CallNotFound, InvalidData, NotIdempotent, NotPossible, UnknownOperation
from .transport import Answer, Ask, Headers, NoAnswer, Opener, Transport

#: Seconds for which the server is asked to hold one answer back; gateways have little patience.
_LOOK = 20.0
_LONGEST_KEY = 190
_JSON = {"Content-Type": "application/json"}


class Client:
    """The operations behind one address; may be used by several threads. It keeps no connection open.

    Arguments:
        url: where :class:`~taskqueue.web.OperationsApi` is, such as "https://host/ops".
        headers: go along with each request, such as ``{"Authorization": "Bearer ..."}``; or a function without
            arguments that gives them each time.
        timeout: seconds (or a timedelta, or "10s") without a sign of the server after which an answer counts as lost.
        patience: for so long a request that can do no harm twice is made again when no answer came; 0: never.
        opener: a :class:`urllib.request.OpenerDirector` that sends the requests, for cookies, certificates, proxies;
            None: the usual one, which follows no redirects.

    What the server refuses is raised as the error that :class:`Operations` raises; an unknown one as
    :class:`OperationError`. Every method may raise :class:`NoAnswer` and :class:`UnexpectedAnswer`. Raises
    :class:`SpecError`.
    """

    def __init__(
        self, url: str, *, headers: Headers | None = None, timeout: float | timedelta | str = 30,
        patience: float | timedelta | str = 30, opener: Opener | None = None,
    ) -> None:  # fmt: skip
        seconds = seconds_of(timeout, "timeout")
        if not seconds:
            raise SpecError("timeout must be more than 0 seconds")
        self._transport = Transport(url, headers, seconds, opener)
        self._patience = seconds_of(patience, "patience")
        #: Of each operation and alias whether it takes idempotency keys; asked when first needed.
        self._idempotent: dict[str, bool] = {}

    # --- calling ---

    def operations(self, *, queueable: bool | None = None) -> list[dict[str, Any]]:
        """What the server offers, as it describes it; all, or those that may (not) be deferred."""
        query = {} if queueable is None else {"queueable": int(queueable)}
        found = json_of(self._look("", query))
        try:
            known: list[dict[str, Any]] = found["operations"]
            names = {name: bool(one["idempotent"]) for one in known for name in (one["name"], *one.get("aliases", ()))}
        except (TypeError, KeyError) as error:
            raise UnexpectedAnswer("the server answered with something else than a list of operations") from error
        self._idempotent = {**self._idempotent, **names}
        return known

    def call(self, name: str, data: Any = None, *, key: str | None = None) -> Any:
        """Have an operation executed now; return its result, as JSON has it, or a :class:`File`.

        Arguments:
            key: an idempotency key. With one the request is made again when the answer was lost, and the operation is
                executed once all the same; without one it is not.

        Raises :class:`OperationError`.
        """
        return result_of(self._change(name, {"data": data}, key, "executed"))

    def defer(
        self, name: str, data: Any = None, *, delay: float | timedelta | str | None = None,
        release_time: datetime | None = None, expires: float | timedelta | str | datetime | None = None,
        key: str | None = None,
    ) -> Call:  # fmt: skip
        """Have a call recorded, which is executed later; return it, with its tracking id.

        Arguments:
            delay: seconds, a timedelta or a text as "10m" until it is due; or
            release_time: the moment, an aware datetime. Not both.
            expires: it is not begun after this moment, or so long from now.
            key: an idempotency key; None: one is made if the operation takes keys. With a key the request is made again
                when the answer was lost, and there is one call all the same. Without one it is not, and
                :class:`NoAnswer` says so.

        Raises :class:`OperationError`, :class:`SpecError`.
        """
        if delay is not None and release_time is not None:
            raise SpecError("give delay or release_time, not both")
        options: dict[str, Any] = {"defer": True}
        if delay is not None:
            options["delay"] = seconds_of(delay, "delay")
        if release_time is not None:
            options["release_time"] = _text(release_time, "release_time")
        if expires is not None:
            is_moment = isinstance(expires, datetime)
            options["expires"] = _text(expires, "expires") if is_moment else seconds_of(expires, "expires")  # type: ignore[arg-type]
        body = {"data": data, "options": options}
        if key is not None or not self._takes_keys(name):
            return call_of(json_of(self._change(name, body, key, "deferred")))
        try:
            return call_of(json_of(self._change(name, body, secrets.token_hex(16), "deferred")))
        except NotIdempotent:  # not any longer
            self._idempotent.pop(name, None)
            return call_of(json_of(self._change(name, body, None, "deferred")))

    def _takes_keys(self, name: str) -> bool:
        if name not in self._idempotent:
            self.operations()
        return self._idempotent.get(name, False)

    def _change(self, name: str, body: dict[str, Any], key: str | None, done: str) -> Answer:
        if not is_name(name):
            raise UnknownOperation(f"there is no operation {shown(name)}")
        headers = {**_JSON, **({} if key is None else {"Idempotency-Key": _quoted(key)})}
        ask = Ask("POST", f"/{quote(name, safe='')}", {}, _body(name, body), headers, is_repeatable=key is not None)
        try:
            return self._transport.ask(ask, self._patience)
        except NoAnswer as error:
            if error.is_unsent:
                raise
            unknown = f"whether {name} was {done} is not known"
            advice = (
                f"it went without an idempotency key, so that it was not sent again: {unknown}"
                if key is None
                else f"{unknown}; it may be sent again with the same key={key!r}"
            )
            raise NoAnswer(f"{error.message}; {advice}", key=key) from error

    # --- looking ---

    def get(self, call_id: str) -> Call:
        """A recorded call as it stands now. Raises :class:`CallNotFound`, :class:`CallGone`."""
        return call_of(json_of(self._look(_place(call_id))))

    def wait(self, call_id: str, timeout: float | timedelta | str = 30) -> Call:
        """The call when it has ended, or as it stands after ``timeout``.

        While the server is away, or wants no more requests, it is asked again in time, and longer each time. Raises as
        :meth:`get`; what the last try has raised when there was no answer until the end.
        """
        place, until, tries = _place(call_id), self._transport.now() + seconds_of(timeout, "timeout"), 0
        while True:
            began = self._transport.now()
            held = max(min(until - began, _LOOK), 0.0)
            ask = Ask("GET", place, {"wait": f"{held:.3f}"}, is_repeatable=True, extra=held)
            call = call_of(json_of(self._transport.ask(ask, max(until - began, 0.0))))
            now = self._transport.now()
            if call.is_final or now >= until:
                return call
            # A server, or what stands before it, may answer at once all the same.
            tries = tries + 1 if now - began < held / 2 else 0
            if tries:
                self._transport.sleep(min(self._transport.pause(tries, None), until - now))

    def result(self, call_id: str, *, consume: bool = False) -> Any:
        """What a call has returned: JSON, or a :class:`File`.

        Arguments:
            consume: nobody can read it a second time; so it is not asked for again when the answer was lost.

        Raises :class:`NotFinished`; the error of a call that ended otherwise; :class:`CallNotFound`, :class:`CallGone`.
        """
        place = f"{_place(call_id)}/result"
        if not consume:
            return result_of(self._look(place))
        try:
            return result_of(self._transport.ask(Ask("GET", place, {"consume": 1}), self._patience))
        except NoAnswer as error:
            if error.is_unsent:
                raise
            raise NoAnswer(f"{error.message}; the result may have been consumed") from error

    def calls(self, *, state: str | None = None, operation: str | None = None, limit: int = 50) -> Iterator[Call]:
        """Recorded calls, the newest first: one's own, an administrator's are all.

        Arguments:
            limit: so many are fetched at a time.

        Those that were yielded may be forgotten: the next page is there before. Raises as it goes.
        """
        query: dict[str, Any] = {"limit": limit}
        if state is not None:
            query["state"] = state
        if operation is not None:
            query["operation"] = operation
        page, after = self._page(query)
        while after is not None:
            following, next_after = self._page({**query, "after": after})
            yield from page
            page, after = following, next_after if following else None
        yield from page

    def _page(self, query: dict[str, Any]) -> tuple[list[Call], str | None]:
        found = json_of(self._look("/runs", query))
        try:
            after: str | None = found["next"]
            return [call_of(facts) for facts in found["runs"]], after
        except (TypeError, KeyError) as error:
            raise UnexpectedAnswer("the server answered with something else than a list of calls") from error

    def _look(self, path: str, query: dict[str, Any] | None = None) -> Answer:
        return self._transport.ask(Ask("GET", path, query or {}, is_repeatable=True), self._patience)

    # --- ending ---

    def cancel(self, call_id: str) -> Call:
        """Take a call back that waits; one that runs is asked to stop. Return it as it stands.

        Raises :class:`NotPossible` when it has ended, :class:`CallNotFound`, :class:`CallGone`.
        """
        try:
            return call_of(json_of(self._end(call_id, "cancel")))
        except NoAnswer:
            try:
                return call_of(json_of(self._end(call_id, "cancel")))
            except NotPossible:
                call = self.get(call_id)
                if call.state == "cancelled":  # it was done, and only its answer was lost
                    return call
                raise

    def forget(self, call_id: str) -> None:
        """Remove a call that has ended from the record. Raises :class:`NotPossible` when it has not,
        :class:`CallNotFound`, :class:`CallGone`."""
        try:
            answer = self._end(call_id, "forget")
        except NoAnswer:
            try:
                self.get(call_id)
            except (CallNotFound, CallGone):
                return  # it was done, and only its answer was lost
            raise
        if answer.status != HTTPStatus.NO_CONTENT:
            raise_problem(answer)

    def _end(self, call_id: str, only: str) -> Answer:
        ask = Ask("DELETE", _place(call_id), {"only": only}, body=b"{}", headers=_JSON)
        return self._transport.ask(ask, self._patience)

    def retry(self, call_id: str) -> Call:
        """Let a call that is dead or has failed be executed once more. Return it as it stands.

        Raises :class:`NotPossible` when it is neither, :class:`CallNotFound`, :class:`CallGone`.
        """
        ask = Ask("POST", f"{_place(call_id)}/retry", body=b"{}", headers=_JSON)
        return call_of(json_of(self._transport.ask(ask, self._patience)))


def _place(call_id: str) -> str:
    if not is_call_id(call_id):
        raise CallNotFound("there is no such call, or it is not yours to see")
    return f"/runs/{call_id}"


def _body(name: str, body: dict[str, Any]) -> bytes:
    try:
        return json.dumps(body, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidData(f"the data of {name} cannot be sent as JSON: {error}") from error


def _quoted(key: object) -> str:
    text = key if isinstance(key, str) else ""
    if not 0 < len(text) <= _LONGEST_KEY or not (text.isascii() and text.isprintable()) or text != text.strip():
        raise SpecError(
            f"an idempotency key for HTTP is a text of 1 to {_LONGEST_KEY} printable ASCII characters without blanks "
            f"around it, not {shown(key)}"
        )
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _text(moment: object, what: str) -> str:
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        raise SpecError(f"{what} must be a datetime with a time zone, not {shown(moment)}")
    return moment.astimezone(timezone.utc).isoformat()
