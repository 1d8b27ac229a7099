"""How do our deltas and replies look as chat completions?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from ...reply import CallPiece, Delta, Draft
from ...usage import Usage
from ..http.refusal import Said
from ..http.sse import DONE, failed_event
from .form import Named, Pieces

__all__ = ["Chunks", "Completions", "completion", "usage_written"]


AFTER = b'},"logprobs":null,"finish_reason":null}]}\n\n'
"""What stands behind the words of a chunk that brings nothing else."""


class Chunks:
    """Writes the chunks of one answer as events."""

    def __init__(self, named: Named, *, usage: bool) -> None:
        self._head = b"data: " + orjson.dumps(_head(named, "chat.completion.chunk"))[:-1]
        self._before = b'%b,"choices":[{"index":0,"delta":{"content":' % self._head
        self._wants_usage = usage
        self._named: set[int] = set()
        self._refusal = ""
        self._first = True

    def of(self, delta: Delta) -> bytes:
        """One delta as an event."""
        if not self._first and delta.words_only:
            return b"%b%b%b" % (self._before, orjson.dumps(delta.text), AFTER)
        value: dict[str, Any] = {}
        if self._first:
            self._first, value = False, {"role": "assistant", "content": ""}
        if delta.text:
            value["content"] = delta.text
        if delta.reasoning is not None:
            value["reasoning_content"] = delta.reasoning
        if delta.calls:
            value["tool_calls"] = [self._piece(each) for each in delta.calls]
        if delta.extra:
            value |= self._added(delta.extra)
        choice = {"index": 0, "delta": value, "logprobs": None, "finish_reason": delta.finish_reason or None}
        return b'%b,"choices":[%b]}\n\n' % (self._head, orjson.dumps(choice))

    def _added(self, extra: Mapping[str, object]) -> Mapping[str, object]:
        """What fields add: a refusal comes as far as it has come, and is told piece by piece."""
        refusal = extra.get("refusal")
        if not isinstance(refusal, str):
            return extra
        before, self._refusal = self._refusal, refusal
        return {**extra, "refusal": refusal.removeprefix(before)}

    def _piece(self, piece: CallPiece) -> dict[str, Any]:
        function: dict[str, Any] = {"arguments": piece.arguments}
        value: dict[str, Any] = {"index": piece.index, "function": function}
        if piece.index not in self._named:
            self._named.add(piece.index)
            value |= {"id": piece.id or f"call_{piece.index}", "type": "function"}
            function["name"] = piece.name
        return value

    def end(self, usage: Usage | None) -> bytes:
        """The end, before it the chunk of the usage where it is wanted, which has no choice."""
        if not self._wants_usage:
            return DONE
        return b'%b,"choices":[],"usage":%b}\n\n%b' % (self._head, orjson.dumps(usage_written(usage)), DONE)


class Completions:
    """The form of chat completions; ``usage``: the client wants it at the end of a stream."""

    says_repeats = True

    def __init__(self, *, streamed: bool, usage: bool) -> None:
        self.streamed = streamed
        self._usage = usage

    def pieces(self, named: Named) -> Pieces:
        """What writes the chunks of one answer."""
        return Chunks(named, usage=self._usage)

    def whole(self, named: Named, draft: Draft, usage: Usage | None) -> bytes:
        """A whole answer."""
        return completion(named, draft, usage)

    def failed(self, said: Said) -> bytes:
        """The event of an error."""
        return failed_event(said)


def completion(named: Named, draft: Draft, usage: Usage | None) -> bytes:
    """A whole answer."""
    message: dict[str, Any] = {"role": "assistant", "content": draft.text or None, "refusal": None}
    if draft.reasoning is not None:
        message["reasoning_content"] = draft.reasoning
    calls = draft.tool_calls
    if calls:
        message["tool_calls"] = [
            {"id": each.id, "type": "function", "function": {"name": each.name, "arguments": each.arguments}}
            for each in calls
        ]
    elif message["content"] is None:
        message["content"] = ""
    finish = draft.finish_reason or "stop"
    choice = {"index": 0, "message": message | draft.extra, "logprobs": None, "finish_reason": finish}
    head = _head(named, "chat.completion")
    return orjson.dumps({**head, "choices": [choice], "usage": usage_written(usage)})


def _head(named: Named, kind: str) -> dict[str, Any]:
    return {"id": named.id, "object": kind, "created": int(named.created), "model": named.model}


def usage_written(usage: Usage | None) -> dict[str, Any]:
    """Usage by OpenAI's names; zero where nothing is known."""
    usage = usage or Usage()
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.total,
        "prompt_tokens_details": {"cached_tokens": usage.cached or 0},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning or 0},
    }
