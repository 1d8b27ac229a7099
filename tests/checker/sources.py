"""Does every message come from the input, and every result from its call?"""

from __future__ import annotations

from collections.abc import Iterable

from .alignment import PLACEHOLDER
from .case import Case
from .turns import mark_places
from .violation import Violation

__all__ = ["pair_violations", "source_violations"]


def pair_violations(case: Case) -> Iterable[Violation]:
    items = case.alignment.items
    open_ids: list[str] = []
    answered: set[str] = set()
    caller = 0
    for item in items:
        if item.role == "tool":
            if item.result in open_ids:
                open_ids.remove(item.result)
                answered.add(item.result)
            else:
                yield Violation("orphan_result", f"no open call {item.result!r} before it", item.index)
            continue
        yield from _unanswered(open_ids, answered, caller)
        open_ids, answered, caller = [call[0] for call in item.calls], set(), item.index
    yield from _unanswered(open_ids, answered, caller)
    for index in case.alignment.closers:
        yield from _closer(case, index)


def _unanswered(open_ids: list[str], answered: set[str], caller: int) -> Iterable[Violation]:
    left = [call for call in open_ids if call not in answered]
    if left:
        yield Violation("unanswered_call", f"calls {left} have no result directly after them", caller)


def _closer(case: Case, index: int) -> Iterable[Violation]:
    """A made-up result is right only where the input has none."""
    if not case.alignment.items[index].text.strip():
        yield Violation("empty_message", "a made-up result says nothing", index)
    callers = [
        match.members
        for match in case.alignment.matches
        if match.sent < index and case.alignment.items[match.sent].calls
    ]
    call = case.alignment.items[index].result
    if callers and not any(call in case.history.open.get(place, ()) for place in callers[-1]):
        yield Violation("lost_result", f"call {call!r} has a result, another was made up", index)


def source_violations(case: Case) -> Iterable[Violation]:
    """Every word of the window comes from the input, or marks what is missing."""
    marks = mark_places(case)
    for index in case.alignment.strangers:
        if index not in marks:
            yield _stranger(case, index)
    for match in case.alignment.matches:
        if len(match.added) > PLACEHOLDER * len(match.omitted) and match.sent not in marks:
            yield Violation("fabricated", f"{match.added[:60]!r} was added", match.sent)


def _stranger(case: Case, index: int) -> Violation:
    item = case.alignment.items[index]
    same = [other.index for other in case.history.items if other.essence == item.essence]
    if same and all(place in case.kept for place in same):
        return Violation("duplicate", f"message {same[-1]} is sent again", index)
    if same:
        return Violation("order", f"message {same[-1]} is out of order", index)
    if item.role == "tool":
        if any(other.result == item.result for other in case.history.items if other.role == "tool"):
            return Violation("altered", "the words of a result changed", index)
        return Violation("fabricated", "a result nobody gave", index)
    said = item.text.strip()
    near = [other for other in case.history.items if other.role == item.role and said and said in other.text]
    if near or any(call in other.calls for other in case.history.items for call in item.calls):
        return Violation("altered", f"message {near[0].index if near else '?'} is not sent whole", index)
    return Violation("fabricated", f"nobody said {said[:60]!r}", index)
