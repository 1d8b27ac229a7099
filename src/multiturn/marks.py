"""What is marked in a conversation, as a file of it tells it? Turns that are pinned, withdrawn, refused or
stopped, and messages that are left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from .conversations import Turn
from .errors import InputInvalid
from .messages import Trait
from .phrases import Reason
from .sealing import encoded
from .storage import Told

__all__ = ["Mark", "marks_in", "marks_of"]

OF_TURNS = {
    "pinned": Trait.PINNED,
    "retracted": Trait.RETRACTED,
    "moderated": Trait.MODERATED,
    "stopped": Trait.STOPPED,
}
NAMES = {**OF_TURNS, "excluded": Trait.EXCLUDED}
"""What a mark is called in a file. Only `excluded` is a message's own; the others are its turn's."""


class Mark(NamedTuple):
    """One mark: ``trait`` of the turn that holds ``message``, or of that message itself (``whole`` false);
    ``reason`` says why a turn was withdrawn."""

    message: str
    trait: int
    whole: bool
    reason: str | None = None


def marks_of(turns: Sequence[Turn], own: Sequence[Told], ids: Sequence[str]) -> list[dict[str, Any]]:
    """The marks of ``own`` messages and of the turns that begin with them, as a file tells them; ``ids``
    are the names of these messages there."""
    by_number = {turn.number: turn for turn in turns}
    found: list[dict[str, Any]] = []
    for told, name in zip(own, ids, strict=True):
        turn = by_number.pop(told.row.turn, None)
        for word, trait in OF_TURNS.items():
            if turn is not None and turn.traits & trait:
                reason = {"reason": turn.reason} if trait == Trait.RETRACTED and turn.reason else {}
                found.append({"message": name, "mark": word, **reason})
        if told.row.traits & Trait.EXCLUDED:
            found.append({"message": name, "mark": "excluded"})
    return found


def marks_in(head: Mapping[str, Any], name: str) -> list[Mark]:
    """The marks in a head line of the file ``name``; a file of long ago has none. Raises `InputInvalid` for
    what is no mark."""
    lines = head.get("marks", [])
    if not isinstance(lines, list):
        raise InputInvalid(Reason("why.file_mark", file=name, value=f"{lines!r:.60}"))
    return [_mark(line, name) for line in lines]


def _mark(line: object, name: str) -> Mark:
    reason = line.get("reason") if isinstance(line, dict) else None
    match line:
        case {"message": str(message), "mark": str(word)} if word in NAMES and isinstance(reason, str | None):
            encoded([message, reason])
            return Mark(message, NAMES[word], word in OF_TURNS, reason)
        case _:
            raise InputInvalid(Reason("why.file_mark", file=name, value=f"{line!r:.60}"))
