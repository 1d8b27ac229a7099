"""What does a message say? Chat-completion dictionaries read into comparable items, and a list of
them into turns and tool groups, with nothing but the standard library."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["History", "Item", "Json", "read", "reading"]

Json = dict[str, Any]
Call = tuple[str, str, str]

INSTRUCTING = ("system", "developer")


@dataclass(frozen=True)
class Item:
    """One message, reduced to what it says.

    ``texts`` are its words piece by piece, ``media`` its other parts as canonical JSON with their kind
    before it, ``calls`` the tool calls it makes, ``result`` the id of the call it answers.
    """

    index: int
    role: str
    texts: tuple[str, ...]
    media: tuple[tuple[str, str], ...]
    calls: tuple[Call, ...]
    result: str | None
    reasoning: str | None
    model: str | None

    @property
    def text(self) -> str:
        return "".join(self.texts)

    @property
    def instructs(self) -> bool:
        return self.role == "system"

    @property
    def blank(self) -> bool:
        """Whether it says nothing at all."""
        return not self.text.strip() and not self.media and not self.calls

    @property
    def essence(self) -> tuple[object, ...]:
        return (self.role, self.text, self.media, self.calls, self.result)


def read(message: Json, index: int = 0) -> Item:
    """One dictionary as an item; a developer message reads as a system message."""
    role = message.get("role", "")
    texts, media = _content(message.get("content"))
    calls = tuple(_call(call) for call in message.get("tool_calls") or ())
    reasoning = message.get("reasoning_content")
    if reasoning is None:
        reasoning = message.get("reasoning")
    return Item(
        index=index,
        role="system" if role in INSTRUCTING else role,
        texts=texts,
        media=media,
        calls=calls,
        result=message.get("tool_call_id") if role == "tool" else None,
        reasoning=reasoning if isinstance(reasoning, str) else None,
        model=message.get("model"),
    )


def reading(messages: Sequence[Json]) -> list[Item]:
    return [read(message, index) for index, message in enumerate(messages)]


def _content(content: Any) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    if content is None:
        return (), ()
    if isinstance(content, str):
        return ((content,) if content else ()), ()
    texts: list[str] = []
    media: list[tuple[str, str]] = []
    for part in content:
        kind = part.get("type", "")
        if kind == "text":
            texts += [part["text"]] if part.get("text") else []
        else:
            media.append((kind, _canonical(kind, part)))
    return tuple(texts), tuple(media)


def _canonical(kind: str, part: Json) -> str:
    value = part.get(kind)
    if isinstance(value, dict):
        value = {name: inner for name, inner in value.items() if inner is not None}
        if set(value) == {"url"}:
            value = value["url"]
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _call(call: Json) -> Call:
    function = call.get("function") or {}
    return (call.get("id") or "", function.get("name") or "", function.get("arguments") or "")


class History:
    """The input of a window, taken apart.

    ``leading`` are the instructions at its head, ``users`` the places of what users said,
    ``newest`` the last of them (``None``: there is none), ``results`` which results directly follow
    each calling message, ``stray`` the results that do not, ``open`` the calls that never got one,
    ``late`` the results that stand behind a system message and have to be sent before it,
    ``unasked`` what was answered to an empty input.
    """

    def __init__(self, messages: Sequence[Json]) -> None:
        self.messages = messages
        self.items = reading(messages)
        self.leading = self._leading()
        self.users = [item.index for item in self.items if item.role == "user" and not item.blank]
        self.newest = self.users[-1] if self.users else None
        self.results: dict[int, list[int]] = {}
        self.open: dict[int, list[str]] = {}
        self.stray: set[int] = set()
        self.late: set[int] = set()
        self.unasked = self._unasked()
        self._pair()

    def _leading(self) -> int:
        count = 0
        while count < len(self.items) and self.items[count].instructs:
            count += 1
        return count

    def _unasked(self) -> set[int]:
        """What was answered to an input that says nothing."""
        found: set[int] = set()
        blank = False
        for item in self.items:
            if item.role == "user":
                blank = item.blank
            elif blank and not item.instructs:
                found.add(item.index)
        return found

    def _pair(self) -> None:
        taken: set[int] = set()
        for item in self.items:
            if item.calls:
                self._pair_one(item, taken)
        self.stray = {item.index for item in self.items if item.role == "tool"} - taken

    def _pair_one(self, caller: Item, taken: set[int]) -> None:
        wanted = Counter(call[0] for call in caller.calls)
        found: list[int] = []
        torn = False
        at = caller.index + 1
        while at < len(self.items) and (self.items[at].role == "tool" or self.items[at].instructs):
            result = self.items[at].result
            torn = torn or self.items[at].instructs
            if result is not None and wanted[result] > 0:
                wanted[result] -= 1
                found.append(at)
                if torn:
                    self.late.add(at)
            at += 1
        taken.update(found)
        answered = {self.items[at].result for at in found}
        self.results[caller.index] = found
        self.open[caller.index] = [call for call, left in wanted.items() if left and call not in answered]

    def droppable(self, index: int) -> bool:
        """Whether no provider would take this message, so that leaving it out loses nothing."""
        item = self.items[index]
        if index in self.stray or index in self.unasked:
            return True
        return (item.role != "tool" and item.blank) or self._unheard(item)

    def _unheard(self, item: Item) -> bool:
        """Whether it calls before any user spoke and nobody ever answered."""
        first = self.users[0] if self.users else len(self.items)
        return item.index < first and bool(item.calls) and not self.results[item.index]

    def interrupted(self, index: int) -> bool:
        """Whether a system message stands between a call and its results, where it cannot stay."""
        return any(caller < index < max(found) for caller, found in self.results.items() if found)

    def group_end(self, caller: int) -> int:
        """The place after the last result of a calling message."""
        found = self.results.get(caller) or [caller]
        return max(found) + 1

    def newest_group(self) -> list[int]:
        """The last calling message after the newest input with its results and what follows, else
        whatever was said last."""
        start = (self.newest if self.newest is not None else -1) + 1
        callers = [item.index for item in self.items[start:] if item.calls]
        head = callers[-1] if callers else max(start, len(self.items) - 1)
        return [index for index in range(head, len(self.items)) if not self.droppable(index)]

    def runs(self) -> list[list[int]]:
        """User messages, those without any answer between them taken together."""
        groups: list[list[int]] = []
        answered = True
        for item in self.items:
            if self.droppable(item.index) or item.instructs:
                continue
            if item.role == "user":
                if answered:
                    groups.append([])
                groups[-1].append(item.index)
                answered = False
            else:
                answered = True
        return groups
