"""Which messages fit a question best? BM25 over terms that spread to the neighbours of a message.

People name a thing once and then talk about it without its name, so a message borrows the words of
those around it: more from what was said before than from what came after, more of rare words (a
name stays the topic) than of common ones, and never across a silence of half an hour. The figures
were chosen on conversations that other people wrote (`bench/recall.py`).

Arrays, not loops: a question over 100,000 messages must not be felt. numpy is loaded when the first
question is asked.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from .terms import Query

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Numbers = NDArray[np.int64]

__all__ = [
    "MARGIN",
    "MARGIN_AT_HAND",
    "MARGIN_BACK",
    "Posting",
    "Talk",
    "certainty",
    "margin",
    "rank",
    "sought",
]

MARGIN = 0.12
"""A message that scores less is not quoted unasked."""
MARGIN_BACK = 0.02
"""… where the question refers back."""
MARGIN_AT_HAND = 0.18
"""… where it points at what was said a moment ago, which is in the window, or wants something new."""
SILENCE = 1800.0
"""Seconds after which a new sitting begins."""

BEFORE = tuple(0.6 * 0.8**distance for distance in range(6))
"""What a message gets of the words of the one before it, of the one before that, …"""
AFTER = tuple(0.24 * 0.8**distance for distance in range(5))
COMMON, RARE = 0.3, 1.3
"""How much of that common and rare words spread."""
K1, B = 1.2, 0.75
GAP = max(len(BEFORE), len(AFTER))
"""Empty places between two sittings: nothing spreads across."""
DATED = 0.5
"""What a message of a day that the question names gets on top, as a share of the best score."""

LOOSE = 0.25
"""What a term tells that joins what need not belong together."""
UNKNOWN = 0.3
"""How much a word that was never said lowers the score, beside a rare one that was."""
SLIGHT = 2.0
"""As much certainty as this must be gathered before a score means anything: two rare words in full."""
SHORT = 20
"""Fewer messages are taken for a piece of so many by a question that refers back: where two borrow each
other's words, no word is rare."""
LONG = 4
"""A message longer than so many usual ones is for such a question no less certain to fit: it may be a
document, and one sentence of it the answer."""
USUAL = 400
"""Messages for which the margin was chosen: among more of them the best one fits better by chance."""

CELLS = 1 << 18
"""How many places are worked on at one time: they should stay in the processor's cache."""
FEW = 4_000
"""Messages up to which all are looked at for every term."""
SPARSE = 24
"""A term that one of so many messages has, or fewer, is spread from its own places alone."""


class Posting(NamedTuple):
    """In which messages a term stands, by their place in the talk, and how often. A speaker's name
    (``spreads`` is false) says nothing of the neighbours' words. ``tells`` is how much more certain it
    makes that a message fits, beside other terms as rare."""

    weight: float
    places: Numbers
    counts: Floats
    spreads: bool = True
    tells: float = 1.0


@dataclass(frozen=True, slots=True)
class Talk:
    """The messages among which is searched, in time order: how many terms each has, and when it was
    said (seconds). ``openings`` are the places where another conversation begins."""

    lengths: NDArray[np.float64]
    times: NDArray[np.float64]
    openings: Sequence[int] = ()


def certainty(query: Query, term: int) -> float:
    """What a term of the question ``tells`` in its `Posting`."""
    return LOOSE if term in query.loose else 1.0


def sought(query: Query, talk: Talk) -> Mapping[int, float]:
    """The terms that are searched for, with their weights. Where something was said on a day that the
    question names, the words of the date are not: the day decides, not who else said its number."""
    if query.undated is None or not _dated(talk, query).any():
        return query.terms
    return query.undated


def margin(query: Query) -> float:
    """The score below which nothing is quoted for this question."""
    if query.refers_back:
        return MARGIN_BACK
    return MARGIN_AT_HAND if query.at_hand else MARGIN


def rank(talk: Talk, postings: Sequence[Posting], query: Query) -> Floats:
    """A score from 0 to 1 for each message of the talk.

    The best one's says how much it holds of what the question asks for, rare words above all; the
    others' are in proportion to their BM25.
    """
    import numpy as np

    if not len(talk.lengths):
        return np.zeros(0, np.float32)
    ground = _Ground(talk, query)
    dense = [posting for posting in postings if posting.spreads and not ground.is_sparse(posting)]
    size = max(1, CELLS // ground.width)
    for first in range(0, len(dense), size):
        ground.add(dense[first : first + size])
    for posting in postings:
        if not posting.spreads:
            ground.add_name(posting)
        elif ground.is_sparse(posting):
            ground.add_sparse(posting)
    return _scaled(ground, _dated(talk, query))


def _dated(talk: Talk, query: Query) -> NDArray[np.bool_]:
    """Which messages are of a day that the question names."""
    import numpy as np

    found = np.zeros(len(talk.times), bool)
    for first, last in query.dates:
        found |= (talk.times >= first) & (talk.times < last)
    return found


def _scaled(ground: _Ground, dated: NDArray[np.bool_]) -> Floats:
    """BM25 with the dates, brought to a best score that says how sure it is."""
    scores: Floats = ground.scores[ground.at]
    if dated.any():
        scores[dated] += DATED * (float(scores.max()) or 1.0)
    top = int(scores.argmax())
    best = float(scores[top])
    if best <= 0:
        return scores
    sure = float(ground.sure[ground.at[top]]) / ((ground.asked + SLIGHT) * (K1 + 1))
    sure *= math.log(USUAL / 5) / math.log(max(len(scores), USUAL / 20) / 5)
    if dated[top]:
        sure = max(sure, MARGIN_AT_HAND)
    scores *= min(1.0, sure) / best
    return scores


class _Ground:
    """Where the messages of a talk lie, with empty places between its sittings, and what has been
    added up at each place: BM25, and how much of it is rare."""

    def __init__(self, talk: Talk, query: Query) -> None:
        import numpy as np

        self.messages = len(talk.lengths)
        breaks = np.zeros(self.messages, np.int64)
        breaks[1:] = np.abs(np.diff(talk.times)) > SILENCE
        breaks[[opening for opening in talk.openings if opening < self.messages]] = 1
        self.at = np.arange(self.messages) + GAP * (1 + np.cumsum(breaks))
        self.width = int(self.at[-1]) + GAP + 1
        self.said = np.zeros(self.width, bool)
        self.said[self.at] = True
        lengths = np.zeros((1, self.width), np.float32)
        lengths[0, self.at] = talk.lengths
        lengths += _near(lengths)
        mean = float(lengths[0, self.at].mean()) or 1.0
        self.norm = (K1 * (1 - B) + K1 * B / mean * lengths[0]).astype(np.float32)
        self.back = query.refers_back
        self.mild = np.minimum(self.norm, np.float32(K1 * (1 - B + B * LONG))) if self.back else self.norm
        self.scores = np.zeros(self.width, np.float32)
        self.sure = np.zeros(self.width, np.float32)
        self.asked = 0.0
        self.scratch = np.zeros(self.width, np.float32)
        self.taps = np.array([*AFTER[::-1], 1.0, *BEFORE], np.float32)
        self.steps = np.arange(-len(AFTER), len(BEFORE) + 1)

    def _rarity(self, holders: float) -> float:
        return _rarity(holders, self.messages)

    def _tells(self, holders: float) -> float:
        """How certain a term makes that so many messages hold, from 0 to 1."""
        messages = max(self.messages, SHORT) if self.back else self.messages
        return (_rarity(holders, messages) / _rarity(0, messages)) ** 2

    def is_sparse(self, posting: Posting) -> bool:
        """Whether so few messages have the term that the others need not be looked at."""
        return not len(posting.places) or (
            self.messages > FEW and len(posting.places) * SPARSE < self.messages
        )

    def add(self, postings: Sequence[Posting]) -> None:
        """Terms that many have, some at one time."""
        import numpy as np

        own = np.zeros((len(postings), self.width), np.float32)
        for row, posting in zip(own, postings, strict=True):
            row[self.at[posting.places]] = posting.counts
        counts = _near(own)
        counts *= np.array([[self._reach(posting)] for posting in postings], np.float32)
        counts += own
        counts *= self.said
        holders = np.count_nonzero(counts, axis=1)
        mild = counts / (counts + self.mild) if self.back else None
        counts /= counts + self.norm
        weights = np.array([posting.weight for posting in postings])
        tells = np.array([posting.tells for posting in postings])
        rarities = np.array([self._rarity(each) for each in holders.tolist()])
        certain = weights * tells * np.array([self._tells(each) for each in holders.tolist()])
        both = np.array([weights * rarities, certain], np.float32) * np.float32(K1 + 1)
        self.scores += np.einsum("t,tm->m", both[0], counts)
        self.sure += np.einsum("t,tm->m", both[1], counts if mild is None else mild)
        self.asked += float(certain.sum())

    def add_sparse(self, posting: Posting) -> None:
        """A term that few have: only the places around them are looked at."""
        import numpy as np

        if not len(posting.places):
            self.asked += posting.weight * posting.tells * UNKNOWN
            return
        own = self.at[posting.places]
        taps = self.taps * self._reach(posting)
        taps[len(AFTER)] = 1.0
        around = own[:, None] + self.steps
        np.add.at(self.scratch, around, posting.counts[:, None] * taps)
        few = around.size * 64 < self.width
        held = np.unique(around) if few else np.flatnonzero(self.scratch)
        counts = self.scratch[held]
        self.scratch[held] = 0.0
        said = self.said[held]
        self._add(posting, counts[said], held[said], int(np.count_nonzero(said)))

    def add_name(self, posting: Posting) -> None:
        """A speaker's name: it counts for what they said themselves, and makes nothing more certain."""
        if len(posting.places):
            here = self.at[posting.places]
            rarity = self._rarity(len(posting.places))
            self.scores[here] += posting.weight * rarity * (K1 + 1) / (1 + self.norm[here])

    def _reach(self, posting: Posting) -> float:
        """How much of the term spreads."""
        all_messages = math.log(self.messages + 1)
        return COMMON + (RARE - COMMON) * (1 - math.log(len(posting.places)) / all_messages)

    def _add(self, posting: Posting, counts: Floats, here: slice | Numbers, holders: int) -> None:
        rarity = self._rarity(holders)
        fits = counts / (counts + self.norm[here])
        certain = posting.weight * posting.tells * self._tells(holders)
        self.scores[here] += (posting.weight * rarity * (K1 + 1)) * fits
        self.sure[here] += (certain * (K1 + 1)) * counts / (counts + self.mild[here])
        self.asked += certain


def _rarity(holders: float, messages: int) -> float:
    return math.log(1 + (messages - holders + 0.5) / (holders + 0.5))


def _near(own: Floats) -> Floats:
    """What the neighbours lend, by row."""
    import numpy as np

    near, lent = np.zeros_like(own), np.empty_like(own)
    for distance, share in enumerate(BEFORE, 1):
        near[:, distance:] += np.multiply(own[:, :-distance], share, out=lent[:, distance:])
    for distance, share in enumerate(AFTER, 1):
        near[:, :-distance] += np.multiply(own[:, distance:], share, out=lent[:, distance:])
    return near
