"""Which messages of the input does each message of a window carry?

A window is an in-order selection of its input, in which neighbours may have been merged, parts the
model cannot see left out, open calls closed and a hole marked. The alignment walks both lists from
their newest ends and notes for every sent message whose words it carries and what was added.
"""

from __future__ import annotations

import copy
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from .reading import History, Item, Json, reading

__all__ = ["PLACEHOLDER", "Alignment", "Match", "align"]

PLACEHOLDER = 60
"""Characters that may stand in place of a part that was left out; the mark of a hole is longer."""
EDGES = frozenset(" \n\t\r[](){}<>「」【】…*—-.:：。")


@dataclass(frozen=True)
class Match:
    """One sent message: the places of the input it carries, the words that were added to them, and the
    parts of them that were left out, as place and kind."""

    sent: int
    members: tuple[int, ...]
    added: str = ""
    omitted: tuple[tuple[int, str], ...] = ()


@dataclass
class Alignment:
    """``head`` is how many leading messages of the window are instructions. ``matches`` are in the
    order of the window; ``strangers`` are sent messages that carry nothing of the input, ``closers``
    the results made up for open calls. ``told`` are the places of system messages whose words stand in
    the head, ``moved`` those that stand there in another order, ``lost`` those found nowhere;
    ``remainder`` is what the head says beyond them."""

    items: list[Item]
    head: int = 0
    matches: list[Match] = field(default_factory=list)
    strangers: list[int] = field(default_factory=list)
    closers: list[int] = field(default_factory=list)
    told: set[int] = field(default_factory=set)
    moved: set[int] = field(default_factory=set)
    lost: set[int] = field(default_factory=set)
    remainder: str = ""
    carried: dict[int, Match] = field(default_factory=dict)


def align(history: History, window: Sequence[Json], pinned: frozenset[int] = frozenset()) -> Alignment:
    """The alignment of a window with its input. What is ``pinned`` may stand next to anything newer."""
    result = Alignment(items=reading(window))
    while result.head < len(result.items) and result.items[result.head].instructs:
        result.head += 1
    _Walk(history, result, pinned).run()
    result.carried = {place: match for match in result.matches for place in match.members}
    _find_instructions(history, result)
    return result


def _find_instructions(history: History, result: Alignment) -> None:
    head = "\n".join(item.text for item in result.items[: result.head])
    sent = {history.items[place].text for place in result.carried if history.items[place].instructs}
    at = 0
    told: set[str] = set()
    remainder: list[str] = []
    for item in history.items:
        if not item.instructs or item.blank or item.index in result.carried:
            continue
        end = at
        for text in item.texts:
            found = _line(head, text, end)
            if found < 0:
                break
            remainder.append(head[end:found])
            end = found + len(text)
        else:
            at = end
            told.add(item.text)
            result.told.add(item.index)
            continue
        if item.text in told or item.text in sent:
            result.told.add(item.index)
        elif all(_line(head, text, 0) >= 0 for text in item.texts):
            result.moved.add(item.index)
        else:
            result.lost.add(item.index)
    result.remainder = "".join([*remainder, head[at:]]).strip()


def _line(head: str, text: str, start: int) -> int:
    """Where a text stands in the instructions as whole lines; -1: nowhere."""
    found = head.find(text, start)
    while found >= 0:
        end = found + len(text)
        if head[found - 1 : found] in ("", "\n") and head[end : end + 1] in ("", "\n"):
            return found
        found = head.find(text, found + 1)
    return -1


class _Walk:
    """The walk itself: ``at`` is the newest place of the input that is still free."""

    def __init__(self, history: History, result: Alignment, pinned: frozenset[int]) -> None:
        self.pinned = sorted(pinned)
        self.history = history
        self.result = result
        self.at = len(history.items) - 1
        self.places: dict[tuple[object, ...], list[int]] = {}
        for item in history.items[history.leading :]:
            self.places.setdefault(item.essence, []).append(item.index)
        self.late = set(history.late)
        self.open = {call for calls in history.open.values() for call in calls}

    def run(self) -> None:
        for item in reversed(self.result.items[self.result.head :]):
            match = self._match(item)
            if match is not None:
                self.result.matches.append(match)
                self.at = min(self.at, match.members[0] - 1)
            elif item.role == "tool" and item.result in self.open:
                self.result.closers.append(item.index)
            else:
                self.result.strangers.append(item.index)
        for made in (self.result.matches, self.result.strangers, self.result.closers):
            made.reverse()

    def _match(self, item: Item) -> Match | None:
        near = self._near(self.at)
        if near is not None:
            if self.history.items[near].essence == item.essence:
                return Match(item.index, (near,))
            made = self._compose(item, near, loose=False)
            if made:
                return made
        known = self.places.get(item.essence, [])
        spot = bisect_right(known, self.at)
        if spot:
            return Match(item.index, (known[spot - 1],))
        return self._late(item) if item.role == "tool" else self._pinned(item) or self._search(item)

    def _pinned(self, item: Item) -> Match | None:
        """What is pinned is looked at before anything that would have to be passed over."""
        for place in reversed(self.pinned[: bisect_right(self.pinned, self.at)]):
            if self.history.items[place].role == item.role and not self.history.droppable(place):
                made = self._compose(item, place, loose=False)
                if made and self.history.items[made.members[-1]].text.strip():
                    return made
        return None

    def _late(self, item: Item) -> Match | None:
        """A result that was sent before the system message it stood behind."""
        for place in sorted(self.late, reverse=True):
            if place > self.at and self.history.items[place].essence == item.essence:
                self.late.discard(place)
                return Match(item.index, (place,))
        return None

    def _near(self, at: int) -> int | None:
        """The newest free place that could have been sent."""
        while at >= self.history.leading:
            if not self.history.droppable(at) and not self.history.items[at].instructs:
                return at
            at -= 1
        return None

    def _search(self, item: Item) -> Match | None:
        for place in range(self.at, self.history.leading - 1, -1):
            if self.history.items[place].role == item.role and not self.history.droppable(place):
                made = self._compose(item, place, loose=False) or self._compose(item, place, loose=True)
                if made:
                    return made
        return None

    def _compose(self, item: Item, place: int, *, loose: bool) -> Match | None:
        """The input from ``place`` backwards that together says what this message says."""
        rest = _Rest(item)
        members: list[int] = []
        at: int | None = place
        while at is not None and self._takes(rest, at, item.role, members, loose=loose):
            members.insert(0, at)
            if rest.empty:
                break
            at = self._before(at, rest, item.role, members, loose=loose)
        if not members or rest.calls or rest.media:
            return None
        wordy = bool(self.history.items[members[0]].text.strip())
        if rest.text.strip() and not (loose and (not wordy or rest.text[-1] in EDGES)):
            return None
        added = (rest.text + rest.behind).strip()
        return Match(item.index, tuple(members), added, tuple(rest.omitted))

    def _takes(self, rest: _Rest, at: int, role: str, members: list[int], *, loose: bool) -> bool:
        if self.history.items[at].role != role or (members and self._unseen(at, rest)):
            return False
        return rest.take(self.history.items[at], first=not members, loose=loose)

    def _before(self, at: int, rest: _Rest, role: str, members: list[int], *, loose: bool) -> int | None:
        """The next older message, or a pinned one from before a gap where that is what stands there."""
        near = self._near(at - 1)
        wordy = bool(self.history.items[at].text.strip())
        older = self.pinned[: bisect_right(self.pinned, at - 1)] if wordy else []
        for place in (near, *reversed(older)):
            if place is not None and self._takes(copy.deepcopy(rest), place, role, members, loose=loose):
                return place
        return near

    def _unseen(self, at: int, rest: _Rest) -> bool:
        """Whether a message without words left no trace here: no part of it, and no line in its place."""
        item = self.history.items[at]
        if item.text.strip() or item.calls or (rest.media and rest.media[-1] in item.media):
            return False
        lines = [
            line for line in f"{rest.text}\n{rest.behind}".split("\n") if 0 < len(line.strip()) <= PLACEHOLDER
        ]
        return not rest.text.strip() or len(lines) <= len(rest.omitted)


def _apart(text: str, piece: str) -> int:
    """Where a piece last stands apart from the words around it; -1: nowhere."""
    found = text.rfind(piece)
    while found >= 0:
        end = found + len(piece)
        if (not found or text[found - 1] in EDGES) and (end == len(text) or text[end] in EDGES):
            return found
        found = text.rfind(piece, 0, end - 1)
    return -1


class _Rest:
    """What of a sent message is still unexplained, read from its end."""

    def __init__(self, item: Item) -> None:
        self.result = item.result
        self.text = "\n".join(item.texts)
        self.calls = list(item.calls)
        self.media = list(item.media)
        self.behind = ""
        self.omitted: list[tuple[int, str]] = []

    @property
    def empty(self) -> bool:
        return not self.text.strip() and not self.calls and not self.media

    def take(self, item: Item, *, first: bool, loose: bool) -> bool:
        """Explain the end of what is left by this message, if it can be."""
        calls = len(self.calls) - len(item.calls)
        if item.blank or item.result != self.result or tuple(self.calls[max(calls, 0) :]) != item.calls:
            return False
        if not self._take_words(item, first=first, loose=loose):
            return False
        del self.calls[calls:]
        for part in reversed(item.media):
            if self.media and self.media[-1] == part:
                self.media.pop()
            else:
                self.omitted.append((item.index, part[0]))
        return True

    def _stands_in(self, item: Item, text: str, piece: str) -> bool:
        """Whether there is room for a few words in place of parts that were left out."""
        gone = len(self.omitted) + (Counter(item.media) - Counter(self.media)).total()
        behind = text[text.rfind(piece) + len(piece) :] if piece in text else ""
        return gone > 0 and behind.lstrip(" ")[:1] in ("\n", "[") and len(behind) <= PLACEHOLDER * gone

    def _take_words(self, item: Item, *, first: bool, loose: bool) -> bool:
        text, behind = self.text, ""
        exact = first and len(item.texts) == 1
        for position, piece in enumerate(reversed(item.texts)):
            if not piece.strip() and not text.endswith(piece):
                continue
            if text.endswith(piece):
                text = text[: len(text) - len(piece)]
            elif not exact and text.rstrip().endswith(piece.rstrip()):
                text = text.rstrip()[: len(text.rstrip()) - len(piece.rstrip())]
            elif (loose and first and position == 0 and piece in text) or self._stands_in(item, text, piece):
                at = _apart(text, piece)
                if at < 0:
                    return False
                behind = text[at + len(piece) :] + behind
                text = text[:at]
            else:
                return False
        self.text, self.behind = text, self.behind + behind
        return True
