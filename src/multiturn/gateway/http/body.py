"""What did the client post? The body is read within limits, and opened by a strict reader that remembers
where each field stands, so that what nobody interprets can be handed on as it came."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Mapping, Sequence
from json.decoder import scanstring  # type: ignore[attr-defined]  # the scanner json itself is made of
from typing import Any, NamedTuple

import orjson
from starlette.types import Receive, Scope

from .connection import Connection
from .presence import ClientLeft
from .refusal import Refusal

__all__ = ["LARGEST_BODY", "LARGEST_WITH_MEDIA", "Body", "read_body", "read_lines"]

LARGEST_BODY = 8 << 20
LARGEST_WITH_MEDIA = 32 << 20
MEDIA = re.compile(rb';base64,|"input_audio"|"file_data"')
"""What stands in a body that holds images, sounds or files."""
READ_SECONDS = 60.0
LINES = (b"application/jsonl", b"application/x-ndjson", b"application/x-jsonlines")
"""How JSON lines are called."""
DEEPEST = 64
LARGEST_INTEGER = 1 << 64
BLANKS = " \t\n\r"


async def read_body(scope: Scope, receive: Receive) -> Body:
    """The body of a request, a JSON object. Raises `Refusal`."""
    return Body(await _read_whole(scope, receive, _is_json, "application/json"))


async def read_lines(scope: Scope, receive: Receive) -> bytes:
    """The body of a request, JSON lines, which nobody has looked at. Raises `Refusal`."""
    return await _read_whole(scope, receive, LINES.__contains__, "application/jsonl")


def _is_json(kind: bytes) -> bool:
    return kind == b"application/json" or kind.endswith(b"+json")


async def _read_whole(scope: Scope, receive: Receive, wanted: Callable[[bytes], bool], known: str) -> bytes:
    """The body as it came, if it is of a kind that is ``wanted``, called ``known``, and within the limits."""
    for name, value in scope["headers"]:
        if name == b"content-type":
            if not wanted(value.partition(b";")[0].strip().lower()):
                raise Refusal(415, "unsupported_media_type", known=known)
        elif name == b"content-encoding" and value.lower() != b"identity":
            raise Refusal(415, "unsupported_encoding")
        elif name == b"content-length" and value.isdigit() and int(value) > LARGEST_WITH_MEDIA:
            raise _too_large(LARGEST_WITH_MEDIA)
    if isinstance(receive, Connection) and (whole := receive.body()) is not None:
        return whole  # what is there at once is no more than a server reads ahead
    try:
        async with asyncio.timeout(READ_SECONDS):
            return await _read(receive)
    except TimeoutError:
        raise Refusal(408, "request_timeout", headers={"connection": "close"}) from None


async def _read(receive: Receive) -> bytes:
    parts, size, limit = list[bytes](), 0, LARGEST_BODY
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientLeft
        if part := message.get("body", b""):
            parts.append(part)
            size += len(part)
        if size > limit and size > (limit := _limit_of(parts)):
            raise _too_large(limit)
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


def _limit_of(parts: Sequence[bytes]) -> int:
    """How large a body may be that begins so."""
    return LARGEST_WITH_MEDIA if MEDIA.search(b"".join(parts)) else LARGEST_BODY


def _too_large(limit: int) -> Refusal:
    return Refusal(413, "body_too_large", limit=limit >> 20, headers={"connection": "close"})


class _Members(NamedTuple):
    """The members of an object: their values, and where these stand in its text."""

    fields: dict[str, Any]
    spans: dict[str, tuple[int, int]]


class Body:
    """A posted JSON object."""

    __slots__ = ("_members", "_text", "raw")

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self._text = ""
        self._members: _Members | None = None

    @property
    def fields(self) -> Mapping[str, Any]:
        """The fields, opened. Raises `Refusal` for what JSON leaves open: NaN, half surrogates, a name
        given twice, integers beyond 64 bits; and for what is nested too deeply."""
        return self._opened().fields

    def _opened(self) -> _Members:
        if self._members is None:
            try:
                value = orjson.loads(self.raw)
            except orjson.JSONDecodeError as error:
                raise Refusal(400, "invalid_json", line=error.lineno, column=error.colno) from None
            if not isinstance(value, dict):
                raise Refusal(400, "not_an_object")
            _check_depth(value, self.raw)
            self._text = self.raw.decode()
            self._members = _members(self._text)
        return self._members

    def written(self, name: str) -> str:
        """A field as it was written."""
        start, end = self._opened().spans[name]
        return self._text[start:end]

    def rewritten(self, changes: Mapping[str, Any]) -> bytes:
        """The body with some fields changed or added; everything else is as it came."""
        spans, text = self._opened().spans, self._text
        new = {name: orjson.dumps(value).decode() for name, value in changes.items()}
        pieces, done = [], 0
        for name in sorted(new.keys() & spans.keys(), key=lambda each: spans[each]):
            pieces += [text[done : spans[name][0]], new[name]]
            done = spans[name][1]
        end = text.rindex("}")
        added = [f"{json.dumps(name)}:{value}" for name, value in new.items() if name not in spans]
        comma = "," if spans and added else ""
        return "".join([*pieces, text[done:end], comma, ",".join(added), "}"]).encode()


def _check_depth(value: object, raw: bytes) -> None:
    if raw.count(b"{") + raw.count(b"[") <= DEEPEST:
        return
    level = [value]
    for _ in range(DEEPEST):
        level = [
            each
            for node in level
            for each in (node.values() if isinstance(node, dict) else node)  # type: ignore[attr-defined]  # a list
            if isinstance(each, dict | list)
        ]
        if not level:
            return
    raise Refusal(400, "too_deep", limit=DEEPEST)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise Refusal(400, "duplicate_key")
    return value


def _integer(text: str) -> int:
    value = int(text) if len(text) <= 20 else LARGEST_INTEGER
    if not -(LARGEST_INTEGER >> 1) <= value < LARGEST_INTEGER:
        raise Refusal(400, "integer_too_large")
    return value


VALUES = json.JSONDecoder(object_pairs_hook=_once, parse_int=_integer)


def _members(text: str) -> _Members:
    """The members of an object that is known to be JSON."""
    fields: dict[str, Any] = {}
    spans: dict[str, tuple[int, int]] = {}
    place = _skip(text, _skip(text, 0) + 1)
    while text[place] != "}":
        name, place = scanstring(text, place + 1)
        start = _skip(text, _skip(text, place) + 1)
        value, end = VALUES.raw_decode(text, start)
        if name in fields:
            raise Refusal(400, "duplicate_key")
        fields[name], spans[name] = value, (start, end)
        place = _skip(text, end)
        if text[place] == ",":
            place = _skip(text, place + 1)
    return _Members(fields, spans)


def _skip(text: str, place: int) -> int:
    while text[place] in BLANKS:
        place += 1
    return place
