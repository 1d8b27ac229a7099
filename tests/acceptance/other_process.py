"""What another process does with the library: run as a script, with a command and its arguments."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine

from multiturn import AsyncMultiTurn
from multiturn.settings import load


def client(store: str) -> AsyncMultiTurn:
    """Address and key of the model come from the environment."""
    config = load({"store": store, "model": "qwen/qwen-plus", "timing": {"lease": 1.0, "renew": 0.3}})
    return AsyncMultiTurn(config=config)


async def stream(store: str) -> None:
    """Stream an answer, and say how much of it is stored so far."""
    async with client(store) as mine, mine.conversation("c").stream("first") as deltas:
        told = 0
        async for delta in deltas:
            told += len(delta.text)
            print(told, flush=True)  # noqa: T201  (its output)


async def prepare(store: str) -> None:
    """Hold a prepared turn for ever."""
    async with client(store) as mine, mine.conversation("c").prepare("first"):
        print("held", flush=True)  # noqa: T201  (its output)
        await asyncio.sleep(3600)


async def talk(store: str, name: str, turns: str) -> None:
    """So many turns at once on one conversation."""
    async with client(store) as mine:
        chats = [mine.conversation("c") for _ in range(int(turns))]
        print("ready", flush=True)  # noqa: T201  (its output)
        await asyncio.to_thread(sys.stdin.readline)
        replies = await asyncio.gather(*(chat.send(f"{name}-{n}") for n, chat in enumerate(chats)))
        for reply in replies:
            print(reply.turn.number, reply.text, flush=True)  # noqa: T201  (its output)


COMMANDS: dict[str, Callable[..., Coroutine[None, None, None]]] = {
    "stream": stream,
    "prepare": prepare,
    "talk": talk,
}

if __name__ == "__main__":
    asyncio.run(COMMANDS[sys.argv[1]](*sys.argv[2:]))
