"""Twenty turns at once on one conversation, from two processes: is anything lost or mixed up?

Each process sends ten turns at the same time. Afterwards every input must be there once, right before
its own answer, every window must have held exactly the finished turns before it, and nobody may have
seen an error.

``python -m bench.together FILE NAME COUNT`` waits for a line, sends, and prints what came as JSON.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from multiturn import AsyncMultiTurn, ContextPolicy, Delta, Message, Usage

from .children import environment
from .corpus import SYSTEM
from .figures import Figure
from .stands import MODEL, NAME

__all__ = ["together"]

PROCESSES = ("left", "right")
TURNS = 10


class Echo:
    """Answers with the newest input and the number of messages it was shown."""

    name = "echo"

    async def stream(self, request: Any) -> AsyncIterator[Delta]:
        """The answer in two pieces, with a pause between them in which others could come."""
        shown = json.loads(request.body)
        yield Delta(text=f"{shown[-1]['content']} ")
        await asyncio.sleep(0.002)
        yield Delta(text=str(len(shown)), finish_reason="stop", usage=Usage(input=10, output=5))

    async def close(self) -> None:
        """Nothing is open."""


def _client(file: Path) -> AsyncMultiTurn:
    return AsyncMultiTurn(
        MODEL,
        f"sqlite:///{file}",
        ContextPolicy.full(),
        provider=Echo(),
        environment={"HOME": str(file.parent)},
    )


async def together(folder: Path) -> list[Figure]:
    """Send, then look at what is stored."""
    file = folder / "together.db"
    await _send(file, "first", 1)  # the conversation is there
    outcomes = await _race(file)
    errors = [error for outcome in outcomes for error in outcome["errors"]]
    async with _client(file) as client:
        messages = await client.conversation(NAME, system=SYSTEM).history()
    lost, mixed = _lost(messages), _mixed(messages)
    seconds = max(outcome["seconds"] for outcome in outcomes)
    alone = await _alone(folder)
    data = f"{len(PROCESSES)} processes × {TURNS} turns at once"
    counts = {"errors": len(errors), "turns lost": lost, "turns mixed up": mixed}
    return [
        *(
            Figure(f"together: {what}", data, "count", what, number, "none", 0, float(number), 0)
            for what, number in counts.items()
        ),
        Figure("together: all turns", data, "wall", "ms", seconds * 1e3, "one after the other", alone * 1e3,
               seconds / alone),
    ]  # fmt: skip


async def _race(file: Path) -> list[dict[str, Any]]:
    arguments = [sys.executable, "-m", "bench.together", str(file)]
    children = [
        subprocess.Popen(  # noqa: ASYNC220  (nothing else runs in this loop)
            [*arguments, side, str(TURNS)],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for side in PROCESSES
    ]
    for child in children:
        if child.stdout is None or child.stdout.readline() != "ready\n":
            raise RuntimeError("a process did not start")
    return [json.loads(out) for out in await asyncio.gather(*(_told(child) for child in children))]


async def _told(child: subprocess.Popen[str]) -> str:
    out, _ = await asyncio.to_thread(child.communicate, "go\n")
    return out


async def _send(file: Path, side: str, count: int) -> dict[str, Any]:
    async with _client(file) as client:
        chat = client.conversation(NAME, system=SYSTEM)
        begun = time.perf_counter()
        sent = await asyncio.gather(
            *(chat.send(f"{side}-{number}") for number in range(count)), return_exceptions=True
        )
        seconds = time.perf_counter() - begun
    errors = [repr(each) for each in sent if isinstance(each, BaseException)]
    return {"errors": errors, "seconds": seconds}


async def _alone(folder: Path) -> float:
    """As many turns in one process, each after the one before."""
    async with _client(folder / "alone.db") as client:
        chat = client.conversation(NAME, system=SYSTEM)
        await chat.send("first-0")
        begun = time.perf_counter()
        for number in range(len(PROCESSES) * TURNS):
            await chat.send(f"alone-{number}")
        return time.perf_counter() - begun


def _lost(messages: list[Message]) -> int:
    said = [message.text for message in messages if message.role == "user"]
    wanted = [f"{side}-{number}" for side in PROCESSES for number in range(TURNS)]
    return sum(said.count(each) != 1 for each in wanted)


def _mixed(messages: list[Message]) -> int:
    """Turns whose answer is another's, or whose window was not what came before."""
    turns = [messages[index : index + 2] for index in range(0, len(messages), 2)]
    return sum(
        [message.role for message in turn] != ["user", "assistant"]
        or turn[1].text != f"{turn[0].text} {2 + 2 * index}"
        for index, turn in enumerate(turns)
    )


def main(file: str, side: str, count: str) -> None:
    """Wait for the others, send, and print what came."""
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps(asyncio.run(_send(Path(file), side, int(count)))))


if __name__ == "__main__":
    main(*sys.argv[1:])
