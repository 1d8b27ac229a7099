"""What does a whole turn cost beside the model?

``await chat.send(text)`` with a provider that answers at once: input stored, window built with its
decisions, answer, ledger and usage stored. By hand: two commits, one row each; and the same with the
window read in between.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path

from multiturn import AsyncConversation, AsyncMultiTurn, ContextPolicy, Delta, Usage

from .corpus import SYSTEM, Message
from .figures import Figure, compared
from .raw import Raw, Row
from .rounds import CLOCKS, Work, race
from .scale import Scale
from .stands import MODEL, NAME, row_of, wire

__all__ = ["Instant", "sending"]

ANSWER = "有的，黑色的还有三台。Shall I keep one for you until tomorrow evening?"
MOST = 5
NEWEST = 20


class Instant:
    """A provider that says the same at once."""

    name = "instant"

    async def stream(self, request: object) -> AsyncIterator[Delta]:
        """One delta, whatever is asked."""
        del request
        yield Delta(text=ANSWER, finish_reason="stop", usage=Usage(input=900, output=20))

    async def close(self) -> None:
        """Nothing is open."""


async def sending(folder: Path, messages: Callable[[int], Sequence[Message]], scale: Scale) -> list[Figure]:
    """Turns in a short and a long conversation."""
    sizes = sorted({scale.shortest, min(scale.longest, 10_000)})
    contestants: dict[str, Work] = {}
    async with AsyncExitStack() as stack:
        for size in sizes:
            file = folder / f"send-{size}.db"
            client = await stack.enter_async_context(
                AsyncMultiTurn(
                    MODEL,
                    f"sqlite:///{file}",
                    ContextPolicy.last_messages(NEWEST),
                    provider=Instant(),
                    environment={"HOME": str(folder)},
                )
            )
            chat = client.conversation(NAME, system=SYSTEM)
            await chat.add(messages(size))
            raw = Raw(folder / f"send-raw-{size}.db", NAME)
            stack.callback(raw.close)
            raw.fill(wire({"role": "system", "content": SYSTEM}), [row_of(each) for each in messages(size)])
            contestants |= _contestants(chat, raw, messages(1_000), size)
        times = await race(contestants, scale.rounds, scale.slice, MOST)
    return [
        compared(
            "send a turn",
            f"{size:,} messages",
            clock,
            times,
            (f"ours {size}", f"{base} {size}", ""),
            beside=base,
        )
        for base in ("two commits", "two commits and a window")
        for clock in CLOCKS
        for size in sizes
    ]


def _contestants(
    chat: AsyncConversation, raw: Raw, messages: Sequence[Message], size: int
) -> dict[str, Work]:
    inputs = messages[::2]
    ours, commits, windows = count(), count(), count()
    answer = row_of({"role": "assistant", "content": ANSWER})

    def asked(number: int) -> Row:
        return row_of(inputs[number % len(inputs)])

    async def two_commits() -> None:
        await raw.add([asked(next(commits))])
        await raw.add([answer])

    async def with_window() -> None:
        await raw.add([asked(next(windows))])
        await raw.newest(NEWEST)
        await raw.add([answer])

    return {
        f"ours {size}": lambda: chat.send(inputs[next(ours) % len(inputs)]["content"]),
        f"two commits {size}": two_commits,
        f"two commits and a window {size}": with_window,
    }
