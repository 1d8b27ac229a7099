"""In which messages does a term stand, and how often?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Doubles = NDArray[np.float64]
    Numbers = NDArray[np.int64]

__all__ = ["Posting", "Postings"]


class Posting(NamedTuple):
    """In which messages a term stands, by their place in the talk, and how often. A speaker's name
    (``spreads`` is false) says nothing of the neighbours' words. ``tells`` is how much more certain it
    makes that a message fits, beside other terms as rare."""

    weight: float
    places: Numbers
    counts: Floats
    spreads: bool = True
    tells: float = 1.0


class Postings(NamedTuple):
    """Several terms: of each its ``weights``, whether it ``spreads`` and how much it ``tells``, as in a
    `Posting`; and of each record the number of the ``term``, a place and a count. Those of a term are in the
    order of their places."""

    weights: Doubles
    spreads: NDArray[np.bool_]
    tells: Doubles
    term: Numbers
    places: Numbers
    counts: Floats

    @classmethod
    def of(cls, postings: Sequence[Posting]) -> Postings:
        """The same as arrays."""
        import numpy as np

        sizes = [len(each.places) for each in postings]
        return cls(
            np.array([each.weight for each in postings], np.float64),
            np.array([each.spreads for each in postings], bool),
            np.array([each.tells for each in postings], np.float64),
            np.repeat(np.arange(len(postings)), sizes),
            np.concatenate([np.zeros(0, np.int64), *(each.places for each in postings)]),
            np.concatenate([np.zeros(0, np.float32), *(each.counts for each in postings)]),
        )

    def term_after_term(self) -> Postings:
        """The same with the records of each term together."""
        in_order = self.term.argsort(kind="stable")
        return self._replace(
            term=self.term[in_order], places=self.places[in_order], counts=self.counts[in_order]
        )
