"""A client as somebody writes it who has read the page of coreBOS on operations in the queue, and nothing else.

``python script.py ADDRESS SESSION`` defers ``describe`` in the ways in which an array can be sent, asks for the results
before cron has run and, once a line has come in, after it, twice. It prints what it was told, line by line.
"""

from __future__ import annotations

import json
import sys
from typing import Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen

ADDRESS, SESSION = sys.argv[1:]
WAYS: list[dict[str, Any]] = [
    {"cbwsOptions": json.dumps({"launchfromqueue": True, "queuedelay": 0})},
    {"cbwsOptions[launchfromqueue]": 1, "cbwsOptions[queuedelay]": 0},
]


def send(data: bytes, content_type: str) -> Any:
    """Call an operation; what it answers."""
    request = Request(ADDRESS, data, {"Content-Type": content_type})  # noqa: S310  (that of the test)
    with urlopen(request) as answer:  # noqa: S310
        return json.load(answer)


def defer(options: dict[str, Any]) -> str:
    """Put the operation in the queue; its tracking id."""
    call = {"operation": "describe", "elementType": "Contacts", "sessionName": SESSION, **options}
    answer = send(urlencode(call).encode(), "application/x-www-form-urlencoded")
    return str(answer["result"]["operationTrackingID"])


def defer_as_json() -> str:
    """The same, as an object."""
    call = {"operation": "describe", "elementType": "Contacts", "sessionName": SESSION,
            "cbwsOptions": {"launchfromqueue": True, "queuedelay": 0}}  # fmt: skip
    return str(send(json.dumps(call).encode(), "application/json")["result"]["operationTrackingID"])


def status(tracking_id: str) -> Any:
    """The sentence, or the response of the operation."""
    asked = {"operation": "getQueuedOperationResult", "operationTrackingID": tracking_id, "sessionName": SESSION}
    with urlopen(f"{ADDRESS}?{urlencode(asked)}") as answer:  # noqa: S310
        result = json.load(answer)["result"]
    return json.loads(result) if result.startswith("{") else result


deferred = [*map(defer, WAYS), defer_as_json()]
print(json.dumps([status(one) for one in deferred]), flush=True)
sys.stdin.readline()
print(json.dumps([status(one) for one in deferred]))
print(json.dumps([status(one) for one in deferred]))
