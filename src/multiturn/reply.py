"""What came back? Deltas as they arrive, the Draft they add up to, and the Reply people get."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .conversations import Turn
from .messages import Message, Part, Reasoning, Text, ToolCall
from .usage import Cost, Usage
from .window import Window

__all__ = ["CallPiece", "Delta", "Draft", "Reply"]

CHUNK = 512
"""Characters of one chunk of a growing text, about."""


@dataclass(frozen=True, slots=True)
class CallPiece:
    """A piece of a tool call: the first piece of each ``index`` brings ``id`` and ``name``; the pieces
    of ``arguments`` add up."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class Delta:
    """What one piece of an answer adds. A whole answer that was not streamed is one delta.

    ``text`` and ``reasoning`` are additions (never cumulative); ``reasoning`` is ``None`` where the
    provider said nothing about it, which differs from ``""``. ``finish_reason``, ``usage``, ``model``
    and ``response_id`` come when the provider sends them; the last value counts. ``extra`` holds
    fields of the answer's message that we do not interpret (``refusal``, ``annotations``).
    """

    text: str = ""
    reasoning: str | None = None
    calls: tuple[CallPiece, ...] = ()
    finish_reason: str | None = None
    usage: Usage | None = None
    model: str | None = None
    response_id: str | None = None
    extra: Mapping[str, object] | None = None

    @property
    def words_only(self) -> bool:
        """Whether it brings text and nothing else."""
        others = self.reasoning is not None or self.calls or self.finish_reason or self.extra
        return bool(self.text) and not others

    def __add__(self, other: Delta) -> Delta:
        """Both as one: the other came after this."""
        thought = other.reasoning
        if self.reasoning is not None:
            thought = self.reasoning + (other.reasoning or "")
        return Delta(
            text=self.text + other.text,
            reasoning=thought,
            calls=self.calls + other.calls,
            finish_reason=other.finish_reason or self.finish_reason,
            usage=other.usage or self.usage,
            model=other.model or self.model,
            response_id=other.response_id or self.response_id,
            extra={**(self.extra or {}), **(other.extra or {})} or None,
        )


@dataclass(slots=True)
class Draft:
    """An answer while it grows: deltas go in, the assistant's message comes out."""

    texts: list[str] = field(default_factory=list)
    thoughts: list[str] | None = None
    calls: dict[int, list[str]] = field(default_factory=dict)
    dropped: dict[int, list[str]] = field(default_factory=dict)
    """Calls that were not finished when the answer ended."""
    finish_reason: str | None = None
    usage: Usage | None = None
    model: str | None = None
    response_id: str | None = None
    extra: dict[str, object] = field(default_factory=dict)

    def add(self, delta: Delta) -> None:
        """Take one more delta."""
        if delta.text:
            _lengthen(self.texts, delta.text)
        if delta.reasoning is not None:
            if self.thoughts is None:
                self.thoughts = []
            _lengthen(self.thoughts, delta.reasoning)
        for piece in delta.calls:
            self._add_call(piece)
        self.finish_reason = delta.finish_reason or self.finish_reason
        self.usage = delta.usage or self.usage
        self.model = delta.model or self.model
        self.response_id = delta.response_id or self.response_id
        if delta.extra:
            self.extra.update(delta.extra)

    def drop_calls(self) -> None:
        """The answer ends early: calls that may lack their end are not made."""
        self.dropped, self.calls = self.calls, {}

    def _add_call(self, piece: CallPiece) -> None:
        call = self.calls.setdefault(piece.index, ["", "", ""])
        call[0] = call[0] or piece.id
        call[1] = call[1] or piece.name
        call[2] += piece.arguments

    @property
    def text(self) -> str:
        """The words so far."""
        return "".join(self.texts)

    @property
    def reasoning(self) -> str | None:
        """The thinking so far; ``None`` where the provider sent none."""
        return None if self.thoughts is None else "".join(self.thoughts)

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tool calls so far, by index; a call without an id gets one by its place."""
        return tuple(
            ToolCall(identity or f"call_{index}", name, arguments)
            for index, (identity, name, arguments) in sorted(self.calls.items())
        )

    @property
    def empty(self) -> bool:
        """Whether nothing has arrived that could be kept: no words, no call, and no field such as a
        refusal either."""
        return not (self.calls or self.extra or self.text.strip())

    def message(self, model: str | None = None) -> Message:
        """The assistant's message as it stands."""
        parts: list[Part] = []
        if self.thoughts is not None:
            parts.append(Reasoning("".join(self.thoughts)))
        if self.texts:
            parts.append(Text(self.text))
        return Message("assistant", (*parts, *self.tool_calls), model=model, extra=self.extra or None)


def _lengthen(chunks: list[str], text: str) -> None:
    """Add text at the end. The last chunk grows, the others stay: a word takes several times its length
    where each lies in memory by itself."""
    if chunks and len(chunks[-1]) < CHUNK:
        chunks[-1] += text
    else:
        chunks.append(text)


@dataclass(frozen=True, slots=True)
class Reply:
    """What a turn answered. ``cost`` is ``None`` where the price is unknown; ``window`` says what the
    model saw and why; ``turn`` is the stored turn."""

    text: str
    reasoning: str | None
    tool_calls: tuple[ToolCall, ...]
    finish_reason: str | None
    usage: Usage | None
    cost: Cost | None
    window: Window
    turn: Turn
    model: str = ""
    """The model that answered, as ``provider/model``."""
