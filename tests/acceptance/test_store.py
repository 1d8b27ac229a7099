"""What may go wrong between us and the disk, and with the process itself."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tests.scene import states
from tests.simulators import Answer, Script, Simulator, Wire, echo, simulate

from multiturn import ConversationBusy, StoreBusy, StoreCorrupt, StoreFull, StoreTooNew, TurnState
from multiturn.messages import Trait
from multiturn.storage.sqlite import SQLiteStore

from .world import SHORT, client_of, environment_of, world

ROOT = Path(__file__).parents[2]
BIG = "x" * 60_000


async def room(store: SQLiteStore, more: int | None) -> None:
    """Let the file grow by so many pages more, or freely."""

    def limit(db: sqlite3.Connection) -> None:
        pages = db.execute("PRAGMA page_count").fetchone()[0]
        db.execute(f"PRAGMA max_page_count = {pages + more if more is not None else 1 << 30}")

    await store._writer.run(limit)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another program writes, and does not come to an end."""
    other = sqlite3.connect(path / "chats.db", isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        yield
    finally:
        other.close()


@pytest.fixture
def store(tmp_path: Path) -> SQLiteStore:
    return SQLiteStore(str(tmp_path / "chats.db"), patience=0.2)


async def test_a_full_disk_in_the_middle_of_a_turn(tmp_path: Path, store: SQLiteStore) -> None:
    script = Script(["fine", Answer(BIG), "fine"], wire=Wire(piece=3000))
    async with world(tmp_path, script=script, store=store) as one:
        chat = one.client.conversation("c")
        await chat.send("before")
        stream = chat.stream("first")
        await anext(stream)
        await room(store, 4)
        with pytest.raises(StoreFull, match="Free some disk space") as raised:
            _ = [delta async for delta in stream]
        turn = (await chat.turns())[-1]
        assert raised.value.turn == turn.id
        assert [m.text for m in await chat.history()][:3] == ["before", "fine", "first"]
        with pytest.raises(StoreFull) as refused:
            await one.client.conversation("d").send(BIG)
        assert refused.value.turn is None
        await room(store, None)
        reply = await chat.send("next", on_busy="reject")
        assert reply.text == "fine"
        assert "first" not in str(reply.window.messages)
        assert (await states(chat))[1:] == ["INCOMPLETE", "COMPLETED"]


async def test_a_lock_at_the_end_of_a_turn(tmp_path: Path, store: SQLiteStore) -> None:
    async with world(
        tmp_path, script=Script(["answer", "fine"], wire=Wire(between=0.02)), store=store
    ) as one:
        chat = one.client.conversation("c")
        stream = chat.stream("first")
        await anext(stream)
        with locked(tmp_path):
            with pytest.raises(StoreBusy, match="Try again") as raised:
                _ = [delta async for delta in stream]
        (turn,) = await chat.turns()
        assert raised.value.turn == turn.id
        assert (await chat.send("next")).text == "fine"
        assert await states(chat) == ["INCOMPLETE", "COMPLETED"]


async def test_a_lock_in_the_middle_of_a_turn_does_no_harm(tmp_path: Path, store: SQLiteStore) -> None:
    """Signs of life and batches that met it are tried again: nothing is lost, and the hold is kept."""
    wire = Wire(between=0.03, piece=1500)
    async with world(tmp_path, script=Script(BIG, wire=wire), store=store) as one:
        chat = one.client.conversation("c")
        stream = chat.stream("first")
        await anext(stream)
        with locked(tmp_path):
            for _ in range(20):
                await anext(stream)
        async with asyncio.timeout(30):
            text = "".join([delta.text async for delta in stream])
        assert text
        assert [m.text for m in await chat.history()] == ["first", BIG]
        assert await states(chat) == ["COMPLETED"]


async def test_a_lock_before_a_turn_begins(tmp_path: Path, store: SQLiteStore) -> None:
    async with world(tmp_path, script="fine", store=store) as one:
        chat = one.client.conversation("c")
        await chat.send("before")
        with locked(tmp_path):
            with pytest.raises(StoreBusy) as raised:
                await chat.send("first")
            assert raised.value.turn is None
            assert raised.value.retryable
            assert [m.text for m in await chat.history()] == ["before", "fine"]
        assert len(one.simulator.requests) == 1
        assert (await chat.send("next")).text == "fine"


async def test_files_that_are_no_database_of_ours_are_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "chats.db"
    file.write_bytes(b"dear diary, " * 1000)
    async with world(tmp_path, script="fine") as one:
        with pytest.raises(StoreCorrupt, match="another file") as raised:
            await one.client.conversation("c").send("first")
        assert raised.value.turn is None
        assert one.simulator.requests == []
    assert file.read_bytes() == b"dear diary, " * 1000
    file.unlink()
    async with world(tmp_path, script="fine") as one:
        await one.client.conversation("c").send("first")
    with sqlite3.connect(file) as db:
        db.execute("PRAGMA user_version = 999")
    db.close()
    async with world(tmp_path, script="fine") as one:
        with pytest.raises(StoreTooNew, match="Upgrade"):
            await one.client.conversation("c").send("second")


# ------------------------------------------------------------------------------- other processes


def other(simulator: Simulator, command: str, path: Path, *arguments: str) -> subprocess.Popen[str]:
    script = str(ROOT / "tests" / "acceptance" / "other_process.py")
    return subprocess.Popen(
        [sys.executable, script, command, f"sqlite:///{path / 'chats.db'}", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment_of(simulator), "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
    )


async def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return (await asyncio.to_thread(process.stdout.readline)).strip()


async def test_a_killed_process_leaves_what_had_arrived(tmp_path: Path) -> None:
    script = Script([BIG, "fine", "again"], wire=Wire(between=0.02, piece=500))
    async with simulate("qwen", script) as simulator:
        with other(simulator, "stream", tmp_path) as process:
            while int(await line(process)) < 20_000:
                pass
            process.kill()
        async with client_of(tmp_path, "qwen/qwen-plus", simulator) as client:
            chat = client.conversation("c")
            reply = await chat.send("next")
            assert reply.text == "fine"
            assert [m["content"] for m in reply.window.messages] == ["next"]
            first, _ = await chat.turns()
            assert (first.state, first.traits & Trait.STOPPED) == (TurnState.INCOMPLETE, 0)
            partial = (await chat.history())[1].text
            assert 2048 <= len(partial) < len(BIG)
            assert set(partial) == {"x"}
            assert [span.code.value for span in (await chat.ledger()).spans] == ["incomplete", "new"]
            assert [r.status for r in simulator.requests][1:] == [200]
            assert len(simulator.requests) == 2, "nobody called the model again for the lost turn"


async def test_a_killed_prepared_turn_frees_the_conversation_when_its_time_is_over(tmp_path: Path) -> None:
    async with simulate("qwen", "fine") as simulator:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MULTITURN_TIMING_PREPARE", "4")
            with other(simulator, "prepare", tmp_path) as process:
                assert await line(process) == "held"
                process.kill()
        async with client_of(tmp_path, "qwen/qwen-plus", simulator) as client:
            chat = client.conversation("c")
            with pytest.raises(ConversationBusy):
                await chat.send("next", on_busy="reject")
            assert (await chat.send("next")).text == "fine"
            assert await states(chat) == ["INCOMPLETE", "COMPLETED"]


async def test_twenty_turns_at_once_from_two_processes(tmp_path: Path) -> None:
    script = Script(echo, wire=Wire(first=0.01))
    async with simulate("qwen", script) as simulator:
        with (
            other(simulator, "talk", tmp_path, "one", "10") as one,
            other(simulator, "talk", tmp_path, "two", "10") as two,
        ):
            assert [await line(one), await line(two)] == ["ready", "ready"]
            out = await asyncio.gather(*(asyncio.to_thread(p.communicate, "\n") for p in (one, two)))
            assert (one.returncode, two.returncode) == (0, 0)
        told = sorted((int(n), text) for said, _ in out for n, text in map(str.split, said.splitlines()))
        assert [number for number, _ in told] == list(range(1, 21))
        async with client_of(tmp_path, "qwen/qwen-plus", simulator) as client:
            chat = client.conversation("c")
            assert await states(chat) == ["COMPLETED"] * 20
            texts = [m.text for m in await chat.history()]
        assert texts[::2] == texts[1::2] == [text for _, text in told]
        assert sorted(texts[::2]) == sorted(f"{name}-{n}" for name in ("one", "two") for n in range(10))
        windows = [[m["content"] for m in request.messages] for request in simulator.requests]
        assert windows == [texts[: 2 * n + 1] for n in range(20)], "each saw all turns before it, whole"


async def test_a_turn_of_another_process_is_waited_for_and_then_given_up(tmp_path: Path) -> None:
    script = Script([BIG, "fine"], wire=Wire(between=0.05, piece=100))
    async with simulate("qwen", script) as simulator:
        with other(simulator, "stream", tmp_path) as process:
            await line(process)
            hasty = replace(SHORT, queue=0.3)
            async with client_of(tmp_path, "qwen/qwen-plus", simulator, timing=hasty) as client:
                with pytest.raises(ConversationBusy, match=r"0\.3") as raised:
                    await client.conversation("c").send("next")
                assert raised.value.turn is None
            async with client_of(tmp_path, "qwen/qwen-plus", simulator) as client:
                chat = client.conversation("c")
                assert (await chat.send("next", on_busy="interrupt")).text == "fine"
                assert await states(chat) == ["INCOMPLETE", "COMPLETED"]
            await asyncio.to_thread(process.communicate)
            assert process.returncode == 0, "whoever was interrupted ends in peace"
        assert simulator.requests[0].left
