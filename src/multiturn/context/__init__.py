"""The pure heart: history in, window out. Nothing here waits, reads a clock or touches a disk. This is the
door."""

from .budget import limits, reserve
from .build import build, enough
from .calls import grouped, turn_left_out
from .outgoing import check_input
from .recall import Passage, is_quoted, quotation, quoted_words
from .recency import left_out_as
from .summary import NOTE_TOKENS, due, folding
from .summary import note as summary_note

__all__ = [
    "NOTE_TOKENS",
    "Passage",
    "build",
    "check_input",
    "due",
    "enough",
    "folding",
    "grouped",
    "is_quoted",
    "left_out_as",
    "limits",
    "quotation",
    "quoted_words",
    "reserve",
    "summary_note",
    "turn_left_out",
]
