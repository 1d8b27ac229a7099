"""After a turn: which old turns become part of the summary, who writes it, and when? This is the door."""

from .compaction import Compactor, compact, last_call
from .summariser import TOLERANCE, Summariser

__all__ = ["TOLERANCE", "Compactor", "Summariser", "compact", "last_call"]
