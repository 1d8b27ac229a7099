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
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .postings import Posting, Postings
from .terms import Query

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Doubles = NDArray[np.float64]
    Numbers = NDArray[np.int64]

__all__ = [
    "MANY",
    "MARGIN",
    "MARGIN_AT_HAND",
    "MARGIN_BACK",
    "Talk",
    "certainties",
    "margin",
    "passed_over",
    "rank",
    "ranked",
    "sought",
    "telling",
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
COMMON_REACH, RARE_REACH = 0.3, 1.3
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

MANY = 1_000
"""Messages from which on common terms are left out: they are most of the work and tell little."""
COMMON = 8
"""A term is common that more than one of so many messages has."""
ENOUGH = 4
"""Terms that are kept, however common they are."""

CELLS = 1 << 18
"""How many places are worked on at one time: they should stay in the processor's cache."""
FEW = 4_000
"""Messages up to which all are looked at for every term."""
LENDING = 8
"""Fewer than one message that has a term among so many that are looked at: they lend one by one."""
SPARSE = 24
"""A term that one of so many messages has, or fewer, is spread from its own places alone."""


@dataclass(frozen=True, slots=True)
class Talk:
    """The messages among which is searched, in time order: how many terms each has, and when it was
    said (seconds). ``openings`` are the places where another conversation begins."""

    lengths: Doubles
    times: Doubles
    openings: Sequence[int] = ()


def certainties(query: Query, terms: Iterable[int]) -> list[float]:
    """What each of these terms of the question ``tells`` in its `Posting`."""
    return [LOOSE if term in query.loose else 1.0 for term in terms]


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
    return ranked(talk, Postings.of(postings), query)


def ranked(talk: Talk, postings: Postings, query: Query) -> Floats:
    """The same of terms that lie in arrays, none of which is in a message twice."""
    import numpy as np

    messages = len(talk.lengths)
    if not messages:
        return np.zeros(0, np.float32)
    ground = _Ground(talk, query)
    holders = np.bincount(postings.term, minlength=len(postings.weights))
    spread = postings.spreads & (holders > 0)
    spread[spread] = telling(holders[spread], messages)
    sparse = (holders * SPARSE < messages) & (messages > FEW)
    ground.miss(postings, postings.spreads & (holders == 0))
    ground.add(postings, holders, (spread & ~sparse).nonzero()[0])
    few, names = (spread & sparse).nonzero()[0], (~postings.spreads & (holders > 0)).nonzero()[0]
    if len(few) or len(names):
        postings = postings.term_after_term()
    for term in few.tolist():
        ground.add_sparse(postings, term)
    for term in names.tolist():
        ground.add_name(postings, term)
    return _scaled(ground, _dated(talk, query))


def telling(holders: Numbers, messages: int) -> NDArray[np.bool_]:
    """Which terms are looked at that so many of the messages have, among many without the commonest, which
    tell them hardly apart. Of the terms that are equally common the first are taken."""
    import numpy as np

    if messages < MANY:
        return np.ones(len(holders), bool)
    kept = holders * COMMON <= messages
    kept[holders.argsort(kind="stable")[:ENOUGH]] = True
    return kept


def passed_over(least: Numbers, most: Numbers, messages: int) -> NDArray[np.bool_]:
    """Which terms `telling` would leave out for certain, where of each is known how many of the messages have
    it at ``least`` and at ``most``."""
    import numpy as np

    if messages < MANY or np.count_nonzero((most > 0) & (most * COMMON <= messages)) < ENOUGH:
        return np.zeros(len(least), bool)
    return least * COMMON > messages


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
        breaks[1:] = np.abs(talk.times[1:] - talk.times[:-1]) > SILENCE
        breaks[[opening for opening in talk.openings if opening < self.messages]] = 1
        self.at = np.arange(self.messages) + GAP * (1 + breaks.cumsum())
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
        self.lent = np.array([*AFTER[::-1], 1.0, *BEFORE], np.float32)
        self.steps = np.arange(-len(AFTER), len(BEFORE) + 1)

    def _rarity(self, holders: float) -> float:
        return _rarity(holders, self.messages)

    def _tells(self, holders: float) -> float:
        """How certain a term makes that so many messages hold, from 0 to 1."""
        messages = max(self.messages, SHORT) if self.back else self.messages
        return (_rarity(holders, messages) / _rarity(0, messages)) ** 2

    def miss(self, postings: Postings, unknown: NDArray[np.bool_]) -> None:
        """Terms that nobody said."""
        self.asked += UNKNOWN * float((postings.weights * postings.tells)[unknown].sum())

    def add(self, postings: Postings, holders: Numbers, chosen: Numbers) -> None:
        """Terms that many have, some at one time: all messages are looked at for each."""
        import numpy as np

        size = max(1, CELLS // self.width)
        for first in range(0, len(chosen), size):
            few = chosen[first : first + size]
            row = np.full(len(holders), -1, np.int64)
            row[few] = np.arange(len(few))
            rows = row[postings.term]
            inside = rows >= 0
            here = rows[inside] * self.width + self.at[postings.places[inside]]
            shape, reaches = (len(few), self.width), self._reaches(holders[few])
            counts = self._spread(here, postings.counts[inside], reaches, shape)
            self._add_rows(counts, postings.weights[few], postings.tells[few])

    def _spread(self, here: Numbers, own: Floats, reaches: Floats, shape: tuple[int, int]) -> Floats:
        """The effective counts of some terms by row. ``here`` are places in the rows laid end to end, which
        have their ``own`` counts. Few of them lend one by one; where many have, all places do at once."""
        import numpy as np

        counts: Floats
        if len(here) * LENDING < shape[0] * shape[1]:
            lent = own[:, None] * self.lent * reaches[here // self.width][:, None]
            lent[:, len(AFTER)] = own
            around = (here[:, None] + self.steps).ravel()
            counts = np.bincount(around, lent.ravel(), shape[0] * shape[1]).astype(np.float32).reshape(shape)
        else:
            rows = np.zeros(shape[0] * shape[1], np.float32)
            rows[here] = own
            counts = _near(rows.reshape(shape))
            counts *= reaches[:, None]
            counts += rows.reshape(shape)
        counts *= self.said
        return counts

    def _add_rows(self, counts: Floats, weights: Doubles, tells: Doubles) -> None:
        import numpy as np

        holders = (counts != 0).sum(axis=1)
        mild = counts / (counts + self.mild) if self.back else None
        counts /= counts + self.norm
        rarities = np.array([self._rarity(each) for each in holders.tolist()])
        certain = weights * tells * np.array([self._tells(each) for each in holders.tolist()])
        both = np.array([weights * rarities, certain], np.float32) * np.float32(K1 + 1)
        self.scores += np.einsum("t,tm->m", both[0], counts)
        self.sure += np.einsum("t,tm->m", both[1], counts if mild is None else mild)
        self.asked += float(certain.sum())

    def add_sparse(self, postings: Postings, term: int) -> None:
        """A term that few have: only the places around them are looked at."""
        import numpy as np

        places, counts = _of(postings, term)
        own = self.at[places]
        lent = self.lent * self._reaches(np.array([len(places)]))
        lent[len(AFTER)] = 1.0
        around = own[:, None] + self.steps
        np.add.at(self.scratch, around, counts[:, None] * lent)
        few = around.size * 64 < self.width
        held = np.unique(around) if few else np.flatnonzero(self.scratch)
        found = self.scratch[held]
        self.scratch[held] = 0.0
        said = self.said[held]
        worth = float(postings.weights[term]), float(postings.tells[term])
        self._add(worth, found[said], held[said], int(np.count_nonzero(said)))

    def add_name(self, postings: Postings, term: int) -> None:
        """A speaker's name: it counts for what they said themselves, and makes nothing more certain."""
        places, _ = _of(postings, term)
        here = self.at[places]
        rarity = self._rarity(len(places))
        self.scores[here] += float(postings.weights[term]) * rarity * (K1 + 1) / (1 + self.norm[here])

    def _reaches(self, holders: Numbers) -> Floats:
        """How much of each term spreads."""
        import numpy as np

        common = np.log(holders) / math.log(self.messages + 1)
        reaches: Floats = (COMMON_REACH + (RARE_REACH - COMMON_REACH) * (1 - common)).astype(np.float32)
        return reaches

    def _add(self, worth: tuple[float, float], counts: Floats, here: Numbers, holders: int) -> None:
        weight, tells = worth
        fits = counts / (counts + self.norm[here])
        certain = weight * tells * self._tells(holders)
        self.scores[here] += (weight * self._rarity(holders) * (K1 + 1)) * fits
        self.sure[here] += (certain * (K1 + 1)) * counts / (counts + self.mild[here])
        self.asked += certain


def _of(postings: Postings, term: int) -> tuple[Numbers, Floats]:
    """The places of one term, and its counts there."""
    first, end = postings.term.searchsorted([term, term + 1])
    return postings.places[first:end], postings.counts[first:end]


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
