"""Which old turns would have been quoted? The search of the stores, over a conversation in memory."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

import orjson

from ..context import Passage, quotation
from ..conversations import TurnState
from ..messages import Trait
from ..path import MessageRow, Path
from ..recall import AROUND, CANDIDATES, Present, better
from ..search.postings import Posting
from ..search.ranking import Talk, certainties, margin, rank, sought
from ..search.terms import Query, names, query, searchable, terms
from ..tokens import count_text
from ..window import Limits, Quotation
from .dialogue import Said

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Index"]

MOST = 15
"""A term that stands in a message more often is counted as so many."""
HIDDEN = Trait.RETRACTED | Trait.EXCLUDED | Trait.MODERATED
WITHDRAWN = Trait.RETRACTED | Trait.MODERATED


@dataclass(slots=True)
class Index:
    """The messages of a conversation as they can be found. Terms are kept by message, so a search over the
    turns before any one looks at no other."""

    said: list[tuple[Said, MessageRow, str]] = field(default_factory=list)
    turns: list[int] = field(default_factory=list)
    """The turn of each message."""
    lengths: array[float] = field(default_factory=lambda: array("d"))
    times: array[float] = field(default_factory=lambda: array("d"))
    postings: dict[int, tuple[array[int], array[float]]] = field(default_factory=dict)
    """The places of the messages that hold a term, and how often."""

    def add(self, said: Said) -> None:
        """One turn more. What was not completed, nor stopped by its user, cannot be found."""
        turn = said.turn
        stopped = turn.state == TurnState.INCOMPLETE and turn.traits & Trait.STOPPED
        if turn.state != TurnState.COMPLETED and not stopped:
            return
        for row in said.rows:
            message = orjson.loads(row.body) if row.role in ("user", "assistant") else {}
            words = searchable(message.get("content"))
            counts = terms(words)
            if counts:
                named = message.get("name")
                self._put(dict(counts) | dict.fromkeys(names(named) if isinstance(named, str) else (), 1))
                self.said.append((said, row, words))
                self.turns.append(turn.number)
                self.lengths.append(sum(min(count, MOST) for count in counts.values()))
                self.times.append(said.times[row.place] if said.times else said.at)

    def _put(self, counts: dict[int, int]) -> None:
        for term, count in counts.items():
            if term not in self.postings:
                self.postings[term] = array("q"), array("f")
            places, often = self.postings[term]
            places.append(len(self.said))
            often.append(min(count, MOST))

    def quoted(self, question: str, at: float, before: int, path: Path, limits: Limits) -> Quotation | None:
        """What would be quoted in front of ``question``, asked at the time ``at``, of the turns before
        ``before``: the same as `multiturn.recall` would, without other conversations. ``path`` is what the
        window is built from."""
        asked, end = query(question, now=at), bisect_left(self.turns, before)
        if not question.strip() or not end:
            return None
        present = Present.of(path, before)
        found = self._found(asked, end, present)
        if any(score >= margin(asked) for score in found.values()):
            good = self._better(asked, before, present)
            found = {place: score for place, score in found.items() if good is None or place in good}
        best = {self.turns[place] for place, score in found.items() if score >= margin(asked)}
        passages = [self._passage(place, score) for place, score in found.items()]
        beside = (place for turn in sorted(best) for place in self._places(turn))
        beside = (place for place in beside if place not in found and self._shows(place))
        passages += [
            self._passage(place, 0.0) for place in beside if not present.holds(None, self.said[place][2])
        ]
        return quotation(passages, question, limits, count_text, margin(asked))

    def _found(self, asked: Query, end: int, present: Present) -> dict[int, float]:
        """The best of the first ``end`` messages with their scores, but for what the window holds."""
        best = self._best(asked, end, CANDIDATES)
        return {
            place: score for place, score in best if not present.holds(self.turns[place], self.said[place][2])
        }

    def _best(self, asked: Query, end: int, limit: int) -> list[tuple[int, float]]:
        """The best of the first ``end`` messages with their scores, best first."""
        scores = self._scores(asked, end)
        best = scores.argsort(kind="stable")[::-1].tolist()
        good = (place for place in best if scores[place] > 0 and self._shows(place))
        return [(place, float(scores[place])) for place in islice(good, limit)]

    def _better(self, asked: Query, before: int, present: Present) -> set[int] | None:
        """See `multiturn.recall.better`: of all messages so far, those of the window included."""
        around = self._best(asked, len(self.said), AROUND)
        sent = {
            place
            for place, _ in around
            if self.turns[place] >= before or present.holds(self.turns[place], self.said[place][2])
        }
        return better(around, sent)

    def _places(self, turn: int) -> range:
        return range(bisect_left(self.turns, turn), bisect_right(self.turns, turn))

    def _scores(self, asked: Query, end: int) -> NDArray[np.float32]:
        """How well each of the first ``end`` messages fits."""
        import numpy as np

        talk = Talk(np.frombuffer(self.lengths, np.float64, end), np.frombuffer(self.times, np.float64, end))
        weights = sought(asked, talk)
        postings = [
            self._posting(term, weight, end)._replace(tells=tells)
            for (term, weight), tells in zip(weights.items(), certainties(asked, weights), strict=True)
        ]
        postings += [self._posting(term, 1.0, end, spreads=False) for term in asked.names]
        return rank(talk, postings, asked)

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
        _, row, words = self.said[place]
        name = orjson.loads(row.body).get("name")
        return Passage(row.turn, row.place, row.role, name, self.times[place], words, score)
