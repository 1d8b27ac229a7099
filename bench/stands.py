"""Who takes part? The same conversation in our store, in one by hand and in SQLiteSession's."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from multiturn import AsyncConversation, AsyncMultiTurn, ContextPolicy

from .corpus import SYSTEM, Message, tokens
from .peer import Peer, open_peer
from .raw import Raw, Row

__all__ = ["MODEL", "NAME", "Stand", "client_of", "row_of", "stand", "wire"]

MODEL = "qwen/qwen-plus"
"""Its window is long enough for every budget here; nothing is sent to it."""
NAME = "order-42"
BATCH = 20_000


@dataclass(frozen=True, slots=True)
class Stand:
    """One conversation of ``size`` messages, three times. Each file holds nothing else."""

    folder: Path
    size: int
    client: AsyncMultiTurn
    chat: AsyncConversation
    raw: Raw
    peer: Peer | None

    @property
    def ours_file(self) -> Path:
        """Our database."""
        return self.folder / f"ours-{self.size}.db"

    @property
    def raw_file(self) -> Path:
        """The one by hand."""
        return self.folder / f"raw-{self.size}.db"

    @property
    def peer_file(self) -> Path:
        """SQLiteSession's."""
        return self.folder / f"peer-{self.size}.db"


def client_of(file: Path, policy: ContextPolicy | None = None) -> AsyncMultiTurn:
    """A client of ours; the settings of whoever runs this stay out of it."""
    environment = {"HOME": str(file.parent)}
    return AsyncMultiTurn(MODEL, f"sqlite:///{file}", policy, environment=environment)


def wire(message: Message) -> bytes:
    """The bytes that go to a provider."""
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()


def row_of(message: Message) -> Row:
    """The message as a row by hand."""
    return tokens(message), wire(message)


@asynccontextmanager
async def stand(
    folder: Path, messages: Sequence[Message], policy: ContextPolicy | None = None
) -> AsyncIterator[Stand]:
    """The conversation in all stores."""
    size = len(messages)
    files = [folder / f"{who}-{size}.db" for who in ("ours", "raw", "peer")]
    client = client_of(files[0], policy)
    raw, peer = Raw(files[1], NAME), open_peer(files[2], NAME)
    chat = client.conversation(NAME, system=SYSTEM)
    raw.fill(wire({"role": "system", "content": SYSTEM}), [row_of(message) for message in messages])
    for begin in range(0, size, BATCH):
        await chat.add(messages[begin : begin + BATCH])
        if peer is not None:
            await peer.add(messages[begin : begin + BATCH])
    try:
        yield Stand(folder, size, client, chat, raw, peer)
    finally:
        await client.close()
        raw.close()
        if peer is not None:
            peer.close()
