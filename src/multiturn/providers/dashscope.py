"""DashScope's own protocol: Qwen and its guests, by text or by several senses."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

import orjson

from ..messages import Trait
from ..reply import Delta
from ..window import Request
from .access import Access
from .call import Call
from .parameters import adapted, marked, written
from .passing import Passed
from .reading import JsonReader
from .transport import Transport

__all__ = ["DashScope", "choice_of", "native_messages"]

TEXT = "text-generation"
MULTIMODAL = "multimodal-generation"
SEES = ("-vl", "qvq", "-omni")
"""What the names of models hold that answer on the multimodal path; the catalogue wins."""
HINTS = ("min_pixels", "max_pixels", "total_pixels", "fps", "cache_control")


class DashScope:
    """A provider that speaks DashScope's native protocol.

    Text goes to the text path; what the catalogue or its name calls multimodal, and every request that
    holds an image, a sound or a film, goes to the other one with its messages in native parts.
    """

    def __init__(self, access: Access) -> None:
        self.name = access.profile.id
        self._profile = access.profile
        self._base_url = access.address
        self._headers = access.headers()
        self._faults = access.faults()
        self._transport = Transport(self._faults, access.patience, access.retry, access.budget)

    def stream(self, request: Request) -> AsyncIterator[Delta]:
        """Answer ``request``; with ``request.stream`` false the whole answer is one delta."""
        path = self._path(request)
        values = self._parameters(request)
        body = _body(request, values, multimodal=path == MULTIMODAL)
        call = replace(self._call(path, body, stream=request.stream), elsewhere=request.elsewhere)
        cumulative = request.stream and not values["incremental_output"]
        return self._transport.stream(
            call, lambda: JsonReader(self._faults, choice_of, cumulative=cumulative)
        )

    async def passed_native(self, body: bytes, *, multimodal: bool, stream: bool) -> Passed:
        """The answer to a ``body`` that somebody else wrote, as the bytes in which it comes. Asked once."""
        call = self._call(MULTIMODAL if multimodal else TEXT, body, stream=stream)
        return await self._transport.passed(call)

    def _call(self, path: str, body: bytes, *, stream: bool) -> Call:
        headers = {**self._headers, "Accept": "application/json"}
        if stream:
            headers |= {"Accept": "text/event-stream", "X-DashScope-SSE": "enable"}
        return Call(f"{self._base_url}/services/aigc/{path}/generation", body, stream, headers)

    async def close(self) -> None:
        """Close all connections."""
        await self._transport.close()

    def _path(self, request: Request) -> str:
        card = self._profile.cards.get(request.model)
        if card is not None and card.native is not None:
            return MULTIMODAL if card.native == "multimodal" else TEXT
        sees = Trait.MEDIA if card is None else card.media  # what it cannot see was left out
        senses = request.traits & sees or any(mark in request.model for mark in SEES)
        return MULTIMODAL if senses else TEXT

    def _parameters(self, request: Request) -> dict[str, Any]:
        values = adapted(self._profile, request)
        values.setdefault("result_format", "message")
        if request.stream:
            values.setdefault("incremental_output", True)
        else:
            values.pop("incremental_output", None)
        return values


def _body(request: Request, values: Mapping[str, Any], *, multimodal: bool) -> bytes:
    body = marked(request)
    messages: object = native_messages(orjson.loads(body)) if multimodal else orjson.Fragment(body)
    return written({"model": request.model, "input": {"messages": messages}, "parameters": values})


# --------------------------------------------------------------------------------- native parts


def native_messages(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """OpenAI-style messages with their content in native parts.

    >>> native_messages([{"role": "user", "content": "你好"}])
    [{'role': 'user', 'content': [{'text': '你好'}]}]
    """
    return [{**message, "content": _native_content(message.get("content"))} for message in messages]


def _native_content(content: object) -> list[Any] | str:
    """Content in native parts; a call without words keeps an empty text, for an empty part is refused."""
    if isinstance(content, list):
        return [_native_part(part) for part in content]
    return [{"text": content}] if content else ""


def _native_part(part: object) -> object:
    if not isinstance(part, Mapping):
        return part
    hints = {name: part[name] for name in HINTS if name in part}
    match part.get("type"):
        case "text":
            return {"text": part.get("text") or "", **hints}
        case "image_url" | "image":
            return {"image": _address(part, "image_url", "image"), **hints}
        case "video_url" | "video":
            return {"video": _address(part, "video_url", "video"), **hints}
        case "input_audio" | "audio_url" | "audio":
            return {"audio": _sound_of(part), **hints}
        case _:
            return part


def _address(part: Mapping[str, Any], *names: str) -> object:
    value = next((part[name] for name in names if name in part), "")
    return value.get("url") if isinstance(value, Mapping) else value


def _sound_of(part: Mapping[str, Any]) -> object:
    """The address of a sound: base64 without one becomes a ``data:`` URL."""
    value = part.get("input_audio")
    if not isinstance(value, Mapping):
        return _address(part, "input_audio", "audio_url", "audio")
    data = str(value.get("data") or "")
    if data.startswith(("http://", "https://", "data:", "oss://", "file://")):
        return data
    return f"data:audio/{value.get('format') or 'wav'};base64,{data}"


# --------------------------------------------------------------------------------------- reading


def choice_of(value: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The first choice; an answer in the old ``text`` format is read as one."""
    output = value.get("output")
    if not isinstance(output, Mapping):
        return None
    choices = output.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], Mapping):
        return choices[0]
    return {"message": {"content": output.get("text")}, "finish_reason": output.get("finish_reason")}
