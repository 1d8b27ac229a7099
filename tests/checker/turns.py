"""Are turns kept or left as a whole, as a newest part of the conversation without gaps?"""

from __future__ import annotations

from collections.abc import Iterable

from .case import Case
from .violation import Violation

__all__ = ["mark_places", "start_violations", "turn_violations"]


def turn_violations(case: Case) -> Iterable[Violation]:
    newest = case.history.newest
    earlier = [i for i in case.body if (newest is None or i < newest) and i not in case.apart]
    kept = [index for index in earlier if index in case.kept and index >= case.first_user]
    if kept:
        for index in earlier:
            if index > kept[0] and index not in case.kept:
                torn = any(case.turn_of(index) == case.turn_of(other) for other in kept)
                yield Violation("split_turn" if torn else "gap", f"message {index} is missing", index)
        if case.history.items[kept[0]].role != "user":
            yield Violation("split_turn", f"the turn of message {kept[0]} lost its user input", kept[0])
    yield from _pinned(case)
    yield from _opening(case)
    if case.hole:
        first = case.history.runs()[-1][0]
        yield from _hole(case, any(index < first for index in kept if index not in case.pinned))


def _pinned(case: Case) -> Iterable[Violation]:
    """A turn that is sent because it is pinned is sent whole."""
    for index in sorted(case.pinned & set(case.missing)):
        if any(case.turn_of(index) == case.turn_of(other) for other in case.apart):
            yield Violation("split_turn", f"message {index} of a pinned turn is missing", index)


def _opening(case: Case) -> Iterable[Violation]:
    """What stands before the first user message is kept whole, quoted, or left whole."""
    before = [index for index in case.body if index < case.first_user]
    if not case.history.users:
        return
    sent = [index for index in before if index in case.kept or index in case.quoted]
    if sent and len(sent) < len(before):
        yield Violation("split_turn", "a part of the opening is missing", sent[0])


def _hole(case: Case, earlier_kept: bool) -> Iterable[Violation]:
    newest = case.history.newest
    assert newest is not None
    later = [index for index in case.body if index > newest]
    kept = [index for index in later if index in case.kept]
    hole = case.hole
    if not _crowded(case):
        yield Violation("hole_needless", "the newest turn fits whole", hole[0])
    if earlier_kept:
        yield Violation("hole_needless", "older turns are sent while the newest one has a hole", hole[0])
    if not kept:
        yield Violation("hole_wrong", "the newest tool group is missing", hole[-1])
        return
    if max(hole) > min(kept):
        yield Violation("hole_wrong", "what was left out is not the oldest of the turn", max(hole))
    if _roomy(case):
        yield Violation("hole_needless", "the newest group of those left out would have fitted", max(hole))
    if not _marked(case):
        yield Violation("hole_unmarked", "nothing in the window shows the hole", hole[0])


def _crowded(case: Case) -> bool:
    """Whether the newest turn, with the instructions and an opening, is more than may be sent."""
    newest = case.history.newest or 0
    must = [
        i.index for i in case.history.items if i.instructs or i.index >= newest or i.index < case.first_user
    ]
    need = case.tools_tokens + case.spare + sum(case.count(case.history.messages[index]) for index in must)
    return case.policy.max_messages is not None or case.limit is None or need > case.limit


def _roomy(case: Case) -> bool:
    """Whether one group more would still have been below the low mark."""
    if case.policy.max_messages is not None or case.limit is None:
        return False
    callers = [index for index in case.hole if case.history.items[index].calls]
    group = [index for index in case.hole if not callers or index >= callers[-1]]
    more = sum(case.count(case.history.messages[index]) for index in group)
    return case.charged + more + case.spare <= case.policy.marks()[1] * case.limit - 1


def _marked(case: Case) -> bool:
    places = mark_places(case)
    if any(index in places for index in case.alignment.strangers):
        return True
    return any(match.added for match in case.alignment.matches if match.sent in places)


def start_violations(case: Case) -> Iterable[Violation]:
    """After the instructions comes the user, or a whole opening."""
    items = case.alignment.items
    at = case.alignment.head
    if at >= len(items) or case.history.newest is None:
        return
    prelude = {match.sent for match in case.alignment.matches if match.members[-1] < case.first_user}
    prelude |= {index for index in case.alignment.closers if index - 1 in prelude}
    while case.rules.opening and at < len(items) and (at in prelude or items[at].instructs):
        at += 1
    if at < len(items) and items[at].role not in ("user", "system"):
        yield Violation("starts_wrong", f"the window starts with role {items[at].role}", at)


def mark_places(case: Case) -> set[int]:
    """Sent messages that may hold the mark of a hole: from the input to what follows the hole."""
    if not case.hole:
        return set()
    newest = case.history.newest
    start = case.alignment.carried.get(newest if newest is not None else -1)
    after = [match.sent for match in case.alignment.matches if match.members[0] > max(case.hole)]
    if start is None:
        return set()
    return set(range(start.sent, min(after, default=len(case.window) - 1) + 1))
