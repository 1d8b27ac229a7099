"""What does a prompt cache see of a request?"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Prompt"]


@dataclass(frozen=True, slots=True)
class Prompt:
    """A request: its messages as JSON, and ``tokens``, our count before calibration. ``at`` is when it is
    sent (in a fingerprint: when it ended), in seconds; ``anchor`` names what it begins with (first turn,
    version of the summary)."""

    body: bytes
    tokens: int
    at: float
    anchor: str = ""
