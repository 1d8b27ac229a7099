"""What does a chat completion say? A whole answer, or one chunk of it, read as a Delta."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .errors import MessageInvalid
from .reply import CallPiece, Delta
from .usage import Usage

__all__ = ["read_chunk", "read_completion"]

READ = frozenset(("role", "content", "reasoning_content", "reasoning", "tool_calls"))


def read_completion(value: object) -> Delta:
    """A whole answer: a chat completion or its message, as an SDK's object or a dictionary, or text.

    >>> read_completion({"role": "assistant", "content": "27"}).text
    '27'
    """
    if isinstance(value, str):
        return Delta(value, finish_reason="stop")
    answer = _plain(value)
    choices = answer.get("choices")
    if choices is None:
        return _read(answer, _finish_of(answer), answer)
    if not choices:
        raise MessageInvalid("the completion holds no choice")
    choice = choices[0]
    message = choice.get("message") or {}
    return _read(message, choice.get("finish_reason") or _finish_of(message), answer)


def read_chunk(value: object) -> Delta:
    """One chunk of a streamed answer."""
    chunk = _plain(value)
    choices = chunk.get("choices") or [{}]
    return _read(choices[0].get("delta") or {}, choices[0].get("finish_reason"), chunk)


def _finish_of(message: Mapping[str, Any]) -> str:
    return "tool_calls" if message.get("tool_calls") else "stop"


def _plain(value: object) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return value
    dump = getattr(value, "model_dump", None) or getattr(value, "to_dict", None)
    if callable(dump):
        dumped: Mapping[str, Any] = dump()
        return dumped
    raise MessageInvalid(f"an answer is a completion, its message, or text, not {value!r:.60}")


def _read(message: Mapping[str, Any], finish: str | None, answer: Mapping[str, Any]) -> Delta:
    reasoning = message.get("reasoning_content")
    extra = {name: v for name, v in message.items() if name not in READ and v is not None and v != []}
    return Delta(
        text=_text(message.get("content")),
        reasoning=message.get("reasoning") if reasoning is None else reasoning,
        calls=tuple(_piece(call, place) for place, call in enumerate(message.get("tool_calls") or ())),
        finish_reason=finish,
        usage=read_usage(answer.get("usage")),
        model=answer.get("model"),
        response_id=answer.get("id"),
        extra=extra or None,
    )


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, Sequence) else ()
    return "".join(str(part.get("text") or "") for part in parts if isinstance(part, Mapping))


def _piece(call: Mapping[str, Any], place: int) -> CallPiece:
    function = call.get("function") or {}
    index = call.get("index")
    return CallPiece(
        place if index is None else index,
        call.get("id") or "",
        function.get("name") or "",
        function.get("arguments") or "",
    )


def read_usage(value: object) -> Usage | None:
    """Usage as chat completions report it, with the places where providers put cached tokens."""
    usage = value if isinstance(value, Mapping) or value is None else _plain(value)
    if not usage:
        return None
    prompt, output = usage.get("prompt_tokens_details") or {}, usage.get("completion_tokens_details") or {}
    return Usage(
        input=usage.get("prompt_tokens") or 0,
        output=usage.get("completion_tokens") or 0,
        cached=_first(
            prompt.get("cached_tokens"), usage.get("cached_tokens"), usage.get("prompt_cache_hit_tokens")
        ),
        cache_write=prompt.get("cache_write_tokens"),
        reasoning=output.get("reasoning_tokens"),
        raw=dict(usage),
    )


def _first(*values: int | None) -> int | None:
    return next((value for value in values if value is not None), None)
