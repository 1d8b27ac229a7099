"""What would the summaries have been? A text of the right size stands in for each, and its writing is
counted."""

from __future__ import annotations

from ..context import folding
from ..conversations import Summary
from ..messages import Trait
from ..path import Cut, TurnRow
from ..prompts import Asked, asked
from ..storage import Reach
from ..terms import Terms
from ..tokens import count_message, count_text
from ..usage import Usage
from .dialogue import Spoken

__all__ = ["Fold", "folded"]

FILLER = "word "
"""Costs about a token."""
UNSAID = Trait.RETRACTED | Trait.MODERATED

Fold = tuple[Summary, Usage]
"""A summary, and what writing it used, in uncalibrated tokens."""


def folded(past: Spoken, terms: Terms, cut: Cut | None, present: Summary | None) -> Fold | None:
    """The summary that would be written after the newest turn of ``past``; ``None``: nothing is to be
    folded. ``present`` is the one in force.

    Nobody is asked, so its words are not known: a filler stands for them that is as long as the summary
    may be, but never longer than what it covers. Replies are shorter more often than not, so the cost is
    an upper bound.
    """
    bounds = terms.limits
    path = past.path(Reach(tokens=int(bounds.high / bounds.scale), key=bounds.key), cut, summary=present)
    span = folding(path, bounds, terms.head_tokens)
    if span is None:
        return None
    first, last = span
    new = sum(_told(turn) for turn in past.turns[first - 1 : last])
    before = present.tokens if present else 0
    version = present.version + 1 if present else 1
    text = _filler(min(bounds.summary_tokens, before + new), version)
    summary = Summary(version, last, text, count_text(text), terms.card.name)
    request = sum(count_message(message) for message in asked(Asked("", "", "en"), bounds.summary_tokens))
    return summary, Usage(request + before + new, summary.tokens)


def _told(turn: TurnRow) -> int:
    """What a turn costs the summariser to read: nothing where it is never sent again."""
    return 0 if turn.traits & UNSAID else turn.tokens


def _filler(tokens: int, version: int) -> str:
    """A text of about so many tokens, which differs from version to version as summaries do."""
    return f"{version}: " + FILLER * max(1, int((tokens - 3) / 1.05))
