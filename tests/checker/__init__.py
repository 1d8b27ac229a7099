"""An independent checker of context windows, and the generator of awkward histories."""

from .case import Count
from .checker import check, smallest_need
from .inserted import Inserted, check_inserted
from .rules import MODELS, Rules, rules_for
from .violation import Violation

__all__ = [
    "MODELS",
    "Count",
    "Inserted",
    "Rules",
    "Violation",
    "check",
    "check_inserted",
    "rules_for",
    "smallest_need",
]
