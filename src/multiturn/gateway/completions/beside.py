"""What is the answer of a turn called, and what is told beside it?"""

from __future__ import annotations

from ...ledger import Ledger
from ...stream import AsyncStream
from ...window import Window
from .form import Named
from .routed import routed_headers

__all__ = ["named_of", "sent_headers", "window_headers"]


def window_headers(window: Window) -> dict[str, str]:
    """What a client is told of what was sent."""
    return sent_headers(window.target.model, window)


def sent_headers(model: str, sent: Window | Ledger) -> dict[str, str]:
    """The same of what was sent to a ``model``, also where only its ledger is known."""
    left = sum(span.messages for span in sent.spans if not span.sent)
    return {
        "x-multiturn-model": model,
        **routed_headers(sent.route, model),
        "x-multiturn-context-tokens": str(sent.tokens),
        "x-multiturn-left-out": str(left),
    }


def named_of(stream: AsyncStream, model: str) -> Named:
    """What the answer of a turn is called: the same each time it is told."""
    return Named(f"chatcmpl-{stream.turn.id.removeprefix('turn_')}", model, stream.turn.created_at)
