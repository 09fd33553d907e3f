"""Requests as bytes, wrong in one or several of the ways in which requests can be wrong; seeded."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

METHODS = [
    b"GET", b"POST", b"HEAD", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"TRACE", b"CONNECT", b"PROPFIND", b"QUERY",
    b"get", b"X" * 40, b"GE\tT", b"", b"G\xc3\x89T", b"\x00", b"POST\x00", b"PRI", b"(){}",
]  # fmt: skip
VERSIONS = [
    b"HTTP/1.1",
    b"HTTP/1.0",
    b"HTTP/0.9",
    b"HTTP/2.0",
    b"HTTP/9.9",
    b"HTTP/1.1 ",
    b"http/1.1",
    b"",
    b"HTTP/1.x",
    b"X",
]
ENDS = [b"\r\n", b"\n", b"\r", b"\r\r\n", b"\x00\r\n"]
#: Parts of addresses: not UTF-8, half escapes, steps upwards, control characters, templates.
PARTS = [
    b"%", b"%zz", b"%00", b"%ff%fe", b"%c0%af", b"%ed%a0%80", b"\xff\xfe", b"\xc3\x28", b"%u0041", b"..%2f..%2f",
    b"/../../", b"//evil.example", b"\\..\\", b"%0d%0aSet-Cookie:x=y", b"%e2%80%ae", b"a" * 9000, b"%25" * 900,
    b";x=y", b"?", b"#x", b"\x00", b"\x7f", b"\t", b"{{7*7}}", b"${7*7}", b"%7b%7b7*7%7d%7d", b"'%20OR%201=1",
    b"\xe2\x80\xa8", b"*", b"[", b"%5b%5d", b"@",
]  # fmt: skip
QUERIES = [
    b"a=%ff", b"after=%00", b"after=" + b"9" * 5000, b"&&&===", b"wait=nan", b"wait=1e999", b"limit=-1",
    b"state=%ed%a0%80", b"consume=1", b"t=" + b"A" * 3000, b"format=txt&format=json", b"operation=echo&operation=%00",
    b"cbwsOptions[=1", b"cbwsOptions=%7b", b"token=%e9", b"name[]=" + b"x" * 4000,
    b"&".join(b"a%d=1" % number for number in range(3000)), b"nojs=1&nojs=2", b"=", b"%",
]  # fmt: skip
JSON = [
    b"[" * 100_000, b'{"a":' * 100_000, b'{"data":' + b"[" * 50_000, b'{"data": NaN}', b'{"data": 1e999999}',
    b'{"data": -Infinity}', b'{"data": ' + b"9" * 5000 + b"}",
    b'{"item_id": ' + b"9" * 400 + b', "fence": 1, "request_id": "aaaaaaaa"}', b'{"data": 1, "data": 2}',
    b'{"data": "\\ud800"}', b'{"request_id": "\\udfff\\ud800", "ids": ["\\ud800"]}', b'{"data": "\\u0000"}',
    b'{"data": "\xff"}', b"\xef\xbb\xbf{}", b"\xff\xfe{\x00}\x00", b"", b"{", b"nul", b'"', b"[1,]", b"{'a': 1}",
    b'{"options": {"delay": 1e400}}', b'{"options": {"delay": NaN, "defer": true}}',
    b'{"options": {"release_time": "9999-99-99"}}', b'{"options": {"expires": -1}}', b'{"options": []}',
    b'{"ids": {"a": 1}}', b'{"ids": [null, 1e308, true]}', b"0" * 300_000,
    b'{"operation": ["echo"], "cbwsOptions": {"launchfromqueue": 1, "queuedelay": "NaN"}}',
    b'{"operation": "login", "username": {}}', b'{"operation": "echo", "cbwsOptions": "' + b"{" * 20_000 + b'"}',
    b'{"sessionName": "a.b.c", "operation": "echo"}',
]  # fmt: skip
FORMS = [
    b"operation=%ff&sessionName=%00", b"csrf_token=%e9&request_id=" + b"r" * 300, b"&" * 5000, b"a=" + b"b" * 600_000,
    b"cbwsOptions=%7b%22launchfromqueue%22%3atrue&operation=echo", b"ids=%ed%a0%80", b"=" * 1000, b"\x00=\x00",
    b"operation=echo&element=%", b"&".join(b"f%d=" % number for number in range(2000)),
]  # fmt: skip
_PART = b'--x\r\nContent-Disposition: form-data; name="operation"'
MULTIPART = [
    b"--x--", b"--x\r\n", _PART + b"\r\n\r\necho", _PART + b'; filename="a\x00b"\r\n\r\nx\r\n--x--\r\n',
    _PART + b"\r\n" * 200, b"--x\r\nContent-Disposition: form-data; name=\r\n\r\n\r\n--x--\r\n",
    b"--x\r\n" + b"A: b\r\n" * 5000 + b"\r\n--x--",
    b"--x\r\nContent-Disposition: form-data; name=\"a\"\r\nContent-Transfer-Encoding: base64\r\n\r\n!!\r\n--x--\r\n",
    b"".join(b'--x\r\nContent-Disposition: form-data; name="p%d"\r\n\r\nv\r\n' % number for number in range(1200)),
    b'--x\r\nContent-Disposition: form-data; name="csrf_token"; filename*=utf-8\'\'%ff\r\n\r\nx\r\n--x--\r\n',
    b"\r\n--y--\r\n", b"\x00" * 500,
]  # fmt: skip
TYPES = [
    b"application/json", b"text/plain", b"text/plain; charset=utf-8", b"application/json; charset=utf-16",
    b"application/json;charset=\xff", b"application/x-www-form-urlencoded", b"multipart/form-data; boundary=x",
    b"multipart/form-data", b"multipart/form-data; boundary=", b"multipart/form-data; boundary=" + b"b" * 300,
    b"multipart/mixed; boundary=x", b"application/vnd.x+json", b"/", b"", b"json", b"a/b;" * 500,
    b"application/x-www-form-urlencoded; charset=nope", b"application/xml", b"\xff/\xfe",
]  # fmt: skip
COOKIES = [
    b"session=", b"session=a.b.c", b"session=" + b"A" * 5000, b"session=\xff\xfe", b"session=.eJwA.aaaa.bbbb",
    b'session="\\303\\251"', b";;;=", b"session=eyJ1c2VyIjoiYW5uIn0.aaaaaa.bbbbbbbbbbbbbbbbbbbbbbbbbbb",
    b"session=%00%ff", b"a=b; " * 800, b"session", b"=x", b"\x01",
]  # fmt: skip
HEADERS = [
    b"X: " + b"y" * 70_000, b"X: " + b"y" * 300_000, b": empty", b"No colon", b" folded: x", b"X : space",
    b"X: a\x00b", b"X\xff: y", b"X: \xff\xfe", b"Host: evil.example", b"Host: a b", b"Host: ", b"Host: [::1",
    b"Host: localhost:99999999", b"Host: x" * 3000, b"Origin: null", b"Origin: http://[::1",
    b"Origin: " + b"a" * 3000, b"Accept: " + b"*/*;q=x," * 500, b"Accept: \xff", b"Accept-Language: " + b"x-" * 2000,
    b"Accept-Language: ar;q=nan,\xff", b"Range: bytes=9-1,0-0," + b"0-1," * 300, b"If-None-Match: \"\xff",
    b"If-Modified-Since: never", b"If-Modified-Since: Mon, 99 Foo 99999 99:99:99 GMT", b"Expect: 100-continue",
    b"Expect: nonsense", b"Upgrade: h2c", b"Connection: Upgrade", b"X-Forwarded-For: " + b"1," * 999,
    b"X-HTTP-Method-Override: DELETE", b"Authorization: Basic \xff\xfe", b"Authorization: Basic ====",
    b"Authorization: Bearer a.b.c", b"Authorization: Digest \x00", b"Prefer: wait=nan",
    b"Prefer: respond-async, wait=" + b"9" * 400, b"Idempotency-Key: \"" + b"k" * 400, b"Idempotency-Key: \xff",
    b"X-CSRFToken: \xc3\xa9", b"X-CSRFToken: a.b.c", b"X-Driver: \x7f\xff", b"Content-Encoding: gzip",
    b"Sec-Fetch-Site: \xff", b"Sec-Fetch-Site: cross-site", b"Referer: http://[", b"\r\nX: y", b"A: b\rC: d",
    b"Sec-Purpose: prefetch", b"Cache-Control: \x01",
]  # fmt: skip
LENGTHS = [
    b"-1",
    b"x",
    b"1e3",
    b"9" * 40,
    b"99999999",
    b"+5",
    b" 5 ",
    b"0x10",
    b"\xd9\xa3",
    b"5, 6",
    b"5\r\nContent-Length: 7",
    b"",
    b"0",
]
#: What stands in a body that is sent in pieces, all of them broken but the first.
CHUNKS = [
    b"2\r\n{}\r\n0\r\n\r\n", b"zz\r\n{}\r\n", b"ffffffffffffffffffff\r\n{}", b"-1\r\n{}\r\n0\r\n\r\n",
    b"2\r\n{}0\r\n\r\n", b"2;" + b"x" * 9000 + b"\r\n{}\r\n0\r\n\r\n", b"0\r\n" + b"T: x\r\n" * 900 + b"\r\n",
    b"2\n{}\n0\n\n", b"", b"\r\n\r\n", b"0x2\r\n{}\r\n0\r\n\r\n", b"1\r\n{\r\n" * 500, b"2 \r\n{}\r\n0\r\n\r\n",
]  # fmt: skip
CODINGS = [
    b"chunked",
    b"gzip, chunked",
    b"chunked, chunked",
    b"identity",
    b"xchunked",
    b"Chunked",
    b"\x0bchunked",
    b"deflate",
]


@dataclass
class Draft:
    """A request that is still right; the ways to spoil it take parts of it away from that."""

    method: bytes
    path: bytes
    cookie: bytes
    token: bytes
    version: bytes = b"HTTP/1.1"
    end: bytes = b"\r\n"
    kind: bytes = b""
    body: bytes | None = None
    length: bytes | None = None
    more: list[bytes] = field(default_factory=list)

    def as_bytes(self) -> bytes:
        """What goes over the wire."""
        lines = [
            b" ".join(filter(None, (self.method, self.path, self.version))),
            b"Host: localhost",
            b"Connection: close",
        ]
        lines += [b"Cookie: " + self.cookie] if self.cookie else []
        lines += [b"X-CSRFToken: " + self.token] if self.token else []
        lines += [b"Content-Type: " + self.kind] if self.kind else []
        if self.body is not None or self.length is not None:
            length = self.length if self.length is not None else str(len(self.body or b"")).encode()
            lines += [b"Content-Length: " + length] if length != b"none" else []
        return self.end.join([*lines, *self.more, b"", b""]) + (self.body or b"")


Spoil = Callable[[Draft, random.Random], None]


def _line(draft: Draft, chance: random.Random) -> None:
    part = chance.choice(["method", "version", "end", "noise"])
    if part == "method":
        draft.method = chance.choice(METHODS)
    elif part == "version":
        draft.version = chance.choice(VERSIONS)
    elif part == "end":
        draft.end = chance.choice(ENDS)
    else:
        draft.method = chance.randbytes(chance.randrange(1, 60))


def _path(draft: Draft, chance: random.Random) -> None:
    at, part = chance.randrange(len(draft.path) + 1), chance.choice(PARTS)
    draft.path = chance.choice([draft.path[:at] + part + draft.path[at:], draft.path + b"/" + part, b"/" + part, part])


def _query(draft: Draft, chance: random.Random) -> None:
    draft.path += (b"&" if b"?" in draft.path else b"?") + chance.choice(QUERIES)


def _cookie(draft: Draft, chance: random.Random) -> None:
    draft.cookie = chance.choice([chance.choice(COOKIES), draft.cookie + b"; " + chance.choice(COOKIES)])


def _header(draft: Draft, chance: random.Random) -> None:
    draft.more += chance.sample(HEADERS, chance.randrange(1, 4))
    if chance.random() < 0.05:
        draft.more += [b"X-%d: y" % number for number in range(500)]


def _body(draft: Draft, chance: random.Random) -> None:
    draft.method = draft.method if chance.random() < 0.1 else b"POST"
    bodies, kind = chance.choice([
        (JSON, b"application/json"), (JSON, b"application/json"), (JSON, b"text/plain"),
        (MULTIPART, b"multipart/form-data; boundary=x"), (FORMS, b"application/x-www-form-urlencoded"),
    ])  # fmt: skip
    draft.body = chance.choice(bodies) if chance.random() < 0.95 else chance.randbytes(chance.randrange(400))
    draft.kind = kind if chance.random() < 0.8 else chance.choice(TYPES)


def _length(draft: Draft, chance: random.Random) -> None:
    if draft.body is None:
        _body(draft, chance)
    draft.body = (draft.body or b"")[:2000]
    draft.length = chance.choice(LENGTHS)


def _chunked(draft: Draft, chance: random.Random) -> None:
    draft.method, draft.kind, draft.body = b"POST", b"application/json", chance.choice(CHUNKS)
    draft.more.append(b"Transfer-Encoding: " + (b"chunked" if chance.random() < 0.6 else chance.choice(CODINGS)))
    draft.length = b"2" if chance.random() < 0.2 else b"none"


#: By name, as they are counted.
SPOILS: dict[str, Spoil] = {
    "line": _line, "path": _path, "query": _query, "cookie": _cookie, "header": _header, "body": _body,
    "length": _length, "chunked": _chunked,
}  # fmt: skip


def requests(
    chance: random.Random, number: int, paths: Sequence[str], cookies: Sequence[str], token: str
) -> Iterator[tuple[str, bytes]]:
    """So many requests, each with the name of what is wrong with it; every way comes equally often."""
    ways = [*SPOILS]
    for count in range(number):
        draft = Draft(
            chance.choice([b"GET", b"POST"]),
            chance.choice(paths).encode(),
            chance.choice(cookies).encode("latin-1"),
            token.encode(),
        )
        name = ways[count % len(ways)]
        SPOILS[name](draft, chance)
        if chance.random() < 0.25:
            SPOILS[chance.choice(ways)](draft, chance)
        request = draft.as_bytes()
        if chance.random() < 0.03:
            request = request[: chance.randrange(len(request))]
        yield name, request
