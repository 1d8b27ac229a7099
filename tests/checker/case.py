"""One input with its window, and what is derived from both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from .alignment import Alignment, align
from .reading import History, Json
from .rules import Rules

__all__ = ["Case", "Count", "PolicyLike"]

Count = Callable[[Mapping[str, Any]], int]


class PolicyLike(Protocol):
    """What the checker reads of a policy."""

    @property
    def budget(self) -> int | None: ...
    @property
    def max_turns(self) -> int | None: ...
    @property
    def max_messages(self) -> int | None: ...
    @property
    def images(self) -> Any: ...
    def marks(self) -> tuple[float, float]: ...


@dataclass
class Case:
    """One input with its window and everything that was derived from both."""

    history: History
    window: list[Json]
    policy: PolicyLike
    rules: Rules
    count: Count
    limit: int | None
    tools_tokens: int
    standing_cut: bool
    pinned: frozenset[int] = frozenset()
    misjudged: int = 0

    def __post_init__(self) -> None:
        self.alignment: Alignment = align(self.history, self.window, self.pinned)
        self.kept = set(self.alignment.carried)
        self.first_user = self.history.users[0] if self.history.users else len(self.history.items)
        self.body = [item.index for item in self.history.items if self._matters(item.index)]
        self.quoted = {index for index in range(self.first_user) if self._is_quoted(index)}
        self.missing = [index for index in self.body if not (index in self.kept or index in self.quoted)]

    def _is_quoted(self, index: int) -> bool:
        """Whether an opening that the provider refuses is quoted at the end of the instructions."""
        words = "".join(self.history.items[index].text.split())
        return (
            not self.rules.opening
            and index < self.first_user
            and bool(words)
            and words in "".join(self.alignment.remainder.split())
        )

    def _matters(self, index: int) -> bool:
        item = self.history.items[index]
        if item.instructs:
            return False
        if index in self.kept:
            return True
        return not (self.history.droppable(index) or self.invisible(index) or self._unspeakable(index))

    def _unspeakable(self, index: int) -> bool:
        """Whether it belongs to an opening with calls, where the list may not begin with the assistant."""
        if self.rules.opening or index >= self.first_user:
            return False
        return any(item.calls for item in self.history.items[: self.first_user])

    def invisible(self, index: int) -> bool:
        """Whether a message holds nothing but parts that this model or policy does not take."""
        item = self.history.items[index]
        if item.text.strip() or item.calls or not item.media or item.role == "tool":
            return False
        return all(not self.rules.must_see(kind) or self._stale(kind) for kind, _ in item.media)

    def _stale(self, kind: str) -> bool:
        return kind == "image_url" and self.policy.images != "all"

    @cached_property
    def hole(self) -> list[int]:
        """What of the newest turn was left out."""
        newest = self.history.newest
        return [] if newest is None else [index for index in self.missing if index > newest]

    def turn_of(self, index: int) -> int:
        """The user message at or before a place; -1 before the first."""
        return max((user for user in self.history.users if user <= index), default=-1)

    @cached_property
    def apart(self) -> set[int]:
        """Pinned messages from before what is kept without a gap: they stand for themselves."""
        newest = self.history.newest
        last = len(self.history.items) if newest is None else newest
        gaps = [index for index in self.missing if index < last and index not in self.pinned]
        return {index for index in self.pinned & self.kept if index < max(gaps, default=-1)}

    @cached_property
    def charged(self) -> int:
        """What the window costs; where messages were merged, what they cost before."""
        unmerged = sum(self.count(self.history.messages[at]) for at in self.kept | self.alignment.told)
        return self.tools_tokens + max(unmerged, sum(self.count(message) for message in self.window))

    @cached_property
    def spare(self) -> int:
        """What closings, marks and placeholders may have cost that this window does not show."""
        return self.misjudged + self._framing()

    def _framing(self) -> int:
        plain = not self.rules.alternation and self.rules.required == "nowhere"
        awkward = any(self.history.open.values()) or any(item.media for item in self.history.items)
        thoughts = self._thoughts()
        if (
            plain
            and not awkward
            and not thoughts
            and self.history.users
            and self.history.users[0] == self.history.leading
        ):
            return 0
        closings = sum(len(ids) for ids in self.history.open.values())
        answers = sum(1 for item in self.history.items if item.role == "assistant")
        fields = 0 if self.rules.required == "nowhere" else answers
        one: Json = {"role": "tool", "tool_call_id": "x" * 40, "content": "x" * 120}
        return (1 + closings + fields + thoughts) * self.count(one)

    def _thoughts(self) -> int:
        """How many messages bring reasoning to a model that takes it back: it is stored apart, and counted
        apart before it is sent."""
        if self.rules.plain == self.rules.calling == "never":
            return 0
        return sum(1 for item in self.history.items if item.reasoning is not None)
