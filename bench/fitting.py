"""What does ``fit`` cost beside a plain slice?

The slice walks back from the newest message and stops when the budget is used up. Both use the same
counter; a slow one (regular expressions, like an estimator) and the cheapest there is, which shows what
``fit`` itself costs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from multiturn import ContextPolicy, fit

from .corpus import SYSTEM, Message, with_tools
from .figures import Figure, compared
from .rounds import Times, Work, race, ratio
from .scale import Scale

__all__ = ["fitting"]

Count = Callable[[Mapping[str, Any]], int]
PIECES = re.compile(r"[A-Za-z]+|[0-9]|[^\sA-Za-z0-9]")
SMALL = 8_000
WITH_TOOLS = 10_000
WHOLE = 1 << 40


def count_pieces(message: Mapping[str, Any]) -> int:
    """A counter that reads the text."""
    return len(PIECES.findall(message["content"] or "")) + 4


def count_length(message: Mapping[str, Any]) -> int:
    """The cheapest counter there is."""
    return len(message["content"] or "") + 4


COUNTERS: dict[str, Count] = {"reading": count_pieces, "length": count_length}


def plain_slice(messages: Sequence[Mapping[str, Any]], budget: int, count: Count) -> list[Mapping[str, Any]]:
    """The instructions and the newest messages within the budget."""
    left = budget - count(messages[0])
    first = len(messages)
    while first > 1:
        left -= count(messages[first - 1])
        if left < 0:
            break
        first -= 1
    return [messages[0], *messages[first:]]


async def fitting(messages: Callable[[int], Sequence[Message]], scale: Scale) -> list[Figure]:
    """Lists of different lengths, a small and a whole budget, plain text and tools."""
    contestants: dict[str, Work] = {}
    cases = [(False, size) for size in scale.sizes] + [(True, min(scale.longest, WITH_TOOLS))]
    for tools, size in cases:
        contestants |= _contestants(_list(messages(size), tools=tools), size, tools=tools)
    times = await race(contestants, max(2, scale.rounds // 3), scale.slice)
    return [*_by_case(times, cases), *_growth(times, cases)]


def _list(messages: Sequence[Message], *, tools: bool) -> list[Mapping[str, Any]]:
    head: list[Mapping[str, Any]] = [{"role": "system", "content": SYSTEM}]
    said = with_tools(messages[:-1] if len(messages) % 2 else messages) if tools else messages
    return [*head, *said, {"role": "user", "content": "还有货吗？"}]


def _contestants(listed: Sequence[Mapping[str, Any]], size: int, *, tools: bool) -> dict[str, Work]:
    found: dict[str, Work] = {}
    for budget in (SMALL, WHOLE):
        policy = ContextPolicy(budget=budget, high=1.0, low=1.0, summarize=None, recall=None)
        for counter, count in COUNTERS.items():
            case = f"{tools} {budget} {counter} {size}"
            found[f"ours {case}"] = _fit(listed, policy, count)
            found[f"slice {case}"] = _slice(listed, budget, count)
    return found


def _fit(listed: Sequence[Mapping[str, Any]], policy: ContextPolicy, count: Count) -> Work:
    async def work() -> object:
        return fit(listed, policy, count=count)

    return work


def _slice(listed: Sequence[Mapping[str, Any]], budget: int, count: Count) -> Work:
    async def work() -> object:
        return plain_slice(listed, budget, count)

    return work


def _by_case(times: dict[str, Times], cases: Sequence[tuple[bool, int]]) -> list[Figure]:
    found = []
    for tools, size in cases:
        for budget in (SMALL, WHOLE):
            for counter in COUNTERS:
                case = f"{tools} {budget} {counter} {size}"
                found.append(
                    compared(
                        _name(tools, budget, counter),
                        f"{size:,} messages",
                        "CPU",
                        times,
                        (f"ours {case}", f"slice {case}", ""),
                        beside="slice",
                        target=3 if size == 10_000 and not tools else None,
                    )
                )
    return found


def _name(tools: bool, budget: int, counter: str) -> str:
    size = "everything fits" if budget == WHOLE else f"budget {budget:,}"
    return f"fit{' with tools' if tools else ''}, {size}, counter: {counter}"


def _growth(times: dict[str, Times], cases: Sequence[tuple[bool, int]]) -> list[Figure]:
    """Time for a message of the longest list beside one of a short one: linear is 1."""
    sizes = [size for tools, size in cases if not tools][-3:]
    case = f"{False} {WHOLE} reading"
    last, first = times[f"ours {case} {sizes[-1]}"], times[f"ours {case} {sizes[0]}"]
    return [
        Figure(
            "fit, everything fits: time for a message",
            f"{sizes[0]:,} → {sizes[-1]:,}",
            "CPU",
            "µs",
            last.median("CPU") * 1e6 / sizes[-1],
            f"at {sizes[0]:,}",
            first.median("CPU") * 1e6 / sizes[0],
            ratio(last, first, "CPU") * sizes[0] / sizes[-1],
            1.5,
        )
    ]
