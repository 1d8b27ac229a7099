"""The simplest right window: a few lines that keep the newest turns, to try the checker on."""

from __future__ import annotations

from collections.abc import Sequence

from .reading import History, Json

__all__ = ["simple_window"]

DROPPED = ("reasoning_content", "reasoning", "model", "id", "created_at")


def simple_window(messages: Sequence[Json], turns: int | None = None) -> list[Json]:
    """What a model that takes everything but reasoning would be sent: all instructions where they stand
    and the newest turns (``None``: all), open calls closed, strays and blanks left out."""
    history = History(messages)
    starts = history.users
    first = 0 if turns is None or len(starts) <= turns + 1 else starts[-turns - 1]
    sent: list[Json] = []
    held: list[Json] = []
    waiting = 0
    for item in history.items:
        if item.instructs:
            (held if waiting > item.index else sent).append(_plain(messages[item.index]))
        elif item.index >= first and not history.droppable(item.index):
            sent.append(_plain(messages[item.index]))
        if item.calls and item.index >= first and not history.droppable(item.index):
            waiting = history.group_end(item.index)
        if item.index + 1 == waiting:
            sent += [*_closings(history, messages, waiting), *held]
            held = []
    return sent


def _closings(history: History, messages: Sequence[Json], end: int) -> list[Json]:
    caller = max(place for place in history.results if place < end)
    return [
        {"role": "tool", "tool_call_id": call, "content": "interrupted: no result"}
        for call in history.open[caller]
    ]


def _plain(message: Json) -> Json:
    return {
        name: value
        for name, value in message.items()
        if name not in DROPPED and (value is not None or name == "content")
    }
