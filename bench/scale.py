"""How much is measured?"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FULL", "QUICK", "Scale"]


@dataclass(frozen=True, slots=True)
class Scale:
    """``sizes`` are lengths of conversations in messages; ``rounds`` how often everything is measured,
    taking turns; ``slice`` how many seconds of one round a contestant gets; ``turns`` how long the
    conversation of a long-lived client grows."""

    sizes: tuple[int, ...] = (100, 1_000, 10_000, 100_000)
    rounds: int = 41
    slice: float = 0.02
    turns: int = 20_000

    @property
    def shortest(self) -> int:
        """The shortest conversation."""
        return self.sizes[0]

    @property
    def longest(self) -> int:
        """The longest conversation."""
        return self.sizes[-1]


FULL = Scale()
QUICK = Scale(sizes=(100, 1_000, 10_000), rounds=15, turns=2_000)
