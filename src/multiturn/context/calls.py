"""Which tool calls and results belong together? A call is sent with all its results, or not at all.

A *group* is an assistant message that calls tools, with the results that follow it; every other
message is a group of its own. Nothing here changes what is stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from ..messages import Trait
from ..window import MessageRow

__all__ = ["Group", "grouped", "interrupted", "outgrown"]

INTERRUPTED = "[interrupted: this call was never answered]"


@dataclass(slots=True)
class Group:
    """Messages of one turn that are kept or left together.

    ``rows`` are sent; ``spare`` are results without their call, or a second result of the same call:
    no provider takes them. ``open`` are the ids of calls without a result.
    """

    rows: list[MessageRow]
    spare: list[MessageRow] = field(default_factory=list)
    open: list[str] = field(default_factory=list)

    @property
    def tokens(self) -> int:
        """What it costs, reasoning and the results that close it included."""
        return sum(row.tokens + row.reasoning_tokens for row in self.rows) + 16 * len(self.open)

    @property
    def excluded(self) -> bool:
        """Whether the user left it out by hand: an excluded call takes its results along."""
        return bool(self.rows and self.rows[0].traits & Trait.EXCLUDED)


def call_ids(row: MessageRow) -> list[str]:
    """The ids of the calls that a message makes."""
    if not row.traits & Trait.TOOL_CALL:
        return []
    return [call["id"] for call in orjson.loads(row.body)["tool_calls"]]


def grouped(rows: Iterable[MessageRow]) -> list[Group]:
    """The messages of a turn as groups, in order."""
    groups: list[Group] = []
    for row in rows:
        if row.role != "tool":
            groups.append(Group([row], open=call_ids(row)))
            continue
        wanted = groups[-1].open if groups else []
        call = orjson.loads(row.body)["tool_call_id"]
        if call in wanted and not row.traits & Trait.EXCLUDED:
            wanted.remove(call)
            groups[-1].rows.append(row)
        else:
            _spare(groups, row)
    return groups


def _spare(groups: list[Group], row: MessageRow) -> None:
    if groups:
        groups[-1].spare.append(row)
    else:
        groups.append(Group([], spare=[row]))


def interrupted(call: str) -> dict[str, Any]:
    """The result that closes a call nobody answered."""
    return {"role": "tool", "tool_call_id": call, "content": INTERRUPTED}


def outgrown(groups: Sequence[Group], fixed: int, budget: int, low: int) -> int:
    """How many of the oldest groups must go so that a turn larger than the budget fits.

    The newest group always stays. The turn is played through from its beginning: whenever it outgrows
    the budget its oldest groups go until the low mark, so the next step cuts at the same place.
    """
    first, spent = 0, fixed
    for index, group in enumerate(groups):
        spent += group.tokens
        if spent <= budget:
            continue
        while first < index and spent > low:
            spent -= groups[first].tokens
            first += 1
    return first
