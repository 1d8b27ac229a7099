"""How is an answer in JSON read, event by event or whole?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..errors import ProviderError
from ..phrases import Reason
from ..reply import Delta
from .deltas import NOTHING, AnswerReader
from .events import Event
from .faults import Faults
from .frame import Frame, frame_of
from .values import opened

__all__ = ["ChoiceOf", "JsonReader"]

ChoiceOf = Callable[[Mapping[str, Any]], Mapping[str, Any] | None]
"""Finds our choice in a piece of an answer; ``None`` where the object is no piece of an answer."""

NO_PIECES = frozenset(("ping", "keepalive", "keep-alive", "heartbeat", "done"))
"""Events that carry nothing of the answer."""
LESSONS = 3
"""How often a frame is looked for: where each piece has a time of its own, there is none."""


class JsonReader:
    """Reads one answer of an endpoint whose events are JSON objects; ``choice_of`` knows their shape."""

    def __init__(self, faults: Faults, choice_of: ChoiceOf, *, cumulative: bool = False) -> None:
        self._faults = faults
        self._choice_of = choice_of
        self._answer = AnswerReader(faults, cumulative=cumulative)
        self.done = False
        self._frame: Frame | None = None
        self._lessons = LESSONS

    @property
    def finished(self) -> bool:
        """Whether the finish reason was seen."""
        return self._answer.finished

    def event(self, event: Event, *, complete: bool = True) -> Delta | None:
        """The delta of one event; ``None`` where it is no sign of life."""
        if event.name in NO_PIECES:
            return None
        data = event.data.strip()
        if self._frame is not None and (delta := self._framed(event, self._frame.words(data))):
            return delta
        if data == b"[DONE]":
            self.done = True
            return self._answer.end()
        try:
            value, damaged = opened(data)
        except ValueError as error:
            if self.finished:
                return None
            raise self._unreadable(event, complete=complete) from error
        if event.name == "error" or not isinstance(value, Mapping):
            raise self._faults.reported(value, event.status)
        delta = self._read(value, event.status, damaged=damaged)
        if delta is not None:
            self._learn(data, delta)
        return delta

    def _learn(self, data: bytes, delta: Delta) -> None:
        """Find the frame of pieces that are like this one. What names another answer ends the last one."""
        if delta.model is not None or delta.response_id is not None:
            self._frame = None
        if self._lessons and delta.text:
            self._lessons -= 1
            self._frame = frame_of(data, delta.text, self._words)

    def _framed(self, event: Event, words: str | None) -> Delta | None:
        """The delta of a piece of which nothing but the words is new."""
        if not words or event.name or event.status is not None or not self._answer.at_rest:
            return None
        return Delta(words)

    def _words(self, value: Mapping[str, Any]) -> object:
        """The words of a piece that brings nothing else."""
        plain = self._answer.plain(value, self._choice_of(value) or {})
        return plain and plain.text

    def end(self) -> Delta:
        """What is left when the stream ends; raises `StreamCut` where its finish reason never came."""
        return self._answer.end()

    def whole(self, status: int, body: bytes) -> Delta:
        """The one delta of an answer that was not streamed."""
        try:
            value, damaged = opened(body)
        except ValueError:
            raise self._faults.answered(status, body) from None
        delta = self._read(value, None, damaged=damaged) if isinstance(value, Mapping) else None
        if delta is None or delta is NOTHING:
            raise self._faults.answered(status, body)
        return self._answer.joined(delta)

    def _read(self, value: Mapping[str, Any], status: int | None, *, damaged: bool) -> Delta | None:
        if error := self._faults.found(value, status):
            raise error
        choice = self._choice_of(value)
        return None if choice is None else self._answer.piece(value, choice, damaged=damaged)

    def _unreadable(self, event: Event, *, complete: bool) -> ProviderError:
        text = event.data[:80].decode("utf-8", "replace")
        if event.name == "error":
            return self._faults.reported(text, event.status)
        if not complete:
            return self._answer.cut(Reason("why.in_a_piece"))
        return self._faults.unreadable("event_json", text=text)
