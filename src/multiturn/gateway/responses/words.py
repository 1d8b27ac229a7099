"""What does the input of a response say? What of it is history, what answers calls, what is new."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from ...errors import MessageEmpty
from ...messages import Entry, Trait
from ...sealing import seal, split_turns
from ...tokens import count_message
from ..http.refusal import Refusal
from ..items.items import Item
from ..items.messages import messages_of
from .compactions import MARK, opened

__all__ = ["Words", "check_new", "words_of"]

Message = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Words:
    """The input of a response as messages: turns that were spoken elsewhere, results that answer open calls
    (``None``: there are none), what is new."""

    earlier: Sequence[Sequence[Entry]]
    results: tuple[str, ...] | None
    entries: Sequence[Entry]
    open_calls: Sequence[str] = ()
    """The calls that wait for results where the response goes."""


def words_of(items: Sequence[Item], open_calls: Sequence[str], held: Container[bytes]) -> Words:
    """What the input says. ``open_calls`` are those that the turn before waits for: where the client sends
    them once more with their results, they are not said twice, and neither is what is ``held`` by that turn.
    What stands for a compaction is in every window. Raises `Refusal` and `MessageInvalid`."""
    compactions = {item["id"]: item for item in items if item["type"] == "compaction" and "id" in item}
    messages = [each for each in messages_of(items, opened) if not _repeats(each, open_calls)]
    messages = _without_held(messages, open_calls, held)
    messages = [_sealed_up(each, compactions.get(each.get("id"))) for each in messages]
    made = {call["id"] for each in messages for call in each.get("tool_calls") or ()}
    results = [each for each in messages if each["role"] == "tool" and each["tool_call_id"] not in made]
    if not messages:
        return Words((), None, ())
    if not results:
        *earlier, new = split_turns([_sealed(each) for each in messages])
        return Words(earlier, None, new)
    others = [each for each in messages if each not in results]
    if any(each["role"] == "assistant" for each in others):
        raise Refusal(400, "results_first", param="input")
    entries = [_sealed(each) for each in (*results, *others)]
    return Words((), tuple(each["tool_call_id"] for each in results), entries, open_calls)


def _sealed_up(message: Message, compaction: Item | None) -> Message:
    """The message that stands for a compaction, which is told again as it came."""
    if compaction is None:
        return message
    trace = {name: value for name, value in compaction.items() if name != "id"}
    return message | {"response_items": [trace], "item_ids": [compaction["id"]]}


def _sealed(message: Message) -> Entry:
    entry = seal(message, count_message)
    compacted = str(message.get("id", "")).startswith(MARK)
    return entry._replace(traits=entry.traits | Trait.PINNED) if compacted else entry


def check_new(words: Words) -> None:
    """Raises `MessageEmpty` or `Refusal` where there is nothing to answer. What only the client sent is not
    told back: calls without a result are not named."""
    entries = words.entries
    if words.results is not None:
        return
    if all(entry.traits & Trait.BARE and not entry.traits & Trait.TOOL_CALL for entry in entries):
        raise MessageEmpty
    bodies = [
        orjson.loads(each.body) for each in entries if each.traits & (Trait.TOOL_CALL | Trait.TOOL_RESULT)
    ]
    made = [call["id"] for body in bodies for call in body.get("tool_calls") or ()]
    given = {body.get("tool_call_id") for body in bodies}
    if not given.issuperset(made):
        raise Refusal(400, "tool_results_incomplete", param="input")
    if entries[-1].role == "assistant":
        raise Refusal(400, "nothing_new", param="input")
    if not any(entry.role == "user" for entry in entries):
        raise Refusal(400, "user_missing", param="input")


def _repeats(message: Message, open_calls: Sequence[str]) -> bool:
    """Whether this message only repeats calls that are open."""
    calls = [call["id"] for call in message.get("tool_calls") or ()]
    return bool(calls) and set(calls) <= set(open_calls)


def _without_held(
    messages: list[Message], open_calls: Sequence[str], held: Container[bytes]
) -> list[Message]:
    """The messages but for those before the newest results that the turn holds already."""
    last = max((place for place, each in enumerate(messages) if each["role"] == "tool"), default=0)
    return [
        each
        for place, each in enumerate(messages)
        if place >= last or each.get("tool_call_id") in open_calls or _sealed(each).body not in held
    ]
