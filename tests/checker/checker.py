"""Is this window right? The invariants of a window, checked on plain dictionaries.

Written from the design and the providers' documentation alone; it shares no code with the builder.
Where those are silent the checker accepts every reading:

- a user message after an unanswered one may begin a turn of its own or belong to the turn before;
- assistant messages before the first user message may be an opening, which stays, or an old turn;
- a result that does not directly follow its call may be left out, and so may a message that says
  nothing at all;
- reasoning of unknown origin may be sent or not;
- marks, closings and placeholders may be worded in any way and stand in a message of their own or
  inside a neighbour.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from .case import Case, Count, PolicyLike
from .limits import limit_violations, loss_violations
from .providers import provider_violations
from .reading import History, Json
from .rules import Rules
from .sources import pair_violations, source_violations
from .turns import start_violations, turn_violations
from .violation import Violation

__all__ = ["Violation", "check", "smallest_need"]

SLACK = 400
"""Characters a mark, a placeholder or a quoted opening may take: counted in favour of the builder."""


def check(
    history: Sequence[Json],
    window: Sequence[Json],
    *,
    policy: PolicyLike,
    rules: Rules,
    count: Count,
    budget: int | None = None,
    tools_tokens: int = 0,
    decisions: Sequence[Any] | None = None,
    tokens: int | None = None,
    standing_cut: bool = False,
    pinned: frozenset[int] = frozenset(),
    misjudged: int = 0,
) -> list[Violation]:
    """Everything that is wrong with a window; an empty list means it is right.

    ``budget`` is the model's own limit, where it is tighter than the policy's. ``standing_cut`` says
    that an earlier window's cut was given, so that more may be left out than this input alone would
    demand. ``pinned`` are the places of messages whose turn is pinned: they are sent whole wherever they
    stand, or all of them are turns like any other. ``misjudged`` are tokens in favour of the builder.
    """
    if not window:
        return [Violation("empty_window", "nothing is sent at all")]
    limits = [limit for limit in (policy.budget, budget) if limit is not None]
    case = Case(
        History(history),
        list(window),
        policy,
        rules,
        count,
        min(limits, default=None),
        tools_tokens,
        standing_cut,
        pinned,
        misjudged,
    )
    found = [
        *_instructions(case),
        *_newest_input(case),
        *pair_violations(case),
        *source_violations(case),
        *turn_violations(case),
        *start_violations(case),
        *limit_violations(case, tokens),
        *loss_violations(case),
        *provider_violations(case.history, case.window, case.alignment, rules, policy.images),
    ]
    return found if decisions is None else [*found, *_decisions(case, decisions)]


def smallest_need(
    history: Sequence[Json],
    count: Count,
    *,
    tools_tokens: int = 0,
) -> int:
    """The most generous price of what must be sent: instructions, opening, newest input and the newest
    tool group. An overflow below it is unjustified."""
    taken = History(history)
    first = taken.users[0] if taken.users else len(taken.items)
    must = {item.index for item in taken.items if item.instructs} | set(range(first))
    must |= set(taken.runs()[-1]) if taken.runs() else set()
    must |= set(taken.newest_group())
    closing: Json = {"role": "tool", "tool_call_id": "x" * 40, "content": "x" * 120}
    open_calls = sum(len(calls) for calls in taken.open.values())
    spare = count({"role": "user", "content": "x" * SLACK}) + open_calls * count(closing)
    return tools_tokens + spare + sum(count(history[index]) for index in must)


def _instructions(case: Case) -> Iterable[Violation]:
    for index in sorted(case.alignment.lost):
        yield Violation("instructions", f"system message {index} is not sent whole", index)
    for index in sorted(case.alignment.moved):
        yield Violation("instructions_moved", f"system message {index} lost its place", index)
    for index in sorted(case.alignment.told):
        if _misplaced(case, index):
            yield Violation("instructions_moved", f"system message {index} did not stay where it is", index)
    if case.alignment.remainder and not case.quoted:
        yield Violation("fabricated", f"the instructions also say {case.alignment.remainder[:60]!r}")
    leading = [item for item in case.history.items[: case.history.leading] if not item.blank]
    if leading and not case.alignment.head:
        yield Violation("instructions", "the window does not begin with the instructions")


def _misplaced(case: Case, index: int) -> bool:
    if case.rules.system != "any" or index < case.history.leading or case.history.interrupted(index):
        return False
    text = case.history.items[index].text
    if any(other.instructs and other.text == text for other in case.history.items[:index]):
        return False
    return any(place in case.kept for place in range(case.history.leading, index))


def _newest_input(case: Case) -> Iterable[Violation]:
    newest = case.history.newest
    if newest is None:
        return
    match = case.alignment.carried.get(newest)
    if match is None:
        yield Violation("newest_input", "the newest user input is not sent whole", newest)
        return
    for place, kind in match.omitted:
        stale = kind == "image_url" and case.policy.images != "all"
        if place == newest and case.rules.must_see(kind) and not stale:
            yield Violation("newest_input", f"the newest user input lost its {kind}", newest)


def _decisions(case: Case, decisions: Sequence[Any]) -> Iterable[Violation]:
    """Exactly one decision for every message, and it says what happened."""
    if len(decisions) != len(case.history.items):
        yield Violation("decisions", f"{len(decisions)} decisions for {len(case.history.items)} messages")
        return
    sent = case.kept | case.alignment.told | case.alignment.moved
    for place, decision in enumerate(decisions):
        if decision.index != place:
            yield Violation("decisions", f"decision {place} speaks of message {decision.index}", place)
        elif decision.sent != (place in sent) and not _unsure(case, place):
            said = "sent" if decision.sent else "left out"
            yield Violation("decisions", f"message {place} is said to be {said} ({decision.code})", place)


def _unsure(case: Case, place: int) -> bool:
    """Messages without words leave no trace in a window; a quoted opening is told in the head."""
    item = case.history.items[place]
    quoted = place < case.first_user and not case.rules.opening
    return item.blank or case.invisible(place) or quoted
