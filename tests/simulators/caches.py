"""What of a prompt does a provider's cache already hold? The cache models of the providers, by their
published rules; what is not published is simulated in the simplest way and says so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from .counting import Block

REMEMBERED = 64
"""How many prompts a cache keeps before the oldest falls out."""


class Hit(NamedTuple):
    """Tokens read from the cache, tokens written into it, and whether markers asked for it."""

    read: int = 0
    written: int = 0
    explicit: bool = False


class Cache(Protocol):
    """Looks up a prompt when it comes, keeps it when its reply is finished."""

    def look(self, tokens: Sequence[str]) -> int: ...

    def keep(self, tokens: Sequence[str], reply: Sequence[str]) -> None: ...


def common(one: Sequence[str], other: Sequence[str]) -> int:
    """How many tokens two prompts share at their beginning."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


class NoCache:
    """A provider that reports none."""

    def look(self, tokens: Sequence[str]) -> int:
        return 0

    def keep(self, tokens: Sequence[str], reply: Sequence[str]) -> None:
        pass


class PrefixCache:
    """The longest beginning shared with an earlier prompt, from ``least`` tokens on, in steps of ``step``."""

    def __init__(self, least: int, step: int = 1) -> None:
        self.least, self.step = least, step
        self.prompts: list[list[str]] = []

    def look(self, tokens: Sequence[str]) -> int:
        shared = max((common(tokens, prompt) for prompt in self.prompts), default=0)
        shared -= shared % self.step
        return shared if shared >= self.least else 0

    def keep(self, tokens: Sequence[str], reply: Sequence[str]) -> None:
        self.prompts = [*self.prompts[-REMEMBERED:], list(tokens)]


class UnitCache:
    """DeepSeek V4: only complete units hit. Units end at the end of a prompt, at the end of its reply, and
    where two prompts part (known from the second of them on). The unit at a fixed interval of long texts
    is left out: its length is not published."""

    def __init__(self) -> None:
        self.prompts: list[list[str]] = []
        self.units: list[list[str]] = []

    def look(self, tokens: Sequence[str]) -> int:
        fitting = (unit for unit in self.units if common(unit, tokens) == len(unit))
        return max(map(len, fitting), default=0)

    def keep(self, tokens: Sequence[str], reply: Sequence[str]) -> None:
        whole = list(tokens)
        parted = {common(whole, earlier) for earlier in self.prompts} - {0}
        self.prompts = [*self.prompts[-REMEMBERED:], whole]
        self.units += [whole[:length] for length in sorted(parted)]
        self.units += [whole, whole + list(reply)]


@dataclass
class BreakpointCache:
    """OpenAI from 5.6 on: each request of 1,024 tokens or more leaves one breakpoint at the end of its newest
    message; it is matched as a whole, for 30 minutes at least, and what was written is billed and told."""

    clock: Callable[[], float]
    least: int = 1024
    lifetime: float = 1800
    kept: dict[tuple[str, ...], float] = field(default_factory=dict)

    def look(self, tokens: Sequence[str]) -> Hit:
        """The longest breakpoint that the prompt begins with, and what it will write."""
        block, now = tuple(tokens[:-1]), self.clock()
        found = max(
            (len(one) for one, end in self.kept.items() if end > now and block[: len(one)] == one), default=0
        )
        return Hit(found, len(block) - found if len(block) >= self.least else 0)

    def keep(self, tokens: Sequence[str]) -> None:
        """Write the breakpoint: the reply's head is not part of a message."""
        if len(tokens) > self.least:
            self.kept[tuple(tokens[:-1])] = self.clock() + self.lifetime


@dataclass
class MarkerCache:
    """Qwen's explicit cache: blocks end at markers, at most 4 a request (of more, the last 4 count); from
    each marker up to 20 blocks are searched backwards; 1,024 tokens at least; 300 seconds, renewed by a
    hit."""

    clock: Callable[[], float]
    least: int = 1024
    lifetime: float = 300
    markers: int = 4
    reach: int = 20
    kept: dict[tuple[str, ...], float] = field(default_factory=dict)

    def look(self, blocks: Sequence[Block]) -> Hit:
        """What the markers of this prompt find; what they will write."""
        now = self.clock()
        ends = self._ends(blocks)
        found = 0
        for place, _ in ends:
            for back in range(place, max(place - self.reach, 0) - 1, -1):
                prefix = _prefix(blocks, back)
                if self.kept.get(prefix, 0) > now:
                    self.kept[prefix] = now + self.lifetime
                    found = max(found, len(prefix))
                    break
        longest = max((len(prefix) for _, prefix in ends if len(prefix) >= self.least), default=0)
        return Hit(found, max(longest - found, 0), explicit=True)

    def keep(self, blocks: Sequence[Block]) -> None:
        """Write the blocks that end at the markers: after the reply is finished."""
        now = self.clock()
        for _, prefix in self._ends(blocks):
            if len(prefix) >= self.least:
                self.kept[prefix] = now + self.lifetime

    def _ends(self, blocks: Sequence[Block]) -> list[tuple[int, tuple[str, ...]]]:
        places = [place for place, block in enumerate(blocks) if block.marked][-self.markers :]
        return [(place, _prefix(blocks, place)) for place in places]


def _prefix(blocks: Sequence[Block], place: int) -> tuple[str, ...]:
    return tuple(token for block in blocks[: place + 1] for token in block.tokens)
