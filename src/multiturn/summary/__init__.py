"""After a turn: which old turns become part of the summary, who writes it, and when? This is the door."""

from .compaction import Compactor, compact

__all__ = ["Compactor", "compact"]
