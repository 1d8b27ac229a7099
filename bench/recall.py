"""Are the old messages found that answer a question, and is nothing quoted where none is needed?

``python -m bench.recall FOLDER`` loads conversations that other people wrote into a store through the
public API, asks `recall` the questions that are written with them, and says

- *R@10*: the share of a question's evidence among the first ten messages, on average over questions;
- *in 1,024 tokens*: its share among the first messages that together have 1,024 tokens;
- *quoted*: how many questions have a hit above the margin, which would be quoted unasked.

Ordinary dialogues that need no memory, one after the other in a conversation, should have none: what
lies more than ten turns back is searched for each user message. What FOLDER holds: `bench/histories.py`.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from multiturn import AsyncConversation, AsyncMultiTurn
from multiturn.conversations import Owner
from multiturn.sealing import seal
from multiturn.search.ranking import margin
from multiturn.search.terms import query
from multiturn.storage import Store, open_store
from multiturn.tokens import count_message

from .histories import History, dialogues, histories

__all__ = ["Quality", "injected", "main", "measured", "table"]

FIRST = 10
TOKENS = 1024
DEEP = 60
"""Messages that are asked for: 1,024 tokens hold fewer."""
WINDOW = 10
"""Turns that are taken to be in the window."""
JOINED = 25
"""Dialogues in one conversation; those of its second half are asked about."""


@dataclass(frozen=True, slots=True)
class Quality:
    """What was found of the evidence in one data set: shares, on average over questions."""

    name: str
    questions: int
    first_ten: float
    in_tokens: float
    quoted: float
    seconds: float
    """The middle search."""


async def measured(name: str, told: Sequence[History], folder: Path) -> Quality:
    """Ask all questions of a data set."""
    scores: list[tuple[float, float, bool, float]] = []
    async with AsyncMultiTurn("demo", f"sqlite:///{folder / name}.db") as client:
        for number, history in enumerate(told):
            chat = client.conversation(f"{name}-{number}")
            await chat.add(history.messages)
            scores += [await _asked(chat, each.text, each.evidence) for each in history.questions]
    ten, inside, quoted, seconds = zip(*scores, strict=True)
    mean = statistics.fmean
    return Quality(name, len(scores), mean(ten), mean(inside), mean(quoted), statistics.median(seconds))


async def _asked(
    chat: AsyncConversation, text: str, evidence: frozenset[str]
) -> tuple[float, float, bool, float]:
    begun = time.perf_counter()
    hits = await chat.recall(text, k=DEEP)
    seconds = time.perf_counter() - begun
    inside: list[str] = []
    left = TOKENS
    for hit in hits:
        left -= count_message({"role": hit.message.role, "content": hit.message.text})
        if left < 0:
            break
        inside.append(hit.message.id)
    ten = [hit.message.id for hit in hits[:FIRST]]
    quoted = bool(hits) and hits[0].score >= margin(query(text, now=time.time()))
    return _share(ten, evidence), _share(inside, evidence), quoted, seconds


def _share(found: Iterable[str], evidence: frozenset[str]) -> float:
    return len(evidence.intersection(found)) / len(evidence)


async def injected(told: Sequence[Sequence[dict[str, str]]], joined: int = JOINED) -> tuple[int, int]:
    """For how many user messages of ordinary dialogues something would be quoted, and of how many."""
    store = open_store(":memory:")
    quoted = asked = 0
    try:
        for number in range(0, len(told), joined):
            for better in await _searched(store, f"c{number}", told[number : number + joined]):
                asked += 1
                quoted += better
    finally:
        await store.close()
    return quoted, asked


async def _searched(store: Store, name: str, told: Sequence[Sequence[dict[str, str]]]) -> list[bool]:
    owner = Owner()
    messages = [message for dialogue in told for message in dialogue]
    users = [place for place, message in enumerate(messages) if message["role"] == "user"]
    ends = [*users[1:], len(messages)]
    groups = [messages[first:end] for first, end in zip(users, ends, strict=True)]
    await store.add(owner, name, [[seal(message, count_message) for message in group] for group in groups])
    found = []
    for turn in range(len(groups) // 2, len(groups)):
        asked = query(groups[turn][0]["content"], now=time.time())
        hits = await store.recall(owner, name, asked, before=turn + 1 - WINDOW, limit=1)
        found.append(bool(hits) and hits[0].score >= margin(asked))
    return found


def table(qualities: Iterable[Quality], ordinary: tuple[int, int] | None = None) -> str:
    """The figures as Markdown."""
    lines = [
        "| data | questions | R@10 | in 1,024 tokens | quoted | a search |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {q.name} | {q.questions} | {q.first_ten:.1%} | {q.in_tokens:.1%} | {q.quoted:.0%}"
        f" | {q.seconds * 1e3:.1f} ms |"
        for q in qualities
    ]
    if ordinary is not None:
        quoted, asked = ordinary
        lines.append(f"| ordinary dialogues | {asked} | | | {quoted / asked:.1%} | |")
    return "\n".join(lines) + "\n"


async def _all(folder: Path) -> str:
    with tempfile.TemporaryDirectory(prefix="multiturn-bench-") as place:
        found = [await measured(name, told, Path(place)) for name, told in histories(folder)]
    told = dialogues(folder)
    return table(found, await injected(told) if told else None)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the data sets of the folder that the command line names, print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.recall", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    print(asyncio.run(_all(parser.parse_args(arguments).folder)), end="")


if __name__ == "__main__":
    main()
