"""The blocking API: the same client, driven on a thread with an event loop of its own. This is the door."""

from .chat import BlockingConversation
from .client import MultiTurn
from .stream import PreparedTurn, Stream

__all__ = ["BlockingConversation", "MultiTurn", "PreparedTurn", "Stream"]
