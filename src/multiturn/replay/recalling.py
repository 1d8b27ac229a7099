"""Which old turns would have been quoted? The search of the stores, over a conversation in memory."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field

import orjson

from ..context.recall import Passage, quotation
from ..messages import Trait
from ..ranking import Posting, Talk, margin, rank
from ..terms import Query, names, query, terms
from ..tokens import count_text
from ..window import Limits, MessageRow, Quotation
from .dialogue import Said

__all__ = ["Index", "words_of"]

FOUND = 10
"""Messages that a search gives at most."""
MOST = 15
"""A term that stands in a message more often is counted as so many."""
HIDDEN = Trait.RETRACTED | Trait.EXCLUDED | Trait.MODERATED
WITHDRAWN = Trait.RETRACTED | Trait.MODERATED
COMPLETED, INCOMPLETE = 3, 4  # conversations.TurnState


@dataclass(slots=True)
class Index:
    """The messages of a conversation as they can be found. Terms are kept by message, so a search over the
    turns before any one looks at no other."""

    said: list[tuple[Said, MessageRow, str]] = field(default_factory=list)
    turns: list[int] = field(default_factory=list)
    """The turn of each message."""
    lengths: list[float] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    postings: dict[int, tuple[list[int], list[int]]] = field(default_factory=dict)
    """The places of the messages that hold a term, and how often."""

    def add(self, said: Said) -> None:
        """One turn more. What was not completed, nor stopped by its user, cannot be found."""
        turn = said.turn
        if turn.state != COMPLETED and not (turn.state == INCOMPLETE and turn.traits & Trait.STOPPED):
            return
        for row in said.rows:
            message = orjson.loads(row.body) if row.role in ("user", "assistant") else {}
            words = words_of(message.get("content"))
            counts = terms(words)
            if counts:
                named = message.get("name")
                self._put(dict(counts) | dict.fromkeys(names(named) if isinstance(named, str) else (), 1))
                self.said.append((said, row, words))
                self.turns.append(turn.number)
                self.lengths.append(sum(min(count, MOST) for count in counts.values()))
                self.times.append(said.at)

    def _put(self, counts: dict[int, int]) -> None:
        for term, count in counts.items():
            places, often = self.postings.setdefault(term, ([], []))
            places.append(len(self.said))
            often.append(min(count, MOST))

    def quoted(self, question: str, at: float, before: int, limits: Limits) -> Quotation:
        """What would be quoted in front of ``question``, asked at the time ``at``, of the turns before
        ``before``."""
        asked = query(question, now=at, opening=self.times[0] if self.times else None)
        end = bisect_left(self.turns, before)
        scores = self._scores(asked, end)
        found: dict[int, float] = {}
        for place in sorted(range(end), key=lambda place: (-scores[place], -place)):
            if scores[place] <= 0 or len(found) == FOUND:
                break
            if self._shows(place):
                found[place] = float(scores[place])
        turns = {self.turns[place] for place in found}
        told = [place for place in range(end) if self.turns[place] in turns and self._shows(place)]
        passages = [self._passage(place, found.get(place, 0.0)) for place in told]
        return quotation(passages, question, limits, count_text, margin(asked))

    def _scores(self, asked: Query, end: int) -> Sequence[float]:
        """How well each of the first ``end`` messages fits."""
        import numpy as np

        talk = Talk(np.array(self.lengths[:end]), np.array(self.times[:end]))
        postings = [self._posting(term, weight, end) for term, weight in asked.terms.items()]
        postings += [self._posting(term, 1.0, end, spreads=False) for term in asked.names]
        scores: Sequence[float] = rank(talk, postings, asked).tolist()
        return scores

    def _posting(self, term: int, weight: float, end: int, *, spreads: bool = True) -> Posting:
        import numpy as np

        places, often = self.postings.get(term, ([], []))
        few = bisect_left(places, end)
        return Posting(weight, np.array(places[:few], np.int64), np.array(often[:few], np.float32), spreads)

    def _shows(self, place: int) -> bool:
        """Whether a message may be shown: neither it nor its turn was withdrawn, refused or left out."""
        said, row, _ = self.said[place]
        out = any(each.role == "user" and each.traits & Trait.EXCLUDED for each in said.rows)
        return not (out or row.traits & HIDDEN or said.turn.traits & WITHDRAWN)

    def _passage(self, place: int, score: float) -> Passage:
        said, row, words = self.said[place]
        name = orjson.loads(row.body).get("name")
        return Passage(row.turn, row.place, row.role, name, said.at, words, score)


def words_of(content: object) -> str:
    """The words of a message's content."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    texts = (part.get("text") for part in content if isinstance(part, dict))
    return "\n".join(text for text in texts if isinstance(text, str))
