"""Which messages of a turn belong together, and which are sent at all? A call is sent with all its
results, or not at all.

A *group* is an assistant message that calls tools, with the results that follow it; every other
message is a group of its own. Nothing here changes what is stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from ..decision import Code
from ..messages import Trait
from ..path import MessageRow

__all__ = ["Group", "by_turn", "grouped", "in_force", "interrupted", "left_out_by_hand", "turn_left_out"]

SILENCED = Trait.EXCLUDED | Trait.BARE
INTERRUPTED = "[interrupted: this call was never answered]"


@dataclass(slots=True, eq=False)
class Group:
    """Messages of one turn that are kept or left together.

    ``rows`` are sent, unless ``left_out`` says why not; ``spare`` are results without their call, or a
    second result of the same call: no provider takes them. ``open`` are the ids of calls without a
    result.
    """

    rows: list[MessageRow]
    spare: list[MessageRow] = field(default_factory=list)
    open: list[str] = field(default_factory=list)

    @property
    def traits(self) -> int:
        """The traits of its first message."""
        return self.rows[0].traits if self.rows else 0

    @property
    def instruction(self) -> bool:
        """Whether it is an instruction in the middle of the path."""
        return bool(self.traits & Trait.INSTRUCTION)

    @property
    def left_out(self) -> Code | None:
        """Why it is never sent: the user left it out (a call takes its results along), or it says
        nothing and calls nothing."""
        traits = self.traits
        if traits & Trait.EXCLUDED:
            return Code.EXCLUDED_BY_USER
        silent = traits & Trait.BARE and not traits & Trait.TOOL_CALL
        return Code.INCOMPLETE if silent or not self.rows else None


def by_turn(rows: Iterable[MessageRow]) -> dict[int, list[MessageRow]]:
    """Rows in time order, by the number of their turn."""
    turns: dict[int, list[MessageRow]] = {}
    for row in rows:
        turns.setdefault(row.turn, []).append(row)
    return turns


def grouped(rows: Sequence[MessageRow]) -> list[Group]:
    """The messages of a turn as groups, in order.

    In a turn without a user message nothing but words of the assistant can be sent: they open the
    conversation.
    """
    groups: list[Group] = []
    opens = all(row.role != "user" for row in rows)
    for row in rows:
        if row.role == "tool":
            _add_result(groups, row)
        elif opens and row.traits & Trait.TOOL_CALL:
            groups.append(Group([], spare=[row]))
        else:
            groups.append(Group([row], open=_call_ids(row)))
    return groups


def _call_ids(row: MessageRow) -> list[str]:
    if not row.traits & Trait.TOOL_CALL:
        return []
    return [call["id"] for call in orjson.loads(row.body)["tool_calls"]]


def _add_result(groups: list[Group], row: MessageRow) -> None:
    """A result joins its call, also where an instruction came between them."""
    asking = next((group for group in reversed(groups) if not group.instruction), None)
    call = orjson.loads(row.body)["tool_call_id"]
    if asking and call in asking.open and not row.traits & Trait.EXCLUDED:
        asking.open.remove(call)
        asking.rows.append(row)
    elif asking:
        asking.spare.append(row)
    else:
        groups.append(Group([], spare=[row]))


def turn_left_out(rows: Iterable[MessageRow]) -> Code | None:
    """Why a turn is left out for what its user message is: excluded by hand, or empty."""
    for row in rows:
        if row.role == "user" and row.traits & Trait.EXCLUDED:
            return Code.EXCLUDED_BY_USER
        if row.role == "user" and row.traits & Trait.BARE:
            return Code.INCOMPLETE
    return None


def left_out_by_hand(rows: Iterable[MessageRow]) -> list[bool]:
    """Which messages of a turn the user left out one by one; an answer takes the results of its calls
    along."""
    out: list[bool] = []
    taken = False
    for row in rows:
        own = bool(row.traits & Trait.EXCLUDED)
        if row.role in ("user", "assistant"):
            taken = own
        out.append(own or (taken and row.role == "tool"))
    return out


def in_force(row: MessageRow) -> bool:
    """Whether a message is an instruction that is sent whatever becomes of its turn."""
    return bool(row.traits & Trait.INSTRUCTION) and not row.traits & SILENCED


def interrupted(call: str) -> dict[str, Any]:
    """The result that closes a call nobody answered."""
    return {"role": "tool", "tool_call_id": call, "content": INTERRUPTED}
