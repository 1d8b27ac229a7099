"""How does a message look as OpenAI-style JSON? Into a dictionary, and out of one.

What comes in may be a string, a dictionary, an object of a vendor's SDK, a dump full of nulls, or a
`Message`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import orjson

from .errors import MessageInvalid
from .messages import (
    Audio,
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
    Video,
)
from .phrases import Reason

__all__ = ["opened", "plain", "written"]


# ----------------------------------------------------------------------------------- coming in


def plain(value: object) -> dict[str, Any]:
    """``value`` as an OpenAI-style dictionary of its own; nothing is checked yet. A `Message` brings its
    time and its model along; it will get an id of its own.

    >>> plain("你好")
    {'role': 'user', 'content': '你好'}
    """
    if isinstance(value, str):
        return {"role": "user", "content": value}
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Message):
        return written(value) | _present(created_at=value.created_at, model=value.model)
    dump = getattr(value, "model_dump", None) or getattr(value, "to_dict", None)
    if callable(dump):
        return dict(dump())
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return {"role": "user", "content": [_part_written(part) for part in value]}
    raise MessageInvalid(Reason("why.message_kind", value=f"{value!r:.60}"))


# ------------------------------------------------------------------------------------ going out


def written(message: Message) -> dict[str, Any]:
    """A `Message` as an OpenAI-style dictionary, reasoning as ``reasoning_content``. What it is wins over
    its ``extra`` fields."""
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
    return value | {name: each for name, each in (message.extra or {}).items() if name not in value}


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


def _part_read(part: dict[str, Any]) -> Part:
    """A part as a record where the record says all of it, else as it came."""
    read = _part_known(part)
    return read if read and _part_written(read) == part else Opaque(orjson.dumps(part))


def _part_known(part: dict[str, Any]) -> Part | None:  # noqa: PLR0911  (one line for each kind of part)
    match part:
        case {"type": "text", "text": str(text)}:
            return Text(text)
        case {"type": "image_url", "image_url": dict(image)} if "url" in image:
            return Image(image["url"], image.get("detail"))
        case {"type": "input_audio", "input_audio": dict(audio)} if "data" in audio:
            return Audio(audio["data"], audio.get("format"))
        case {"type": "video_url", "video_url": {"url": url}}:
            return Video(url)
        case {"type": "video", "video": list(frames)}:
            return Video(frames=tuple(frames))
        case {"type": "file", "file": dict(file)}:
            return File(file.get("file_id"), file.get("file_data"), file.get("filename"))
        case _:
            return None
