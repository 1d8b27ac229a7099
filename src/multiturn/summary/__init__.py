"""After a turn: which old turns become part of the summary, who writes it, and when? This is the door."""

from .compaction import Compactor, compact, last_call
from .retelling import spoken
from .summariser import TOLERANCE, Flaw, Summariser, Writing
from .writers import Writers

__all__ = [
    "TOLERANCE",
    "Compactor",
    "Flaw",
    "Summariser",
    "Writers",
    "Writing",
    "compact",
    "last_call",
    "spoken",
]
