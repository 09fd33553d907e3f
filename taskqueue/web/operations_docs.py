"""The page that shows humans which operations there are and how they are called."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from flask import render_template, request, url_for

from ..operations import Operation, Operations
from .operations_answers import url_of
from .operations_schemas import self_contained
from .operations_site import USUAL_TITLE, OperationsSite
from .site import fingerprint


@dataclass(frozen=True)
class Shown:
    """One operation as the page shows it; the schemas are texts, "" where there is nothing to say."""

    name: str
    summary: str
    aliases: str
    queueable: bool
    idempotent: bool
    url: str
    takes: str
    gives: str
    is_file: bool


def page(site: OperationsSite) -> str:
    """The page."""
    translate = site.translate()
    return render_template(
        "taskqueue/operations.html",
        lang=translate.lang, dir=translate.dir, _=translate.gettext, ngettext=translate.ngettext,
        title=site.title if site.title != USUAL_TITLE else "", static_url=_static_url,
        base_template="taskqueue/base.html",
        operations=[_shown(site.operations, one) for one in site.operations.known()],
        openapi_url=url_of("openapi"), runs_url=_whole("runs"), call_url=_whole("call", name="NAME"),
    )  # fmt: skip


def _shown(operations: Operations, one: Operation) -> Shown:
    return Shown(
        one.name, one.summary, ", ".join(operations.aliases_of(one.name)), one.queueable, one.idempotent,
        url_of("call", name=one.name), _text(one.takes), _text(one.gives), one.result_kind == "file",
    )  # fmt: skip


def _text(schema: dict[str, Any]) -> str:
    return json.dumps(self_contained(schema), indent=2, ensure_ascii=False, default=str) if schema else ""


def _whole(endpoint: str, **values: Any) -> str:
    """An address as a program outside needs it."""
    return request.host_url.rstrip("/") + url_of(endpoint, **values)


def _static_url(filename: str) -> str:
    return url_for(f"{request.blueprint}.static", filename=filename, v=fingerprint(filename))
