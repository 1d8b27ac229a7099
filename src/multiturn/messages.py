"""What is a message? A role and its parts; and the sealed form in which it is stored and sent.

A `Message` is what people look at. An `Entry` is the same message sealed: its JSON bytes as chat
completions writes them, its token count and its `Trait` bits. Windows are built from entries, so a
message that nobody looks at is never opened.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

__all__ = [
    "MEDIA_KINDS",
    "MEDIA_NAMES",
    "Audio",
    "Entry",
    "File",
    "Image",
    "Message",
    "Opaque",
    "Part",
    "Reasoning",
    "Role",
    "Text",
    "ToolCall",
    "ToolResult",
    "Trait",
    "Video",
]

Role = Literal["system", "developer", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class Text:
    """Words."""

    text: str


@dataclass(frozen=True, slots=True)
class Image:
    """A picture: a URL, or a ``data:`` URL that carries its bytes in base64."""

    url: str
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Audio:
    """Sound: a URL, a ``data:`` URL or bare base64, with its format (``wav``, ``mp3``)."""

    data: str
    format: str | None = None


@dataclass(frozen=True, slots=True)
class Video:
    """A film: a URL, or the URLs of its frames in order."""

    url: str = ""
    frames: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class File:
    """A document: an id the provider gave, or its bytes as a ``data:`` URL."""

    id: str | None = None
    data: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function the model wants called; ``arguments`` is the JSON text exactly as the model wrote it."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a called function returned, as text."""

    call_id: str
    text: str


@dataclass(frozen=True, slots=True)
class Reasoning:
    """What a thinking model wrote before it answered. Empty text differs from no reasoning at all."""

    text: str


@dataclass(frozen=True, slots=True)
class Opaque:
    """A part of a kind we do not know, kept as the JSON bytes in which it came."""

    json: bytes


Part = Text | Image | Audio | Video | File | ToolCall | ToolResult | Reasoning | Opaque


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation.

    ``parts`` hold what it says; ``extra`` the fields we do not interpret, as received. ``created_at``
    is in seconds since 1970 (UTC). ``model`` is the model it came from, as ``provider/model``; only
    messages a model wrote have one.

    >>> Message("user", (Text("你好"),)).text
    '你好'
    """

    role: Role
    parts: tuple[Part, ...]
    name: str | None = None
    id: str = ""
    created_at: float | None = None
    model: str | None = None
    extra: Mapping[str, object] | None = None

    @property
    def text(self) -> str:
        """Its words: text parts and the text of tool results, joined."""
        return "".join(part.text for part in self.parts if isinstance(part, Text | ToolResult))

    @property
    def reasoning(self) -> str | None:
        """What the model thought before this message; ``None`` where nothing was kept."""
        return next((part.text for part in self.parts if isinstance(part, Reasoning)), None)

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls this message asks for."""
        return tuple(part for part in self.parts if isinstance(part, ToolCall))


class Trait:
    """What is special about a message or a turn, as bits of one number. No bit at all is the ordinary
    case, which every provider takes as it stands: text by the user, text by the assistant.

    Plain numbers, not an enumeration: windows test them for every message, and an `enum.IntFlag` made
    a list with tool calls twice as slow to fit.
    """

    TOOL_CALL = 1
    TOOL_RESULT = 1 << 1
    REASONING = 1 << 2
    IMAGE = 1 << 3
    AUDIO = 1 << 4
    VIDEO = 1 << 5
    FILE = 1 << 6
    INSTRUCTION = 1 << 7
    """A system or developer message in the middle of the path."""
    LISTED = 1 << 8
    """Content is a list of parts, not a string."""
    BARE = 1 << 9
    """Content is empty or absent."""
    EXTRA = 1 << 10
    """Carries fields some provider may not know (a name, annotations, nulls)."""
    IRREGULAR = 1 << 11
    """Of a turn: not exactly one user message followed by one assistant message."""
    PINNED = 1 << 12
    """Of a turn: the user wants it in every window."""
    EXCLUDED = 1 << 13
    """The user left it out by hand."""
    RETRACTED = 1 << 14
    """Of a turn: withdrawn, with a reason."""
    STOPPED = 1 << 15
    """Of a turn: the user stopped the reply; what had arrived is kept and sent."""
    MODERATED = 1 << 16
    """Of a turn: the provider refused its content."""
    OPEN = 1 << 17
    """Of a turn: a tool call has no result."""
    QUOTED = 1 << 18
    """Older turns were recalled and are quoted in its user message."""
    DELETED = 1 << 19
    """What it said was deleted; it only keeps its place."""

    MEDIA = IMAGE | AUDIO | VIDEO | FILE
    """Everything that is not text."""


MEDIA_NAMES = {Trait.IMAGE: "image", Trait.AUDIO: "audio", Trait.VIDEO: "video", Trait.FILE: "file"}
"""The bits of `Trait.MEDIA` in words."""
MEDIA_KINDS: Mapping[str, int] = {
    "image_url": Trait.IMAGE,
    "image": Trait.IMAGE,
    "input_image": Trait.IMAGE,
    "input_audio": Trait.AUDIO,
    "audio": Trait.AUDIO,
    "audio_url": Trait.AUDIO,
    "video_url": Trait.VIDEO,
    "video": Trait.VIDEO,
    "file": Trait.FILE,
    "input_file": Trait.FILE,
}
"""What a part of content is, by its ``type``; a type that is not here is text, or unknown to us."""


class Entry(NamedTuple):
    """A sealed message.

    ``body`` is its JSON object as chat completions writes it, reasoning apart; ``tokens`` the
    uncalibrated count of the body; ``reasoning`` the UTF-8 text of the thinking (``None`` where there
    was none, ``b""`` where it was empty); ``facts`` a JSON object with the ``id``, ``created_at`` and
    ``model`` an imported message brought along, and where it came as items of the Responses API, what
    these said beside it (``response_items``) and their own ids (``item_ids``).
    """

    role: str
    traits: int
    tokens: int
    body: bytes
    reasoning: bytes | None = None
    reasoning_tokens: int = 0
    facts: bytes | None = None
