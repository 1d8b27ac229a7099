"""Which awkward shapes does a history have?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from .reading import History, Item, Json

__all__ = ["SHAPES", "shapes"]

Test = Callable[[History], bool]


def shapes(messages: Sequence[Json]) -> Counter[str]:
    """One for each shape of `SHAPES` that the history has."""
    history = History(messages)
    return Counter(name for name, test in SHAPES.items() if test(history))


def _any(test: Callable[[Item], bool]) -> Test:
    return lambda history: any(test(item) for item in history.items)


def _raw(test: Callable[[Json], bool]) -> Test:
    return lambda history: any(test(message) for message in history.messages)


def _neighbours(role: str) -> Test:
    return lambda history: any(
        before.role == after.role == role
        for before, after in zip(history.items, history.items[1:], strict=False)
    )


def _middle(history: History) -> bool:
    return any(item.instructs for item in history.items[history.leading :])


def _inside_group(history: History) -> bool:
    return any(item.instructs and history.interrupted(item.index) for item in history.items)


def _swapped(history: History) -> bool:
    return any(
        [history.items[place].result for place in found]
        != [call[0] for call in history.items[caller].calls if call[0] not in history.open[caller]]
        for caller, found in history.results.items()
        if found
    )


def _open(whole: bool) -> Test:
    return lambda history: any(
        ids and (not history.results[caller]) == whole for caller, ids in history.open.items()
    )


def _reused(history: History) -> bool:
    return max(Counter(call[0] for item in history.items for call in item.calls).values(), default=0) > 1


def _many_steps(history: History) -> bool:
    newest = history.newest if history.newest is not None else len(history.items)
    return sum(1 for item in history.items[newest:] if item.calls) >= 25


def _opens(history: History) -> bool:
    after = history.items[history.leading : history.leading + 1]
    return bool(after) and after[0].role == "assistant"


def _last(role: str) -> Test:
    return lambda history: bool(history.items) and history.items[-1].role == role


def _characters(*wanted: str) -> Test:
    return _any(lambda item: any(character in item.text for character in wanted))


def _field(name: str) -> Test:
    return _raw(lambda message: message.get(name) is not None)


def _bare(kind: str) -> Test:
    def test(message: Json) -> bool:
        calls, content = bool(message.get("tool_calls")), message.get("content", "absent")
        return (
            calls and {"null": content is None, "absent": "content" not in message, "": content == ""}[kind]
        )

    return _raw(test)


SHAPES: dict[str, Test] = {
    "parallel calls": _any(lambda item: len(item.calls) > 1),
    "results in another order": _swapped,
    "several leading instructions": lambda history: history.leading > 1,
    "no instructions": lambda history: history.leading == 0,
    "developer": _raw(lambda message: message["role"] == "developer"),
    "instructions in the middle": _middle,
    "parts": _any(lambda item: bool(item.media)),
    "parts without words": _any(lambda item: bool(item.media) and not item.text),
    "very long message": _any(lambda item: len(item.text) > 10_000),
    "reasoning with calls": _any(lambda item: bool(item.calls) and bool(item.reasoning)),
    "reasoning without calls": _any(lambda item: not item.calls and bool(item.reasoning)),
    "empty reasoning": _any(lambda item: item.reasoning == ""),
    "reasoning_content": _field("reasoning_content"),
    "reasoning": _field("reasoning"),
    "several models": lambda history: len({item.model for item in history.items if item.model}) > 1,
    "unknown model": _any(lambda item: item.role == "assistant" and item.model is None),
    "empty assistant": _any(lambda item: item.role == "assistant" and item.blank),
    "empty user": _any(lambda item: item.role == "user" and item.blank),
    "null content with calls": _bare("null"),
    "absent content with calls": _bare("absent"),
    "empty content with calls": _bare(""),
    "consecutive users": _neighbours("user"),
    "consecutive assistants": _neighbours("assistant"),
    "some results missing": _open(whole=False),
    "all results missing": _open(whole=True),
    "stray results": lambda history: bool(history.stray),
    "25 tool steps": _many_steps,
    "emoji": _characters("\U0001f600"),
    "NUL": _characters("\0"),
    "zero-width joiner": _characters("\u200d"),
    "names": _field("name"),
    "unknown fields": _field("x_shop"),
    "nulls": _raw(lambda message: "refusal" in message and message["refusal"] is None),
    "null tool calls": _raw(lambda message: "tool_calls" in message and message["tool_calls"] is None),
    "opening": _opens,
    "ends with results": _last("tool"),
    "ends with an answer": _last("assistant"),
    "reused call ids": _reused,
    "only instructions": lambda history: all(item.instructs for item in history.items),
    "one message": lambda history: len(history.items) == 1,
}
