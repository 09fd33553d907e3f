"""gendoc_convert: a template with the fields of records in it, as a text or a page."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from html.parser import HTMLParser
from typing import Any

from taskqueue.operations import File, OperationContext
from taskqueue.spec import nearest, shown

from . import shapes
from .fields import given
from .ids import RecordId
from .modules import DOCUMENTS, MODULES, Module
from .people import BY_NUMBER, RETRIEVE
from .problems import CONVERSION_FAILED, INVALID_ID, failed
from .records import Records

#: What stands in a template for a field: {lastname}, or {Accounts.accountname} of a record that is referred to.
_PLACE = re.compile(r"\{(?:([A-Za-z]+)\.)?([A-Za-z_][A-Za-z0-9_]*)\}")
_MEDIA = {"html": "text/html; charset=utf-8", "txt": "text/plain; charset=utf-8"}
_HEAD = '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{}</title></head>\n<body>\n'
_END = "</body></html>\n"
#: What stands between the copies for two records.
_BETWEEN = {"html": '<hr style="break-after: page">\n', "txt": "\f"}


@dataclass(frozen=True)
class Template:
    """A document: its title, whether it is a page (else plain text), and its text."""

    title: str
    is_page: bool
    text: str


def convert(ctx: OperationContext, data: shapes.Convert) -> File:
    """Convert a text or a page into the other, with the fields of records in it, one copy for each record."""
    records = Records(ctx.session, ctx.user)
    template = _sent(data.file) if data.file is not None else _stored(records, data.template or "")
    copies = [] if data.crmids else [template.text]
    for done, text in enumerate(data.crmids, 1):
        copies.append(_merged(template, records, records.parsed(text)))
        ctx.report(done, len(data.crmids), template.title)
    return _file(template, copies, data.convert_format)


def _file(template: Template, copies: Sequence[str], wanted: str) -> File:
    if template.is_page and wanted == "txt":
        copies = [_plain(copy) for copy in copies]
    elif wanted == "html" and not template.is_page:
        copies = [_paragraphs(copy) for copy in copies]
    text = _BETWEEN[wanted].join(copies)
    if wanted == "html" and not template.is_page:
        text = _HEAD.format(escape(template.title)) + text + _END
    name = re.sub(r"\.(html?|txt)$", "", template.title, flags=re.IGNORECASE).strip() or "document"
    return File(text.encode(), _MEDIA[wanted], f"{name}.{wanted}")


# --- where templates come from ---


def _sent(file: shapes.SentFile) -> Template:
    try:
        content = base64.b64decode(file.content, validate=True)
    except (binascii.Error, ValueError) as error:
        raise failed(CONVERSION_FAILED, f"the content of {shown(file.name)} is not in base 64") from error
    if file.size is not None and file.size != len(content):
        raise failed(CONVERSION_FAILED, f"{shown(file.name)} has {len(content)} bytes, not {file.size}: send it again")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise failed(CONVERSION_FAILED, f"{shown(file.name)} is no text in UTF-8 (byte {error.start})") from error
    return Template(_title(file.name), _is_page(file.name, file.type), text)


def _stored(records: Records, text: str) -> Template:
    record = records.parsed(text)
    if record.module is not DOCUMENTS:
        raise failed(INVALID_ID, f"a template is a record of Documents; {record} is of {record.module.name}")
    records.check(DOCUMENTS, RETRIEVE)
    values = records.stored(record)
    if not values["template"]:
        raise failed(CONVERSION_FAILED, f"the document {record} is no template: its field template is false")
    is_page = _is_page(values["filename"] or "", values["filetype"] or "")
    return Template(_title(values["notes_title"]), is_page, values["notecontent"] or "")


def _title(name: str) -> str:
    return "".join(char if char.isprintable() and char not in "/\\" else " " for char in name)[:150]


def _is_page(name: str, media_type: str) -> bool:
    return media_type.partition(";")[0].strip() == "text/html" or name.lower().endswith((".html", ".htm"))


# --- the fields of a record ---


def _merged(template: Template, records: Records, record: RecordId) -> str:
    records.check(record.module, RETRIEVE)
    treated: Callable[[str], str] = escape if template.is_page else str
    values = {record.module.name: (record.module, records.stored(record))}

    def put(match: re.Match[str]) -> str:
        module = match[1] or record.module.name
        if module not in values:
            values[module] = _referred(records, record, values[record.module.name][1], module, match[0])
        return treated(_shown(*values[module], match[2], match[0]))

    return _PLACE.sub(put, template.text)


def _referred(
    records: Records, record: RecordId, values: dict[str, Any], wanted: str, place: str
) -> tuple[Module, dict[str, Any]]:
    """The record of another module that a record refers to; an empty one if it refers to none."""
    field = next((field for field in record.module.fields if field.refers_to == wanted), None)
    if field is None:
        known = sorted({field.refers_to for field in record.module.fields if field.refers_to})
        raise failed(
            CONVERSION_FAILED,
            f"{place}: records of {record.module.name} refer to none of {wanted}{nearest(wanted, known)}",
        )
    module = next(module for module in MODULES if module.name == wanted)
    records.check(module, RETRIEVE)
    number = values[field.name]
    return module, records.stored(RecordId(module, number)) if number is not None else {}


def _shown(module: Module, values: dict[str, Any], name: str, place: str) -> str:
    field = module.by_name.get(name)
    if field is None:
        raise failed(CONVERSION_FAILED, f"{place}: {module.name} has no field {name!r}{nearest(name, module.by_name)}")
    value = values.get(name)
    if value is None:
        return ""
    if field.kind == "owner":
        return BY_NUMBER[value].name
    if field.kind == "boolean":
        return "yes" if value else "no"
    return str(given(value))


# --- from one form into the other ---


def _paragraphs(text: str) -> str:
    return "".join(f"<p>{_lines(part)}</p>\n" for part in re.split(r"\n\s*\n", text) if part.strip())


def _lines(paragraph: str) -> str:
    return "<br>\n".join(escape(paragraph.strip("\n")).split("\n"))


class _Text(HTMLParser):
    """Collects the text of a page."""

    _BLOCKS = frozenset({"p", "div", "h1", "h2", "h3", "h4", "h5", "h6", "li", "tr", "ul", "ol", "table"})
    _SILENT = frozenset({"script", "style", "title", "head"})

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self._silence = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._silence += tag in self._SILENT
        if tag in ("br", "hr") or tag in self._BLOCKS:
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        self._silence -= tag in self._SILENT and self._silence > 0
        if tag in self._BLOCKS:
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._silence:
            self.parts.append(re.sub(r"\s+", " ", data))


def _plain(page: str) -> str:
    reader = _Text()
    reader.feed(page)
    reader.close()
    lines = (line.strip() for line in "".join(reader.parts).split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n"
