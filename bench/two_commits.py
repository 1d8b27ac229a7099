"""S: what does a durable turn cost at the least? Raw asyncio in front and behind, and SQLite with FULL: the
input is committed before the model is asked, the answer before its last piece is handed on; commits that
are due at the same time are one. Nothing else: no window, no history, no checks.
``python -m bench.two_commits PORT UPSTREAM FILE``."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import sys
import threading
from collections.abc import Coroutine
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import NamedTuple, cast

import orjson
import uvloop

__all__ = ["Committer", "Front"]

SCHEMA = """
CREATE TABLE IF NOT EXISTS messages (
    conversation TEXT NOT NULL, number INTEGER NOT NULL, role TEXT NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (conversation, number)
) WITHOUT ROWID;
"""
INSERT = (
    "INSERT INTO messages SELECT :name, coalesce(max(number) + 1, 0), :role, :body FROM messages"
    " WHERE conversation = :name"
)
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
NAMED = re.compile(rb"x-conversation-id: *(\S+)", re.IGNORECASE)
LAST = 7


class Row(NamedTuple):
    """A message to be committed, and who waits for it."""

    conversation: str
    role: str
    body: bytes
    done: asyncio.Future[None]


class Committer:
    """The writing thread: one commit for all that wait."""

    def __init__(self, file: Path) -> None:
        self._loop = asyncio.get_running_loop()
        self._rows: SimpleQueue[Row] = SimpleQueue()
        self._db = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.executescript(SCHEMA)
        threading.Thread(target=self._serve, daemon=True).start()

    def add(self, conversation: str, role: str, body: bytes) -> asyncio.Future[None]:
        """Store a message; the future is done once it is durable."""
        done: asyncio.Future[None] = self._loop.create_future()
        self._rows.put(Row(conversation, role, body, done))
        return done

    def _serve(self) -> None:
        while True:
            rows = [self._rows.get()]
            try:
                while True:
                    rows.append(self._rows.get_nowait())
            except Empty:
                pass
            self._db.execute("BEGIN IMMEDIATE")
            for row in rows:
                self._db.execute(INSERT, {"name": row.conversation, "role": row.role, "body": row.body})
            self._db.execute("COMMIT")
            self._loop.call_soon_threadsafe(_tell, rows)


def _tell(rows: list[Row]) -> None:
    for row in rows:
        if not row.done.done():
            row.done.set_result(None)


class Back(asyncio.Protocol):
    """A connection to the provider: bytes go to whoever asked."""

    def __init__(self) -> None:
        self.transport = asyncio.Transport()
        self.front: Front | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self.front is not None:
            self.front.answered(data)


class Front(asyncio.Protocol):
    """A connection of a client."""

    def __init__(self, committer: Committer, upstream: int) -> None:
        self._committer = committer
        self._upstream = upstream
        self._loop = asyncio.get_running_loop()
        self._transport = asyncio.Transport()
        self._back: Back | None = None
        self._buffer = b""
        self._answer: list[bytes] = []
        self._size: int | None = None
        self._conversation = ""
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self._back is not None:
            self._back.transport.close()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, blank, body = self._buffer.partition(b"\r\n\r\n")
        length = LENGTH.search(head)
        if not blank or length is None or len(body) < int(length[1]):
            return
        raw, self._buffer = self._buffer, b""
        named = NAMED.search(head)
        self._conversation = named[1].decode() if named else ""
        self._start(self._ask(raw, body))

    async def _ask(self, raw: bytes, body: bytes) -> None:
        newest = orjson.loads(body)["messages"][-1]
        await self._committer.add(self._conversation, "user", orjson.dumps(newest))
        if self._back is None:
            _, self._back = await self._loop.create_connection(Back, "127.0.0.1", self._upstream)
            self._back.front = self
        self._answer, self._size = [], None
        self._back.transport.write(raw)

    def answered(self, data: bytes) -> None:
        """Hand on what comes; the end is handed on once the answer is durable."""
        self._answer.append(data)
        if not self._is_over(data):
            self._transport.write(data)
            return
        self._start(self._finish(data))

    def _is_over(self, data: bytes) -> bool:
        if len(self._answer) == 1:
            head, _, body = data.partition(b"\r\n\r\n")
            length = LENGTH.search(head)
            self._size = int(length[1]) - len(body) if length else None
        elif self._size is not None:
            self._size -= len(data)
        return self._size <= 0 if self._size is not None else data[-LAST:] == b"\r\n0\r\n\r\n"

    async def _finish(self, last: bytes) -> None:
        body = b"".join(self._answer).partition(b"\r\n\r\n")[2]
        text = _whole(body) if self._size is not None else _text(body)
        message = {"role": "assistant", "content": text}
        await self._committer.add(self._conversation, "assistant", orjson.dumps(message))
        self._transport.write(last)

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _whole(body: bytes) -> str:
    return str(orjson.loads(body)["choices"][0]["message"]["content"])


def _text(body: bytes) -> str:
    """The words of a stream."""
    events = [orjson.loads(line[6:]) for line in body.split(b"\n") if line.startswith(b"data: {")]
    return "".join(each["choices"][0]["delta"].get("content", "") for each in events if each["choices"])


async def _serve(port: int, upstream: int, file: Path) -> None:
    committer, loop = Committer(file), asyncio.get_running_loop()
    server = await loop.create_server(lambda: Front(committer, upstream), "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])))
