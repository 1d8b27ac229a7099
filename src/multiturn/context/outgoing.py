"""What of a stored message may be sent again, and in which form does the target take it?

Bytes that need no change are passed on as they are; only what a rule of the target touches is opened.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Literal

import orjson

from ..decision import Code
from ..errors import MessageInvalid
from ..messages import MEDIA_KINDS, MEDIA_NAMES, Entry, Trait
from ..path import MessageRow
from ..phrases import Reason
from ..window import Target

__all__ = [
    "IMAGE_KINDS",
    "STRIPPED",
    "Piece",
    "Shaper",
    "check_input",
    "image_allowance",
    "joined",
    "merged",
    "quoting",
    "weight",
    "with_mark",
    "with_note",
]

IMAGE_KINDS = frozenset(kind for kind, trait in MEDIA_KINDS.items() if trait is Trait.IMAGE)
STRIPPED = str(Code.REASONING_STRIPPED)
REASONING_PLACEHOLDER = " "
"""Stands where a provider demands reasoning that was lost or came from another model."""
EMPTY_RESULT = "(empty)"
"""Stands where a tool gave nothing: no provider takes a null for its result."""
SHORT = 8 << 10
"""Bytes of a message up to which it is kept in memory with its quotation for a while."""
ALWAYS_OPENED = Trait.EXTRA | Trait.BARE | Trait.INSTRUCTION


@dataclass(frozen=True, slots=True)
class Piece:
    """One message on its way out: its role, its JSON, and its ``tokens``. Where it is not as it was stored,
    ``counted`` are the messages that these tokens stand for (none: it was made up here), and what it costs
    more or less than they do is still to be counted."""

    role: str
    body: bytes
    tokens: int = 0
    omitted: tuple[str, ...] = ()
    counted: tuple[bytes, ...] | None = ()

    @property
    def origin(self) -> tuple[bytes, ...]:
        """The messages that its tokens stand for."""
        return (self.body,) if self.counted is None else self.counted

    def saying(self, body: bytes) -> Piece:
        """The same message with other words or fields."""
        if body == self.body:
            return self
        return Piece(self.role, body, self.tokens, self.omitted, self.origin)


@dataclass(slots=True)
class Shaper:
    """Shapes messages for one target, in the order in which they are sent.

    ``called`` remembers whether a tool call was sent already: some providers want reasoning on every
    assistant message from there on. ``images`` says how many images of a message may stay; a message
    that is not in it keeps all. ``None`` stands for a policy without a limit.
    """

    target: Target
    images: Mapping[tuple[int, int], int] | None = None
    called: bool = False
    seen: int = field(default=0)
    """`Trait` bits of everything shaped so far."""

    def shape(self, row: MessageRow) -> Piece:
        """The message as the target takes it."""
        self.called = self.called or bool(row.traits & Trait.TOOL_CALL)
        self.seen |= row.traits & ~Trait.QUOTED
        reasoning = reasoning_for(row, self.target, called=self.called)
        stripped = (STRIPPED,) if row.reasoning is not None and reasoning is None else ()
        if reasoning is None and not self._touches(row):
            return _as_stored(row, stripped)
        message = orjson.loads(row.body)
        omitted = self._shape_content(message, row) + stripped
        self._shape_fields(message)
        if reasoning is not None:
            message[self.target.reasoning_field] = reasoning
        piece = Piece(message["role"], row.body, row.tokens, omitted, None).saying(orjson.dumps(message))
        if row.quote:
            piece = with_note(piece, row.quote.decode())
        return replace(piece, tokens=0, counted=()) if row.quote or row.traits & Trait.QUOTED else piece

    def _touches(self, row: MessageRow) -> bool:
        traits, target = row.traits, self.target
        media = traits & Trait.MEDIA
        return bool(
            traits & ALWAYS_OPENED
            or (traits & Trait.LISTED and not target.parts)
            or media & ~target.media
            or (media & Trait.IMAGE and self.images is not None)
        )

    def _shape_content(self, message: dict[str, Any], row: MessageRow) -> tuple[str, ...]:
        omitted: tuple[str, ...] = ()
        content = message.get("content")
        if isinstance(content, list):
            content, omitted = self._shape_parts(content, row)
            message["content"] = content
        if row.traits & Trait.TOOL_CALL and not content:
            self._shape_bare_call(message)
        elif row.role == "tool" and content is None:
            message["content"] = EMPTY_RESULT
        return omitted

    def _shape_bare_call(self, message: dict[str, Any]) -> None:
        """A call without words: providers differ in what must stand where the words would."""
        if self.target.bare_calls == "omit":
            message.pop("content", None)
        elif self.target.bare_calls == "null" or not isinstance(message.get("content"), str):
            message["content"] = None

    def _shape_parts(self, parts: list[Any], row: MessageRow) -> tuple[Any, tuple[str, ...]]:
        allowed = None if self.images is None else self.images.get((row.turn, row.place))
        images = sum(part["type"] in IMAGE_KINDS for part in parts)
        drop = 0 if allowed is None else images - allowed
        kept: list[Any] = []
        omitted: list[str] = []
        for part in parts:
            if part["type"] == "text" and not part["text"] and row.traits & Trait.TOOL_CALL:
                continue
            if MEDIA_KINDS.get(part["type"], 0) & ~self.target.media:
                omitted.append(str(Code.MODALITY_UNSUPPORTED))
                kept.append(_left_out(part))
            elif part["type"] in IMAGE_KINDS and drop > 0:
                drop -= 1
                omitted.append(str(Code.OUTSIDE_WINDOW))
                kept.append(_left_out(part))
            else:
                kept.append(part)
        only_text = all(part["type"] == "text" for part in kept)
        if only_text and (not self.target.parts or omitted):
            return "\n".join(part["text"] for part in kept), tuple(dict.fromkeys(omitted))
        return kept, tuple(dict.fromkeys(omitted))

    def _shape_fields(self, message: dict[str, Any]) -> None:
        if message["role"] == "developer" and not self.target.developer:
            message["role"] = "system"
        if not self.target.names:
            message.pop("name", None)
        for name in [name for name, value in message.items() if value is None and name != "content"]:
            del message[name]


def _as_stored(row: MessageRow, omitted: tuple[str, ...]) -> Piece:
    """The message in its stored bytes, with the quotation in front of it, which was counted with it. One
    that its quotation was taken from is counted anew."""
    if row.quote:
        return Piece(row.role, quoting(row.body, row.quote), row.tokens, omitted, None)
    taken = row.traits & Trait.QUOTED
    return Piece(row.role, row.body, 0 if taken else row.tokens, omitted, () if taken else None)


def check_input(entries: Iterable[Entry | MessageRow], target: Target) -> None:
    """Raises `MessageInvalid` where the new input holds what the model cannot see: it would not be
    sent whole."""
    for entry in entries:
        unseen = entry.traits & Trait.MEDIA & ~target.media
        if entry.role == "user" and unseen:
            kinds = ", ".join(name for trait, name in MEDIA_NAMES.items() if trait & unseen)
            raise MessageInvalid(Reason("why.parts_unseen", model=target.model, kinds=kinds))


def weight(row: MessageRow, target: Target) -> int:
    """What a message costs in uncalibrated tokens, with its reasoning where the target takes it."""
    if row.reasoning and _takes(row, target, called=True):
        return row.tokens + row.reasoning_tokens
    return row.tokens


def reasoning_for(row: MessageRow, target: Target, *, called: bool) -> str | None:
    """The reasoning that goes back with a message, by the target's rule; ``called`` says whether a tool
    call was sent before it, or in it."""
    if row.role != "assistant" or not target.thinking:
        return None
    required = _requires(row, target, called=called)
    if _takes(row, target, called=called) and row.reasoning is not None:
        return row.reasoning.decode()
    return REASONING_PLACEHOLDER if required else None


def _requires(row: MessageRow, target: Target, *, called: bool) -> bool:
    match target.reasoning_required:
        case "always":
            return True
        case "tool_calls":
            return bool(row.traits & Trait.TOOL_CALL)
        case "after_tool_call":
            return called
        case _:
            return False


def _takes(row: MessageRow, target: Target, *, called: bool) -> bool:
    """Whether stored reasoning is sent: never to a model it did not come from."""
    if not target.thinking or row.model != target.model:
        return False
    if target.reasoning in ("keep_all", "keep_all_if_enabled") or _requires(row, target, called=called):
        return True
    return target.reasoning == "keep_in_tool_loop" and bool(row.traits & Trait.TOOL_CALL)


def _left_out(part: Mapping[str, Any]) -> dict[str, str]:
    kind = str(part["type"]).removeprefix("input_").removesuffix("_url")
    return {"type": "text", "text": f"[{kind} left out]"}


def image_allowance(
    rows: Sequence[MessageRow], newest: Container[tuple[int, int]], images: Literal["last"] | int
) -> dict[tuple[int, int], int]:
    """How many images each message may keep when only the newest are sent.

    ``rows`` are those that are sent, in time order; ``newest`` the places of the new input, which is sent
    whole whatever the limit, and uses it up. ``"last"`` keeps those of the newest message that has any.
    """
    allowance: dict[tuple[int, int], int] = {}
    left = -1 if images == "last" else images
    for row in reversed(rows):
        if not row.traits & Trait.IMAGE:
            continue
        count = sum(part["type"] in IMAGE_KINDS for part in orjson.loads(row.body)["content"])
        if left < 0:
            left = count
        if (row.turn, row.place) not in newest:
            allowance[row.turn, row.place] = min(count, left)
        left = max(0, left - count)
    return allowance


def merged(pieces: Sequence[Piece]) -> list[Piece]:
    """Neighbours of the same role as one message, for providers that want roles to alternate.

    Tool results stay apart, and so does what follows a message that calls tools.
    """
    result: list[Piece] = []
    for piece in pieces:
        if result and piece.role == result[-1].role and piece.role in ("user", "assistant"):
            result[-1] = joined(result[-1], piece)
        else:
            result.append(piece)
    return result


def joined(one: Piece, other: Piece) -> Piece:
    """Two messages of the same role as one: their contents one after the other. It carries a name only
    where both do, and the same: nobody's words are given to somebody else."""
    first, second = orjson.loads(one.body), orjson.loads(other.body)
    both = first | second
    if first.get("name") != second.get("name"):
        both.pop("name", None)
    both["content"] = _joined_content(first.get("content"), second.get("content"))
    for name in ("reasoning_content", "reasoning"):
        if name in first and name in second:
            both[name] = first[name] + second[name]
    return Piece(
        one.role,
        orjson.dumps(both),
        one.tokens + other.tokens,
        one.omitted + other.omitted,
        one.origin + other.origin,
    )


def with_note(piece: Piece | None, words: str) -> Piece:
    """The user's message with these words in front of its own; a message of its own where there is none."""
    if piece is None:
        return Piece("user", orjson.dumps({"role": "user", "content": words}))
    message = orjson.loads(piece.body)
    message["content"] = _joined_content(words, message["content"])
    return piece.saying(orjson.dumps(message))


def quoting(body: bytes, quote: bytes) -> bytes:
    """The user's message with a block of recalled turns in front of its own words."""
    return _quoting_lately(body, quote) if len(body) <= SHORT else _quoting(body, quote)


@lru_cache(maxsize=256)
def _quoting_lately(body: bytes, quote: bytes) -> bytes:
    """It stands so in every window from then on: it is put together once."""
    return _quoting(body, quote)


def _quoting(body: bytes, quote: bytes) -> bytes:
    return with_note(Piece("user", body), quote.decode()).body


def with_mark(piece: Piece, words: str) -> Piece:
    """The message with these words behind its own."""
    message = orjson.loads(piece.body)
    message["content"] = _joined_content(message["content"], words)
    return piece.saying(orjson.dumps(message))


def _joined_content(one: Any, other: Any) -> Any:
    if not one or not other:
        return other or one
    if isinstance(one, str) and isinstance(other, str):
        return f"{one}\n\n{other}"
    return _listed(one) + _listed(other)


def _listed(content: Any) -> list[Any]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content)
