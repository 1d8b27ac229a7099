"""Is what was put in front of messages right? The note of a summary, and quotations of old turns.

Written from the design alone, like the rest of the checker. A summary is a fenced note at the head of the
first user message and nowhere else; it stands for the turns it covers, which are not sent beside it unless
they are pinned. A quotation stands at the head of its own turn's input and is sent verbatim as long as that
turn is. What is left once they are taken out is a window like any other, of a history without the folded
turns, and is checked as such.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .alignment import align
from .case import Count, PolicyLike
from .checker import check
from .reading import History, Json
from .rules import Rules
from .violation import Violation

__all__ = ["Inserted", "check_inserted"]

SLACK = 60
"""Tokens by which a builder may misjudge what a note will cost before it is written."""
FENCES = r"(?P<fence>~{3,}|`{3,}|={3,}|<{3,})"


@dataclass(frozen=True)
class Inserted:
    """What a store holds beside the messages: the text of a summary with the places of the messages it
    stands for, the quotations in front of messages by their place (that of the new input is one of them),
    and the places of messages whose turn is pinned. ``summarises``: the policy has a summary, so that turns
    are left out only where the whole budget is full."""

    summary: str | None = None
    folded: frozenset[int] = frozenset()
    quotes: Mapping[int, str] = field(default_factory=dict)
    pinned: frozenset[int] = frozenset()
    summarises: bool = True


@dataclass
class _Stripped:
    """A window without what was put into it, and where that stood: messages with a note, with whether it
    stood at their head; quotations as message, place in the history, and the words behind them; which message
    of the window each that is left was."""

    window: list[Json] = field(default_factory=list)
    notes: list[tuple[int, bool]] = field(default_factory=list)
    quotes: list[tuple[int, int, str]] = field(default_factory=list)
    origins: list[tuple[int, Json]] = field(default_factory=list)


class _Marks:
    """The policy of a conversation whose old turns are summarised: turns go past the whole budget."""

    def __init__(self, policy: PolicyLike) -> None:
        self.budget = policy.budget
        self.max_turns = policy.max_turns
        self.max_messages = policy.max_messages
        self.images = policy.images
        self._low = policy.marks()[1]

    def marks(self) -> tuple[float, float]:
        return 1.0, self._low


def check_inserted(
    history: Sequence[Json],
    window: Sequence[Json],
    inserted: Inserted,
    *,
    policy: PolicyLike,
    rules: Rules,
    count: Count,
    budget: int | None = None,
    tools_tokens: int = 0,
    decisions: Sequence[Any] | None = None,
    tokens: int | None = None,
    standing_cut: bool = False,
) -> list[Violation]:
    """Everything that is wrong with a window into which a summary or quotations were put."""
    stripped = _strip(window, inserted)
    places = [at for at in range(len(history)) if _stays(history[at], at, inserted)]
    rest = [dict(history[at]) for at in places]
    where = {at: place for place, at in enumerate(places)}
    weigh = _weighing(count, rest, places, window, stripped, inserted)
    limits = [limit for limit in (policy.budget, budget) if limit is not None]
    limit = min(limits, default=None)
    whole = decisions is not None and len(decisions) == len(history)
    mapped = [_Renumbered(decisions[at], p) for p, at in enumerate(places)] if decisions and whole else None
    pinned = frozenset(where[at] for at in inserted.pinned if at in where)
    sent = _sent(rest, stripped.window, places, pinned)
    found = check(
        rest,
        stripped.window,
        policy=_Marks(policy) if inserted.summarises else policy,
        rules=rules,
        count=weigh,
        budget=budget,
        tools_tokens=tools_tokens,
        decisions=mapped,
        tokens=tokens,
        standing_cut=standing_cut,
        pinned=pinned,
        misjudged=SLACK,
    )
    # Instructions that were merged are counted one by one before: in favour of the builder.
    rules_tokens = sum(
        count(message) for message in history if message.get("role") in ("system", "developer")
    )
    spent = tools_tokens + rules_tokens + sum(map(count, window))
    found += _note_violations(window, stripped, inserted)
    if inserted.summary is not None and not stripped.notes and limit is not None:
        found += _lost_note(history, window, inserted, sent, count, limit, spent)
    found += _quote_violations(stripped, inserted, sent)
    newest = History(history).newest
    found += _lost_quotes(stripped, inserted, sent, newest, count, limit, spent)
    if decisions is not None:
        found += _decision_violations(history, decisions, inserted, bool(stripped.notes), len(places))
    return found


def _weighing(
    count: Count,
    rest: Sequence[Json],
    places: Sequence[int],
    window: Sequence[Json],
    stripped: _Stripped,
    inserted: Inserted,
) -> Count:
    """Counts a message with what stands in front of it in the window, or would if it were sent."""
    more = {id(clean): count(window[at]) - count(clean) for at, clean in stripped.origins}
    for message, at in zip(rest, places, strict=True):
        if at in inserted.quotes:
            quoted = {"role": "user", "content": f"{inserted.quotes[at]}\n\n"}
            more[id(message)] = count(quoted) - count({"role": "user", "content": ""})
    return lambda message: count(message) + more.get(id(message), 0)


class _Renumbered:
    """A decision, as one of the shorter history. What is only quoted is no message of the window."""

    def __init__(self, decision: Any, index: int) -> None:
        self.index, self.code = index, decision.code
        self.sent = decision.sent and str(decision.code) != "recalled"


def _stays(message: Json, at: int, inserted: Inserted) -> bool:
    if at not in inserted.folded or at in inserted.pinned:
        return True
    return message.get("role") in ("system", "developer") and not History([message]).items[0].blank


def _sent(
    rest: Sequence[Json], window: Sequence[Json], places: Sequence[int], pinned: frozenset[int]
) -> dict[int, int]:
    """Which message of the window carries which message of the whole history."""
    carried = align(History(rest), window, pinned).carried
    return {places[place]: match.sent for place, match in carried.items()}


# ----------------------------------------------------------------------------------- taking out


def _strip(window: Sequence[Json], inserted: Inserted) -> _Stripped:
    stripped = _Stripped()
    for index, message in enumerate(window):
        clean = copy.deepcopy(message)
        content = clean.get("content")
        if isinstance(content, str):
            clean["content"] = _strip_text(content, index, inserted, stripped)
        elif isinstance(content, list):
            clean["content"] = _strip_parts(content, index, inserted, stripped)
        if not (content and not clean["content"] and message.get("role") == "user"):
            stripped.window.append(clean)
            stripped.origins.append((index, clean))
    return stripped


def _strip_text(text: str, index: int, inserted: Inserted, stripped: _Stripped) -> str:
    note = _note_in(text, inserted.summary)
    if note:
        stripped.notes.append((index, note.start() == 0))
        text = text[: note.start()] + text[note.end() :].removeprefix("\n\n")
    for place, quote in inserted.quotes.items():
        at = text.find(quote)
        if at >= 0 and text[:at].endswith("\n\n" if at else ""):
            behind = text[at + len(quote) :]
            stripped.quotes.append((len(stripped.window), place, behind.removeprefix("\n\n")))
            text = text[:at] + behind.removeprefix("\n\n")
    return text


def _strip_parts(parts: list[Any], index: int, inserted: Inserted, stripped: _Stripped) -> list[Any]:
    kept = []
    for at, part in enumerate(parts):
        text = part.get("text") if part.get("type") == "text" else None
        if isinstance(text, str):
            notes = len(stripped.notes)
            rest = _strip_text(text, index, inserted, stripped)
            if len(stripped.notes) > notes and at:
                stripped.notes[-1] = (index, False)
            if rest or not text:
                kept.append({**part, "text": rest})
        else:
            kept.append(part)
    return kept


def _note_in(text: str, summary: str | None) -> re.Match[str] | None:
    """The note: a title, and the whole summary between two equal lines that do not stand in it."""
    if summary is None:
        return None
    pattern = rf"(?P<title>[^\n]+)\n{FENCES}\n{re.escape(summary)}\n(?P=fence)(?=\n|$)"
    for note in re.finditer(pattern, text):
        if note["fence"] not in summary:
            return note
    return None


# ----------------------------------------------------------------------------------- violations


def _note_violations(window: Sequence[Json], stripped: _Stripped, inserted: Inserted) -> Iterable[Violation]:
    users = [index for index, message in enumerate(window) if message.get("role") == "user"]
    for index, head in stripped.notes:
        if window[index].get("role") != "user":
            yield Violation(
                "note_role", f"the summary stands in a {window[index].get('role')} message", index
            )
        elif index != users[0] or not head:
            yield Violation("note_place", "the summary is not at the head of the first user message", index)
    if len(stripped.notes) > 1:
        yield Violation("note_twice", f"the summary is sent {len(stripped.notes)} times")


def _lost_note(
    history: Sequence[Json],
    window: Sequence[Json],
    inserted: Inserted,
    sent: Mapping[int, int],
    count: Count,
    limit: int,
    spent: int,
) -> Iterable[Violation]:
    """A summary is left out only where it does not fit beside what must be sent."""
    newest = History(history).newest
    first = min(History(history).runs()[-1], default=0) if newest is not None else 0
    free = {index for at, index in sent.items() if at < first and at not in inserted.pinned}
    free = {i for i in free if window[i].get("role") != "system"}
    must = spent - sum(count(window[i]) for i in free)
    note = count({"role": "user", "content": f"{inserted.summary}{'x' * 200}"})
    if must + note + SLACK <= limit:
        yield Violation("note_lost", f"{must} tokens must be sent, the summary would have fitted")


def _quote_violations(
    stripped: _Stripped, inserted: Inserted, sent: Mapping[int, int]
) -> Iterable[Violation]:
    places = [place for _, place, _ in stripped.quotes]
    for index, place, _ in stripped.quotes:
        if sent.get(place) != index:
            yield Violation("quote_stray", f"the quotation of message {place} stands elsewhere", index)
    for place in set(places):
        if places.count(place) > 1:
            yield Violation("quote_twice", f"the quotation of message {place} is sent twice", place)


def _lost_quotes(
    stripped: _Stripped,
    inserted: Inserted,
    sent: Mapping[int, int],
    newest: int | None,
    count: Count,
    limit: int | None,
    spent: int,
) -> Iterable[Violation]:
    """A quotation goes with its turn; only in front of the new input it may find no room."""
    there = {place for _, place, _ in stripped.quotes}
    for place in sent:
        if place not in inserted.quotes or place in there:
            continue
        cost = count({"role": "user", "content": inserted.quotes[place]})
        new = newest is not None and place >= newest
        if not new or limit is None or (spent + cost + SLACK <= limit and not inserted.pinned):
            yield Violation("quote_lost", f"message {place} is sent without what was quoted in it", place)


def _decision_violations(
    history: Sequence[Json],
    decisions: Sequence[Any],
    inserted: Inserted,
    noted: bool,
    stays: int,
) -> Iterable[Violation]:
    if len(decisions) != len(history):
        yield Violation("decisions", f"{len(decisions)} decisions for {len(history)} messages")
        return
    for at in sorted(inserted.folded - inserted.pinned):
        code = str(decisions[at].code)
        if _stays(history[at], at, inserted):
            continue
        if decisions[at].sent and code != "recalled":
            yield Violation("decisions", f"folded message {at} is said to be sent ({code})", at)
        elif noted and code in ("over_budget", "outside_window"):
            yield Violation("decisions", f"folded message {at} is said to be {code}", at)
        elif not noted and code == "summarised":
            yield Violation("decisions", f"message {at} is said to be in a summary that is not sent", at)
