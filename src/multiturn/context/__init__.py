"""The pure heart: history in, window out. Nothing here waits, reads a clock or touches a disk."""

from .budget import limits, reserve
from .build import build, enough
from .outgoing import check_input
from .summary import due, folding

__all__ = ["build", "check_input", "due", "enough", "folding", "limits", "reserve"]
