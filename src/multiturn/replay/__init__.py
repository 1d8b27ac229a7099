"""What if? Stored conversations under other policies and models, without calling anyone."""

from .dialogue import Dialogue, Said, read
from .evidence import Use, uses
from .fates import Fates
from .outcome import Case, Outcome, TurnOutcome, replay
from .picture import picture
from .report import Billed, Difference, Errors, Total, billed, total, worst

__all__ = [
    "Billed",
    "Case",
    "Dialogue",
    "Difference",
    "Errors",
    "Fates",
    "Outcome",
    "Said",
    "Total",
    "TurnOutcome",
    "Use",
    "billed",
    "picture",
    "read",
    "replay",
    "total",
    "uses",
    "worst",
]
