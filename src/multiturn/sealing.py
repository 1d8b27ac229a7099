"""How is a message checked, and sealed for the store?

It leaves as an `Entry`: JSON bytes that say the same, or not at all. What JSON would change (NaN,
integers beyond 64 bits, half surrogates, objects that are not JSON) is refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeGuard

import orjson

from .errors import MessageEmpty, MessageInvalid
from .messages import MEDIA_KINDS, Entry, Trait
from .phrases import Reason
from .wire import plain

__all__ = [
    "Count",
    "as_dict",
    "check_results",
    "encoded",
    "encoded_run",
    "is_ordinary",
    "seal",
    "seal_input",
    "split_turns",
    "unwritable",
]

Count = Callable[[Mapping[str, Any]], int]
"""Counts the tokens of one message, given as a dictionary."""

ROLES = frozenset(("system", "developer", "user", "assistant", "tool"))
TEXT_ROLES = frozenset(("system", "user", "assistant"))
REASONING_FIELDS = ("reasoning_content", "reasoning")
NULL_MEANS_ABSENT = frozenset(("tool_calls", "function_call", "refusal", "audio", "annotations", "name"))
PLAIN_FIELDS = frozenset(("role", "content", "tool_calls", "tool_call_id"))
DEPTH_LIMIT = 64
STRICT = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS


def seal(value: object, count: Count, model: str | None = None) -> Entry:
    """``value`` as a sealed message. ``model`` says which model wrote it, where none is named in it.

    Raises `MessageInvalid` for what is no message or would not survive as JSON.
    """
    if model is None and is_ordinary(value):
        role = value["role"]
        instruction = Trait.INSTRUCTION if role == "system" else 0
        return Entry(role, instruction, count(value), _trimmed(_dumped(value)))
    message = plain(value)
    facts = _facts(message, model)
    reasoning = _take_reasoning(message)
    for name in NULL_MEANS_ABSENT & message.keys():
        if message[name] in (None, [], ()):
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
    if type(value) is not dict or len(value) != 2:
        return False
    role, content = value.get("role"), value.get("content")
    if type(role) is not str or role not in TEXT_ROLES:
        return False
    return type(content) is str and content != "" and not content.isspace()


def seal_input(value: object, count: Count) -> Entry:
    """A user's input, which must say something: raises `MessageEmpty` where it does not."""
    entry = seal(value, count)
    if entry.role != "user":
        raise MessageInvalid(Reason("why.input_role", role=entry.role))
    if entry.traits & Trait.BARE:
        raise MessageEmpty
    return entry


def encoded(value: object) -> bytes:
    """``value`` as JSON bytes that say exactly the same; raises `MessageInvalid` where JSON cannot."""
    _check_value(value, DEPTH_LIMIT)
    return _trimmed(_dumped(value))


def encoded_run(messages: Sequence[Mapping[str, str]]) -> bytes:
    """Ordinary messages (see `is_ordinary`) as JSON, joined by commas."""
    return _dumped(messages)[1:-1]


def _trimmed(written: bytes) -> bytes:
    """The same bytes, to be kept: those that orjson gives hold kilobytes more than they say."""
    return bytes(memoryview(written))


def _dumped(value: object) -> bytes:
    try:
        return orjson.dumps(value, option=STRICT)
    except TypeError as error:
        raise MessageInvalid(unwritable(error)) from error


UNWRITABLE = {"64-bit": "integer", "surrogates": "surrogate", "key must be": "key", "serializable: ": "kind"}


def as_dict(value: object) -> object:
    """What JSON's writer makes of a mapping that is no dictionary: its ``default``."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no JSON")


def unwritable(error: TypeError) -> Reason:
    """Why JSON cannot say something: what its writer complained of."""
    name = next((name for word, name in UNWRITABLE.items() if word in str(error)), "problem")
    return Reason(f"why.json_{name}", problem=error, kind=str(error).rpartition(" ")[2])


def _check_value(value: object, depth: int) -> None:
    """Raises `MessageInvalid` for what orjson would write as something else, without a word."""
    match value:
        case dict() | list() | tuple():
            if not depth:
                raise MessageInvalid(Reason("why.json_depth", limit=DEPTH_LIMIT))
            for item in value.values() if isinstance(value, dict) else value:
                _check_value(item, depth - 1)
        case float() if not math.isfinite(value):
            raise MessageInvalid(Reason("why.json_number", value=value))
        case None | str() | int() | float():
            pass
        case _:
            raise MessageInvalid(Reason("why.json_value", value=f"{value!r:.60}"))


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise MessageInvalid(Reason("why.reasoning_surrogate")) from error


def _take_reasoning(message: dict[str, Any]) -> str | None:
    """The reasoning under either name, taken out of the message; one that says something goes first."""
    names = [name for name in REASONING_FIELDS if name in message]
    values = [message.pop(n) for n in names if message[n] is None or isinstance(message[n], str)]
    said = [value for value in values if value is not None]
    return next(filter(None, said), said[0] if said else None)


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
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except (ValueError, OverflowError) as error:
        raise MessageInvalid(Reason("why.time", value=f"{value!r:.60}")) from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _list(value: object) -> object:
    if not isinstance(value, list):
        raise MessageInvalid(Reason("why.not_list", value=f"{value!r:.60}"))
    return value


FACT_FIELDS: Mapping[str, Callable[[Any], object]] = {
    "id": str,
    "created_at": _seconds,
    "model": str,
    "text_replaced": bool,
    "response_items": _list,
    "item_ids": _list,
}
"""What is kept beside a message and never sent. ``text_replaced`` says that characters nobody could
read were replaced when the message arrived; ``response_items`` and ``item_ids`` what items of the
Responses API said beside the message they are."""


# ------------------------------------------------------------------------------------- checking


def _checked(message: dict[str, Any]) -> int:
    """The traits of a message, or `MessageInvalid`."""
    role = message.get("role")
    if not isinstance(role, str) or role not in ROLES:
        raise MessageInvalid(Reason("why.role", role=f"{role!r:.40}", known=", ".join(sorted(ROLES))))
    traits = _content_traits(message.get("content"))
    if "tool_calls" in message:
        traits |= _call_traits(message)
    if role == "tool":
        traits |= Trait.TOOL_RESULT
        if not isinstance(message.get("tool_call_id"), str) or not message["tool_call_id"]:
            raise MessageInvalid(Reason("why.tool_call_id"))
    elif role in ("system", "developer"):
        traits |= Trait.INSTRUCTION
    if not message.keys() <= PLAIN_FIELDS:
        traits |= Trait.EXTRA
    return traits


def _content_traits(content: object) -> int:
    if isinstance(content, str):
        return 0 if content.strip() else Trait.BARE
    if content is None:
        return Trait.BARE
    if not isinstance(content, list | tuple):
        raise MessageInvalid(Reason("why.content", value=f"{content!r:.60}"))
    traits = Trait.LISTED
    empty = True
    for part in content:
        kind = part.get("type") if isinstance(part, Mapping) else None
        if not isinstance(kind, str):
            raise MessageInvalid(Reason("why.part_kind", part=f"{part!r:.60}"))
        if kind == "text" and not isinstance(part.get("text"), str):
            raise MessageInvalid(Reason("why.part_text", part=f"{part!r:.60}"))
        traits |= MEDIA_KINDS.get(kind, 0)
        empty = empty and kind == "text" and not part["text"].strip()
    return traits | (Trait.BARE if empty else 0)


def _call_traits(message: dict[str, Any]) -> int:
    calls = message["tool_calls"]
    if message["role"] != "assistant" or not isinstance(calls, list | tuple):
        raise MessageInvalid(Reason("why.calls_place"))
    for call in calls:
        function = call.get("function") if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping):
            raise MessageInvalid(Reason("why.call_function", call=f"{call!r:.60}"))
        named = isinstance(call.get("id"), str) and call["id"] and isinstance(function.get("name"), str)
        if not named or not isinstance(function.get("arguments"), str):
            raise MessageInvalid(Reason("why.call_fields"))
    return Trait.TOOL_CALL


# ---------------------------------------------------------------------------------------- turns


def check_results(messages: Iterable[Mapping[str, Any]], made: Iterable[str] = ()) -> None:
    """Raises `MessageInvalid` for a result whose call no assistant message before it in its turn makes: it
    could never be sent. ``made`` are the calls of the stored turn that the first messages go on with."""
    stored = list(made)
    known = set(stored)
    for message in messages:
        if message.get("role") == "user":
            known.clear()
        elif message.get("role") == "tool" and message["tool_call_id"] not in known:
            call = message["tool_call_id"]
            if stored:
                raise MessageInvalid(Reason("why.call_of_another", call=call, open=", ".join(stored)))
            raise MessageInvalid(Reason("why.call_missing", call=call))
        known |= {call["id"] for call in message.get("tool_calls") or ()}


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
