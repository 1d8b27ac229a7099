"""In which deltas did an answer come? They are noted once it has ended, so that it can be told again in the
very same ones: the `multiturn.course` of its pieces, and which of them came together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from .course import CALL, KIND_BITS, LOST, REASONING, SAME_CALL, TEXT, Course, Reader, Tape
from .messages import Message, ToolCall
from .reply import CallPiece, Delta, Draft

__all__ = ["Rendition", "retold"]

JOINED, EXTRA, FIRST = range(5, 8)
"""Further kinds: what follows came in the same delta as what is before it; the length of JSON that follows,
fields of the message by name; the next piece is the first of a call, whose place among all calls follows:
the number says whether it came without an id or a name."""
NO_ID, NO_NAME = 1, 2
REFUSAL = "refusal"


class Rendition(Course):
    """Keeps the deltas of an answer until it has ended. One that breaks off is asked for anew: of it nothing
    is noted."""

    def __init__(self, draft: Draft, *, keep_reasoning: bool = True) -> None:
        super().__init__(draft, keep_reasoning=keep_reasoning)
        self._deltas: list[Delta] = []

    def add(self, delta: Delta) -> None:
        """Take note of a delta; what comes after the finish reason is told together with it."""
        if self._deltas and self._deltas[-1].finish_reason:
            self._deltas[-1] += delta
        else:
            self._deltas.append(delta)

    def close(self) -> None:
        """Nothing more comes."""

    def whole(self, *, stored: bool) -> bytes:
        """The whole answer, once it has ended; with the words where none of them were ``stored``."""
        if self.draft.finish_reason is None or self.draft.dropped:
            return b""
        self.told.clear()
        self._calls.clear()
        self._last = None
        if not stored:
            reasoning = self.draft.reasoning if self._keep_reasoning else None
            self._write_json(LOST, {"text": self.draft.text, "reasoning": reasoning or ""})
        for delta in self._deltas:
            self._note(delta)
        return bytes(self.told)

    def _note(self, delta: Delta) -> None:
        start = len(self.told)
        thought = delta.reasoning if self._keep_reasoning else None
        if thought is not None:
            self._tell(REASONING, len(thought))
        if delta.text:
            self._join(start)
            self._tell(TEXT, len(delta.text))
        for piece in delta.calls:
            self._join(start)
            self._note_call(piece)
        if delta.extra:
            self._join(start)
            self._write_json(EXTRA, self._fields(delta.extra))
        hidden = delta.reasoning is not None and not delta.finish_reason
        if len(self.told) == start and not hidden:
            self._tell(TEXT, 0)

    def _join(self, start: int) -> None:
        if len(self.told) > start:
            self._tell(JOINED, 0)

    def _note_call(self, piece: CallPiece) -> None:
        if piece.index not in self._calls:
            self._calls[piece.index] = None
            self._tell(FIRST, (not piece.id) * NO_ID | (not piece.name) * NO_NAME)
            self._write(sorted(self.draft.calls).index(piece.index))
        self._tell(SAME_CALL if self._last == piece.index else CALL, len(piece.arguments))
        if self._last != piece.index:
            self._write(piece.index)
            self._last = piece.index

    def _fields(self, extra: Mapping[str, object]) -> dict[str, object]:
        """Fields as they were told: of a refusal, which grew to what is stored, its length; any other as it
        is."""
        said = self.draft.extra.get(REFUSAL)
        return {
            name: len(str(value)) if name == REFUSAL and _begins(said, value) else [value]
            for name, value in extra.items()
        }

    def _write_json(self, kind: int, value: object) -> None:
        body = orjson.dumps(value)
        self._tell(kind, len(body))
        self.told += body


def _begins(text: object, part: object) -> bool:
    return isinstance(text, str) and isinstance(part, str) and text.startswith(part)


def retold(course: bytes, message: Message | None, finish_reason: str | None) -> Sequence[Delta]:
    """The deltas of an answer from its course and the stored message; none where its words are gone."""
    reader = _Reader(course, message)
    deltas = reader.deltas()
    if not deltas or not reader.readable:
        return ()
    return [*deltas[:-1], replace(deltas[-1], finish_reason=finish_reason)]


class _Reader(Reader):
    """Reads the deltas of an answer that was stored."""

    def __init__(self, course: bytes, message: Message | None) -> None:
        text, thought = (message.text, message.reasoning or "") if message else ("", "")
        super().__init__(course, lambda: (text,), lambda: (thought,), {})
        self.readable = message is not None
        self._extra: Mapping[str, Any] = (message.extra if message else None) or {}
        self._made = message.tool_calls if message else ()
        self._open: dict[int, Tape] = {}
        self._first: tuple[int, int] | None = None

    def deltas(self) -> list[Delta]:
        """All of them, but for the finish reason."""
        found: list[Delta] = []
        joined = False
        while self._at < len(self._course):
            number = self._number()
            kind, length = number & (1 << KIND_BITS) - 1, number >> KIND_BITS
            if kind == JOINED:
                joined = True
            elif kind == FIRST:
                self._first = length, self._number()
            elif kind == LOST:
                self._take_lost(length)
                self.readable = True
            else:
                part = self._part(kind, length)
                found[len(found) - joined :] = [found[-1] + part if joined else part]
                joined = False
        return found

    def _part(self, kind: int, length: int) -> Delta:
        if kind == TEXT:
            return Delta(self._texts.read(length))
        if kind == REASONING:
            return Delta(reasoning=self._thoughts.read(length))
        if kind == EXTRA:
            return Delta(extra=self._fields(length))
        if kind == CALL:
            self._last = self._number()
        return Delta(calls=(self._call_piece(length),))

    def _call_piece(self, length: int) -> CallPiece:
        identity = name = ""
        if self._first is not None:
            lack, place = self._first
            self._first = None
            call = self._made[place] if place < len(self._made) else ToolCall("", "", "")
            identity, name = "" if lack & NO_ID else call.id, "" if lack & NO_NAME else call.name
            self._open[self._last] = Tape(lambda: (call.arguments,))
        return CallPiece(self._last, identity, name, self._open[self._last].read(length))

    def _fields(self, length: int) -> dict[str, object]:
        given: dict[str, Any] = orjson.loads(bytes(self._course[self._at : self._at + length]))
        self._at += length
        return {
            name: value[0] if isinstance(value, list) else str(self._extra.get(name, ""))[:value]
            for name, value in given.items()
        }
