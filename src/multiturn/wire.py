"""How does a message look as OpenAI-style JSON, and how is it sealed for the store?

What comes in may be a string, a dictionary, an object of a vendor's SDK, a dump full of nulls, or a
`Message`. It leaves as an `Entry`: JSON bytes that say the same, or not at all. What JSON would change
(NaN, integers beyond 64 bits, half surrogates, objects that are not JSON) is refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeGuard, cast

import orjson

from .errors import MessageEmpty, MessageInvalid
from .messages import (
    Audio,
    Entry,
    File,
    Image,
    Message,
    Opaque,
    Part,
    Reasoning,
    Role,
    Text,
    ToolCall,
    ToolResult,
    Trait,
    Video,
)

__all__ = [
    "Count",
    "encoded",
    "is_ordinary",
    "opened",
    "plain",
    "seal",
    "seal_input",
    "split_turns",
    "written",
]

Count = Callable[[Mapping[str, Any]], int]
"""Counts the tokens of one message, given as a dictionary."""

ROLES = frozenset(("system", "developer", "user", "assistant", "tool"))
TEXT_ROLES = frozenset(("system", "user", "assistant"))
REASONING_FIELDS = ("reasoning_content", "reasoning")
NULL_MEANS_ABSENT = frozenset(
    ("tool_calls", "function_call", "refusal", "audio", "annotations", "name", "id", "created_at", "model")
)
PLAIN_FIELDS = frozenset(("role", "content", "tool_calls", "tool_call_id"))
DEPTH_LIMIT = 64
STRICT = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS
MEDIA_KINDS = {
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


# ----------------------------------------------------------------------------------- coming in


def plain(value: object) -> dict[str, Any]:
    """``value`` as an OpenAI-style dictionary of its own; nothing is checked yet.

    >>> plain("你好")
    {'role': 'user', 'content': '你好'}
    """
    if isinstance(value, str):
        return {"role": "user", "content": value}
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Message):
        return written(value)
    dump = getattr(value, "model_dump", None) or getattr(value, "to_dict", None)
    if callable(dump):
        return dict(dump())
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return {"role": "user", "content": [_part_written(part) for part in value]}
    raise MessageInvalid(
        f"a message is text, a list of parts, a dictionary or an SDK object, not {value!r:.60}"
    )


def seal(value: object, count: Count, model: str | None = None) -> Entry:
    """``value`` as a sealed message. ``model`` says which model wrote it, where none is named in it.

    Raises `MessageInvalid` for what is no message or would not survive as JSON.
    """
    if model is None and is_ordinary(value):
        role = value["role"]
        instruction = int(Trait.INSTRUCTION) if role == "system" else 0
        return Entry(role, instruction, count(value), encoded(value))
    message = plain(value)
    facts = _facts(message, model)
    reasoning = _take_reasoning(message)
    for name in NULL_MEANS_ABSENT & message.keys():
        if message[name] is None or message[name] == []:
            del message[name]
    traits = _checked(message)
    body = encoded(message)
    thought = None if reasoning is None else _utf8(reasoning)
    return Entry(
        role=message["role"],
        traits=traits if thought is None else traits | Trait.REASONING,
        tokens=count(message),
        body=body,
        reasoning=thought,
        reasoning_tokens=count({"role": "assistant", "content": reasoning}) if reasoning else 0,
        facts=facts,
    )


def is_ordinary(value: object) -> TypeGuard[dict[str, str]]:
    """Role and text and nothing else: nearly every message is, and needs no closer look."""
    if type(value) is not dict or len(value) != 2 or value.get("role") not in TEXT_ROLES:
        return False
    content = value.get("content")
    return type(content) is str and content != "" and not content.isspace()


def seal_input(value: object, count: Count) -> Entry:
    """A user's input, which must say something: raises `MessageEmpty` where it does not."""
    entry = seal(value, count)
    if entry.role != "user":
        raise MessageInvalid(f"the input of a turn has the role user, not {entry.role}")
    if entry.traits & Trait.BARE:
        raise MessageEmpty
    return entry


def encoded(value: object) -> bytes:
    """``value`` as JSON bytes that say exactly the same; raises `MessageInvalid` where JSON cannot."""
    body = _dumped(value)
    if b"null" in body or body.count(b"{") + body.count(b"[") > DEPTH_LIMIT:
        _check_values(value, DEPTH_LIMIT)
    return body


def encoded_run(messages: Sequence[Mapping[str, str]]) -> bytes:
    """Ordinary messages (see `is_ordinary`) as JSON, joined by commas."""
    return _dumped(messages)[1:-1]


def _dumped(value: object) -> bytes:
    try:
        return orjson.dumps(value, option=STRICT)
    except (TypeError, RecursionError) as error:
        raise MessageInvalid(f"it cannot be written as JSON ({error})") from error


def _check_values(value: object, depth: int) -> None:
    if depth < 0:
        raise MessageInvalid(f"it is nested deeper than {DEPTH_LIMIT} levels")
    if isinstance(value, float) and not math.isfinite(value):
        raise MessageInvalid(f"{value} is not a JSON number")
    if isinstance(value, Mapping):
        for item in value.values():
            _check_values(item, depth - 1)
    elif isinstance(value, list | tuple):
        for item in value:
            _check_values(item, depth - 1)


def _utf8(text: object) -> bytes:
    if not isinstance(text, str):
        raise MessageInvalid(f"reasoning is text, not {text!r:.60}")
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise MessageInvalid("the reasoning holds half a character (a lone surrogate)") from error


def _take_reasoning(message: dict[str, Any]) -> str | None:
    found: str | None = None
    for name in REASONING_FIELDS:
        if name in message and (message[name] is None or isinstance(message[name], str)):
            value = message.pop(name)
            found = value if found is None else found
    return found


def _facts(message: dict[str, Any], model: str | None) -> bytes | None:
    facts: dict[str, object] = {}
    for name in FACT_FIELDS:
        value = message.pop(name, None)
        if value is not None:
            facts[name] = FACT_FIELDS[name](value)
    if model and "model" not in facts:
        facts["model"] = model
    return encoded(facts) if facts else None


def _seconds(value: object) -> float:
    """A time as seconds since 1970: a number, a `datetime`, or ISO 8601 text (UTC where no zone stands)."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError as error:
        raise MessageInvalid(f"created_at is not a time: {value!r:.60}") from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


FACT_FIELDS: Mapping[str, Callable[[Any], object]] = {
    "id": str,
    "created_at": _seconds,
    "model": str,
    "text_replaced": bool,
}
"""What is kept beside a message and never sent. ``text_replaced`` says that characters nobody could
read were replaced when the message arrived."""


# ------------------------------------------------------------------------------------- checking


def _checked(message: dict[str, Any]) -> int:
    """The traits of a message, or `MessageInvalid`."""
    role = message.get("role")
    if role not in ROLES:
        raise MessageInvalid(f"the role {role!r:.40} is none of {', '.join(sorted(ROLES))}")
    traits = _content_traits(message.get("content"))
    if role == "assistant":
        traits |= _call_traits(message)
    elif role == "tool":
        traits |= Trait.TOOL_RESULT
        if not isinstance(message.get("tool_call_id"), str) or not message["tool_call_id"]:
            raise MessageInvalid("a tool message names the call it answers in tool_call_id")
    elif role in ("system", "developer"):
        traits |= Trait.INSTRUCTION
    if not message.keys() <= PLAIN_FIELDS:
        traits |= Trait.EXTRA
    return traits


def _content_traits(content: object) -> int:
    if isinstance(content, str):
        return 0 if content.strip() else int(Trait.BARE)
    if content is None:
        return int(Trait.BARE)
    if not isinstance(content, list | tuple):
        raise MessageInvalid(f"content is text or a list of parts, not {content!r:.60}")
    traits = int(Trait.LISTED)
    empty = True
    for part in content:
        if not isinstance(part, Mapping) or not isinstance(part.get("type"), str):
            raise MessageInvalid(f"a part of the content has no type: {part!r:.60}")
        kind = MEDIA_KINDS.get(part["type"], 0)
        traits |= kind
        empty = empty and not kind and part["type"] == "text" and not str(part.get("text") or "").strip()
    return traits | (int(Trait.BARE) if empty else 0)


def _call_traits(message: dict[str, Any]) -> int:
    calls = message.get("tool_calls")
    if calls is None:
        return 0
    if not isinstance(calls, list | tuple):
        raise MessageInvalid("tool_calls is a list")
    for call in calls:
        function = call.get("function") if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping):
            raise MessageInvalid(f"a tool call has no function: {call!r:.60}")
        named = isinstance(call.get("id"), str) and call["id"] and isinstance(function.get("name"), str)
        if not named or not isinstance(function.get("arguments"), str):
            raise MessageInvalid("a tool call needs an id, a function name and arguments as JSON text")
    return int(Trait.TOOL_CALL)


# ------------------------------------------------------------------------------------ going out


def written(message: Message) -> dict[str, Any]:
    """A `Message` as an OpenAI-style dictionary, reasoning as ``reasoning_content``."""
    value: dict[str, Any] = {"role": message.role}
    parts = [p for p in message.parts if not isinstance(p, ToolCall | ToolResult | Reasoning)]
    result = next((p for p in message.parts if isinstance(p, ToolResult)), None)
    if result:
        value |= {"tool_call_id": result.call_id, "content": result.text}
    elif len(parts) == 1 and isinstance(parts[0], Text):
        value["content"] = parts[0].text
    elif parts:
        value["content"] = [_part_written(part) for part in parts]
    else:
        value["content"] = None
    if message.name is not None:
        value["name"] = message.name
    if message.tool_calls:
        value["tool_calls"] = [_call_written(call) for call in message.tool_calls]
    if message.reasoning is not None:
        value["reasoning_content"] = message.reasoning
    return value | dict(message.extra or {})


def _call_written(call: ToolCall) -> dict[str, Any]:
    return {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments},
    }


def _part_written(part: object) -> object:  # noqa: PLR0911  (one line for each kind of part)
    match part:
        case str(text) | Text(text):
            return {"type": "text", "text": text}
        case Image():
            detail = {"detail": part.detail} if part.detail else {}
            return {"type": "image_url", "image_url": {"url": part.url, **detail}}
        case Audio():
            return {"type": "input_audio", "input_audio": _present(data=part.data, format=part.format)}
        case Video():
            frames = {"type": "video", "video": list(part.frames)}
            return frames if part.frames else {"type": "video_url", "video_url": {"url": part.url}}
        case File():
            file = _present(file_id=part.id, file_data=part.data, filename=part.name)
            return {"type": "file", "file": file}
        case Opaque():
            return orjson.loads(part.json)
        case _:
            return part


def _present(**fields: object) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value is not None}


def opened(
    body: bytes,
    reasoning: bytes | None = None,
    facts: bytes | None = None,
    *,
    id: str = "",
    created_at: float | None = None,
    model: str | None = None,
) -> Message:
    """The message in sealed bytes, for somebody to look at. Facts it brought along win over the rest."""
    value = orjson.loads(body)
    known = orjson.loads(facts) if facts else {}
    role = cast("Role", value.pop("role"))
    content = value.pop("content", None)
    thought: list[Part] = [] if reasoning is None else [Reasoning(reasoning.decode())]
    calls = [_call_read(call) for call in value.pop("tool_calls", None) or ()]
    if role == "tool":
        parts: list[Part] = [ToolResult(value.pop("tool_call_id"), _joined(content))]
    else:
        parts = _parts_read(content)
    return Message(
        role,
        (*thought, *parts, *calls),
        name=value.pop("name", None),
        id=known.get("id", id),
        created_at=known.get("created_at", created_at),
        model=known.get("model", model if role == "assistant" else None),
        extra=value | ({"text_replaced": True} if known.get("text_replaced") else {}) or None,
    )


def _joined(content: object) -> str:
    return "".join(part.text for part in _parts_read(content) if isinstance(part, Text))


def _call_read(call: Mapping[str, Any]) -> ToolCall:
    function = call["function"]
    return ToolCall(call["id"], function["name"], function["arguments"])


def _parts_read(content: object) -> list[Part]:
    if isinstance(content, str):
        return [Text(content)] if content else []
    return [_part_read(part) for part in cast("Sequence[dict[str, Any]]", content or ())]


def _part_read(part: dict[str, Any]) -> Part:  # noqa: PLR0911  (one line for each kind of part)
    match part:
        case {"type": "text", "text": str(text)} if len(part) == 2:
            return Text(text)
        case {"type": "image_url", "image_url": dict(image)} if image.keys() - {"detail"} == {"url"}:
            return Image(image["url"], image.get("detail"))
        case {"type": "input_audio", "input_audio": dict(audio)} if audio.keys() - {"format"} == {"data"}:
            return Audio(audio["data"], audio.get("format"))
        case {"type": "video_url", "video_url": {"url": str(url)}}:
            return Video(url)
        case {"type": "video", "video": list(frames)} if len(part) == 2:
            return Video(frames=tuple(frames))
        case {"type": "file", "file": dict(file)} if file.keys() <= {"file_id", "file_data", "filename"}:
            return File(file.get("file_id"), file.get("file_data"), file.get("filename"))
        case _:
            return Opaque(orjson.dumps(part))


# ---------------------------------------------------------------------------------------- turns


def split_turns(entries: Iterable[Entry]) -> list[list[Entry]]:
    """Entries in time order as turns. Each user message begins one, together with the instructions
    that stand right before it; what stands before the first user message is a group of its own.
    """
    turns: list[list[Entry]] = []
    pending: list[Entry] = []
    for entry in entries:
        if entry.role in ("system", "developer"):
            pending.append(entry)
            continue
        if entry.role == "user" or not turns:
            turns.append([])
        turns[-1] += [*pending, entry]
        pending = []
    if pending:
        turns = turns or [[]]
        turns[-1] += pending
    return turns
