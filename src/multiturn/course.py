"""In what pieces did an answer come? Their kinds and lengths, a byte or two each: beside the stored words
they are enough to tell the answer once more exactly as it was told.

The bytes of two courses of the same answer, one after the other, are the course of both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import orjson

from .messages import Message
from .reply import CallPiece, Delta, Draft

__all__ = ["Course", "Piece", "Reader", "Tape"]

TEXT, REASONING, SAME_CALL, CALL, LOST = range(5)
"""Kinds of pieces. The length of a call's is followed by its index; what was told and not stored stands at
the beginning, as JSON."""
KIND_BITS = 3


class Piece(NamedTuple):
    """A piece of an answer. Of a call, ``place`` counts the calls of the answer from 0."""

    kind: Literal["text", "reasoning", "call"]
    text: str
    place: int = 0
    id: str = ""
    name: str = ""


class Course:
    """Takes note of an answer while it comes; of thoughts only where they are kept. Calls are told of once
    their id and name are known."""

    def __init__(self, draft: Draft, *, keep_reasoning: bool = True) -> None:
        self.draft = draft
        self._keep_reasoning = keep_reasoning
        self._thinks = False
        self.told = bytearray()
        self._kept = 0
        self._calls: dict[int, None] = {}
        self._last: int | None = None

    def add(self, delta: Delta) -> None:
        """Take note of a delta that was added to the draft."""
        if self._keep_reasoning and delta.reasoning is not None and (delta.reasoning or not self._thinks):
            self._thinks = True
            self._tell(REASONING, len(delta.reasoning))
        if delta.text:
            self._tell(TEXT, len(delta.text))
        for piece in delta.calls:
            self._add_call(piece)

    def _add_call(self, piece: CallPiece) -> None:
        identity, name, arguments = self.draft.calls[piece.index]
        if piece.index not in self._calls:
            if identity and name:
                self._begin_call(piece.index, len(arguments))
        elif piece.arguments:
            self._tell(SAME_CALL if self._last == piece.index else CALL, len(piece.arguments))
            if self._last != piece.index:
                self._write(piece.index)
                self._last = piece.index

    def _begin_call(self, index: int, length: int) -> None:
        self._calls[index], self._last = None, index
        self._tell(CALL, length)
        self._write(index)

    def taken(self) -> bytes:
        """What was noted since this was asked for last."""
        start, self._kept = self._kept, len(self.told)
        return bytes(self.told[start:])

    def whole(self, *, stored: bool) -> bytes:
        """The whole course, once the answer has ended; with the words where none of them were ``stored``."""
        lost: dict[str, Any] = {}
        if self.draft.dropped:
            lost["calls"] = [[index, *call] for index, call in sorted(self.draft.dropped.items())]
        if not stored and self.told:
            lost |= {"text": self.draft.text, "reasoning": self.draft.reasoning}
        if not lost:
            return bytes(self.told)
        rest = orjson.dumps(lost)
        return _number(len(rest) << KIND_BITS | LOST) + rest + bytes(self.told)

    def close(self) -> None:
        """Nothing more comes: tell of calls that never got an id."""
        for index, (_, _, arguments) in sorted(self.draft.calls.items()):
            if index not in self._calls:
                self._begin_call(index, len(arguments))

    def _tell(self, kind: int, length: int) -> None:
        self._write(length << KIND_BITS | kind)

    def _write(self, number: int) -> None:
        self.told += _number(number)


def _number(number: int) -> bytes:
    """Seven bits a byte, the lowest first; the highest bit says that more follow."""
    if number < 128:
        return bytes((number,))
    found = bytearray()
    while number >= 128:
        found.append(number & 127 | 128)
        number >>= 7
    found.append(number)
    return bytes(found)


class Reader:
    """Reads the pieces of an answer from its course and its words; both may still grow."""

    def __init__(
        self,
        course: bytes | bytearray,
        texts: Callable[[], Sequence[str]],
        thoughts: Callable[[], Sequence[str]],
        calls: Mapping[int, Sequence[str]],
    ) -> None:
        self._course = course
        self._at = 0
        self._texts, self._thoughts = Tape(texts), Tape(thoughts)
        self._calls = dict(calls) if isinstance(course, bytes) else calls
        self._told: dict[int, list[int]] = {}
        self._last = 0

    @classmethod
    def live(cls, course: Course) -> Reader:
        """Of an answer that still comes."""
        draft = course.draft
        calls = draft.dropped or draft.calls
        return cls(course.told, lambda: draft.texts, lambda: draft.thoughts or (), calls)

    @classmethod
    def stored(cls, course: bytes, message: Message | None) -> Reader:
        """Of an answer that was stored; ``None``: nothing of it was."""
        text, thought = (message.text, message.reasoning or "") if message else ("", "")
        made = message.tool_calls if message else ()
        calls = {index: (call.id, call.name, call.arguments) for index, call in enumerate(made)}
        if made:
            scan = cls(course, tuple, tuple, {})
            for _ in scan.pieces():
                pass
            calls = dict(zip(sorted(scan._told), calls.values(), strict=False))
        return cls(course, lambda: (text,), lambda: (thought,), calls)

    def pieces(self, end: int | None = None) -> Iterator[Piece]:
        """The pieces from where reading stopped, up to the byte ``end`` of the course."""
        end = len(self._course) if end is None else end
        while self._at < end:
            number = self._number()
            kind, length = number & (1 << KIND_BITS) - 1, number >> KIND_BITS
            if kind == TEXT:
                yield Piece("text", self._texts.read(length))
            elif kind == REASONING:
                yield Piece("reasoning", self._thoughts.read(length))
            elif kind == LOST:
                self._take_lost(length)
            else:
                if kind == CALL:
                    self._last = self._number()
                yield self._call(length)

    def _take_lost(self, length: int) -> None:
        lost = orjson.loads(bytes(self._course[self._at : self._at + length]))
        self._at += length
        self._calls = {index: call for index, *call in lost.get("calls", ())} or self._calls
        if "text" in lost:
            text, thought = lost["text"], lost["reasoning"] or ""
            self._texts, self._thoughts = Tape(lambda: (text,)), Tape(lambda: (thought,))

    def _call(self, length: int) -> Piece:
        index = self._last
        place, start = self._told.setdefault(index, [len(self._told), 0])
        self._told[index][1] += length
        identity, name, arguments = self._calls.get(index, ("", "", ""))
        return Piece("call", arguments[start : start + length], place, identity or f"call_{index}", name)

    def _number(self) -> int:
        number = shift = 0
        while True:
            byte = self._course[self._at]
            self._at += 1
            number |= (byte & 127) << shift
            if byte < 128:
                return number
            shift += 7


class Tape:
    """Text in chunks, of which the last may still grow, read piece by piece."""

    def __init__(self, chunks: Callable[[], Sequence[str]]) -> None:
        self._chunks = chunks
        self._at = self._offset = 0

    def read(self, length: int) -> str:
        """The next characters; fewer where there are no more."""
        chunks, found = self._chunks(), ""
        while length and self._at < len(chunks):
            part = chunks[self._at][self._offset : self._offset + length]
            found, length = found + part, length - len(part)
            self._offset += len(part)
            if self._offset < len(chunks[self._at]) or self._at + 1 == len(chunks):
                break  # there is more of it, or may be later
            self._at, self._offset = self._at + 1, 0
        return found
