"""What did somebody else's SDK answer? A chat completion, or its chunks, read as deltas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from .errors import MessageInvalid
from .phrases import Reason
from .providers.deltas import AnswerReader
from .providers.faults import Faults
from .reply import Delta

__all__ = ["Chunks", "read_completion"]

SDK = "the SDK"
"""What stands in errors where a provider is named."""
ANSWERS = frozenset(("content", "tool_calls", "refusal", "audio"))
"""A message says something in one of these."""


def read_completion(value: object) -> Delta:
    """A whole answer: a chat completion or its message, as an SDK's object or a dictionary, or text.
    Raises `MessageInvalid` for anything else.

    >>> read_completion({"role": "assistant", "content": "27"}).text
    '27'
    """
    if isinstance(value, str):
        return Delta(value, finish_reason="stop")
    answer = _plain(value)
    choice = _choice(answer) if "choices" in answer else {"message": answer}
    if not choice:
        raise MessageInvalid(Reason("why.no_choice"))
    delta = _reader().piece(answer, {**choice, "message": _message(choice.get("message"))}, damaged=False)
    return (
        delta
        if delta.finish_reason
        else replace(delta, finish_reason="tool_calls" if delta.calls else "stop")
    )


class Chunks:
    """Reads the chunks of one streamed answer, in order."""

    def __init__(self) -> None:
        self._reader = _reader()

    def read(self, chunk: object) -> Delta:
        """What one chunk adds."""
        answer = _plain(chunk)
        return self._reader.piece(answer, _choice(answer), damaged=False)


def _reader() -> AnswerReader:
    return AnswerReader(Faults(SDK))


def _plain(value: object) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return value
    dump = getattr(value, "model_dump", None) or getattr(value, "to_dict", None)
    if callable(dump):
        dumped: Mapping[str, Any] = dump()
        return dumped
    raise MessageInvalid(Reason("why.answer_kind", value=f"{value!r:.60}"))


def _choice(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """The first choice; an empty one where there is none."""
    choices = answer.get("choices") or ()
    if not isinstance(choices, Sequence) or not all(isinstance(each, Mapping) for each in choices):
        raise MessageInvalid(Reason("why.choices_list", value=f"{choices!r:.60}"))
    return choices[0] if choices else {}


def _message(value: object) -> Mapping[str, Any]:
    """The message of an answer: it is the assistant's, and says something."""
    if not isinstance(value, Mapping) or not value.keys() & ANSWERS:
        raise MessageInvalid(Reason("why.no_message", value=f"{value!r:.60}"))
    if value.get("role", "assistant") != "assistant":
        raise MessageInvalid(Reason("why.answer_role", role=f"{value['role']!r:.40}"))
    _check_calls(value.get("tool_calls") or ())
    if not isinstance(value.get("content") or "", str | Sequence):
        raise MessageInvalid(Reason("why.content", value=f"{value['content']!r:.60}"))
    return value


def _check_calls(calls: object) -> None:
    if isinstance(calls, str) or not isinstance(calls, Sequence):
        raise MessageInvalid(Reason("why.calls_list", value=f"{calls!r:.60}"))
    for call in calls:
        if not isinstance(call, Mapping) or not isinstance(call.get("function"), Mapping):
            raise MessageInvalid(Reason("why.call_function", call=f"{call!r:.60}"))
