"""What a second process does to the same file: run as a script, with a command and its arguments.

It says what it has done on standard output, one line each, and waits for its standard input to close
where it should hold on.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from collections.abc import Awaitable, Callable

from multiturn.conversations import Owner, Step, TurnState
from multiturn.errors import Error
from multiturn.messages import Entry
from multiturn.storage import Ending, Partial, Start, Store, open_store
from multiturn.storage.sqlite import SQLiteStore

OWNER = Owner("shop", "alice")


def message(role: str, text: str) -> Entry:
    return Entry(role, 0, 1, f'{{"role":"{role}","content":"{text}"}}'.encode())


def say(line: object) -> None:
    print(line, flush=True)  # noqa: T201  (this is how it talks to the test)


def lock(path: str, how: str) -> None:
    """Hold a lock until told to let go."""
    connection = sqlite3.connect(path, isolation_level=None)
    if how == "alone":
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("BEGIN EXCLUSIVE")
    connection.execute("UPDATE conversations SET title = title")
    say("locked")
    sys.stdin.read()


async def turns(store: Store, tag: str, count: str) -> None:
    """Many turns at once on one conversation."""
    await asyncio.gather(*(one_turn(store, f"{tag}{number}") for number in range(int(count))))


async def one_turn(store: Store, text: str, hold: float = 15) -> None:
    begun = await store.begin(OWNER, "c", Start(entries=[message("user", text)], hold=hold))
    assert begun.lease is not None
    await store.append(begun.lease, Partial(text))
    ending = Ending(TurnState.COMPLETED, Step("demo", b"[]"), [message("assistant", text)])
    await store.finish(begun.lease, ending)
    say(text)


async def work(store: Store, tag: str) -> None:
    """Turn after turn, until somebody kills us; each is announced when it is acknowledged."""
    number = 0
    while True:
        await one_turn(store, f"{tag}-{number}", hold=0.8)
        number += 1


async def freeze(store: Store) -> None:
    """Begin a turn, hold on until told, then try to write."""
    begun = await store.begin(OWNER, "c", Start(entries=[message("user", "frozen")], hold=0.8))
    assert begun.lease is not None
    await store.append(begun.lease, Partial("half"))
    say("begun")
    await asyncio.to_thread(sys.stdin.read)
    ending = Ending(TurnState.COMPLETED, Step("demo", b"[]"), [message("assistant", "stale")])
    for write in (store.append(begun.lease, Partial("stale")), store.finish(begun.lease, ending)):
        try:
            await write
        except Error as error:
            say(error.code)
        else:
            say("written")


async def opened(store: Store) -> None:
    """Only open."""
    await store.open()
    say("open")


async def _tickets(store: Store) -> int:
    assert isinstance(store, SQLiteStore)
    count = await store._read(lambda db: db.execute("SELECT count(*) FROM tickets").fetchone()[0])
    return int(count)


async def queue(store: Store) -> None:
    """Stand in the queue until killed."""
    waiting = asyncio.create_task(one_turn(store, "queued"))
    while not await _tickets(store):  # noqa: ASYNC110  (the store sets no event)
        await asyncio.sleep(0.01)
    say("queued")
    await waiting


async def fill(store: Store) -> None:
    """Meet a limit on the size of files, as a quota would set it, and go on once it is lifted."""
    import resource

    text = "x" * 40_000
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    await one_turn(store, "before")
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
    try:
        for _ in range(40):
            await store.add(OWNER, "c", [[message("user", text), message("assistant", text)]])
    except Error as error:
        say(error.code)
    say(len(await store.turns(OWNER, "c")) > 0)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    await one_turn(store, "after")


async def claims(store: Store, hold: str) -> None:
    """Claim all summaries that are due, then hold on until told."""
    say("ready")
    await asyncio.to_thread(sys.stdin.readline)
    while due := await store.claim_due(hold=float(hold)):
        say(due.conversation)
    say("none")
    await asyncio.to_thread(sys.stdin.read)


COMMANDS: dict[str, Callable[..., Awaitable[None]]] = {
    "turns": turns,
    "work": work,
    "freeze": freeze,
    "open": opened,
    "queue": queue,
    "fill": fill,
    "claims": claims,
}


async def main(command: str, path: str, *arguments: str) -> None:
    store = open_store(f"sqlite:///{path}")
    try:
        await COMMANDS[command](store, *arguments)
    finally:
        await store.close()


if __name__ == "__main__":
    if sys.argv[1] == "lock":
        lock(*sys.argv[2:])
    else:
        asyncio.run(main(*sys.argv[1:]))
