"""The pure heart: history in, window out. Nothing here waits, reads a clock or touches a disk."""

from .budget import limits, reserve
from .build import build, enough
from .outgoing import check_input
from .recall import Passage, quotation
from .summary import due, folding

__all__ = [
    "Passage",
    "build",
    "check_input",
    "due",
    "enough",
    "folding",
    "limits",
    "quotation",
    "reserve",
]
