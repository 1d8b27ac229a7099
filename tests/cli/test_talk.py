"""Does Ctrl-C stop the wait for a reply, and nothing else? Is a long wait explained?"""

from __future__ import annotations

import asyncio
import signal
import subprocess
from datetime import datetime
from pathlib import Path

import pytest
from tests.cli.terminal import COMMAND, Shell

from multiturn.cli.screen import Screen
from multiturn.cli.talk import Interrupted, stoppable
from multiturn.conversations import Owner
from multiturn.sealing import seal
from multiturn.storage import Lease, Start
from multiturn.storage.sqlite import SQLiteStore
from multiturn.tokens import count_message


async def test_ctrl_c_leaves_the_task_as_if_nothing_had_been() -> None:
    async def wait() -> None:
        with stoppable(Screen(asks=True)):
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            await asyncio.sleep(20)

    before = signal.getsignal(signal.SIGINT)
    for _ in range(2):
        with pytest.raises(Interrupted):
            await wait()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    assert signal.getsignal(signal.SIGINT) is before


async def test_a_cancellation_from_elsewhere_is_passed_on() -> None:
    async def wait() -> None:
        with stoppable(Screen(asks=True)):
            await asyncio.sleep(20)

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_who_waits_for_another_turn_is_told_until_when(shell: Shell, tmp_path: Path) -> None:
    """As after a process was killed in the middle of its turn: nobody gives the conversation back."""
    path = tmp_path / "chats.db"
    where = ("--store", f"sqlite:///{path}")

    async def leave_it_held() -> tuple[Lease, float]:
        store = SQLiteStore(str(path))
        start = Start(entries=[seal("half a question", count_message)], hold=600)
        lease = (await store.begin(Owner("", ""), "c", start)).lease
        held_until = (await store.conversation(Owner("", ""), "c")).held_until
        await store.close()
        assert lease is not None
        assert held_until is not None
        return lease, held_until

    async def let_it_lapse(lease: Lease) -> None:
        store = SQLiteStore(str(path))
        await store.renew(lease, 0.01)
        await store.close()

    lease, held_until = asyncio.run(leave_it_held())
    until = datetime.fromtimestamp(held_until).astimezone().strftime("%H:%M:%S")
    asking = [*COMMAND, "ask", "-c", "c", "Are you there?", *where]
    with subprocess.Popen(
        asking,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=shell.environment,
        cwd=shell.home,
    ) as process:
        assert process.stderr is not None
        told = ""
        while f"another turn holds the conversation c, until {until} " not in told:
            line = process.stderr.readline().decode()
            assert line, told
            told += line
        asyncio.run(let_it_lapse(lease))
        process.stderr.read()
    assert process.returncode == 0
    assert "Are you there?" in shell.run("show", "c", *where).stdout


def test_a_slow_model_is_no_other_turn(shell: Shell) -> None:
    done = shell.run("ask", "Hello.", "--model", "demo?slow=150ms")
    assert "holds the conversation" not in done.stderr


async def test_where_nobody_sits_ctrl_c_is_left_alone() -> None:
    before = signal.getsignal(signal.SIGINT)
    with stoppable(Screen(asks=False)):
        assert signal.getsignal(signal.SIGINT) is before
