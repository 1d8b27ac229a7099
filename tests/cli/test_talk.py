"""Does Ctrl-C stop the wait for a reply, and nothing else? Is a long wait explained?"""

from __future__ import annotations

import asyncio
import signal
from datetime import datetime
from pathlib import Path

import pytest
from tests.cli.terminal import Shell

from multiturn.cli.screen import Screen
from multiturn.cli.talk import Interrupted, stoppable
from multiturn.conversations import Owner
from multiturn.sealing import seal
from multiturn.storage import Start
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

    async def leave_it_held() -> float:
        store = SQLiteStore(str(path))
        start = Start(entries=[seal("half a question", count_message)], hold=6.0)
        await store.begin(Owner("", ""), "c", start)
        held_until = (await store.conversation(Owner("", ""), "c")).held_until
        await store.close()
        assert held_until is not None
        return held_until

    until = datetime.fromtimestamp(asyncio.run(leave_it_held())).astimezone().strftime("%H:%M:%S")
    done = shell.run("ask", "-c", "c", "Are you there?", *where)
    assert f"another turn holds the conversation c, until {until} " in done.stderr
    assert "Are you there?" in shell.run("show", "c", *where).stdout


def test_a_slow_model_is_no_other_turn(shell: Shell) -> None:
    done = shell.run("ask", "Hello.", "--model", "demo?slow=150ms")
    assert "holds the conversation" not in done.stderr


async def test_where_nobody_sits_ctrl_c_is_left_alone() -> None:
    before = signal.getsignal(signal.SIGINT)
    with stoppable(Screen(asks=False)):
        assert signal.getsignal(signal.SIGINT) is before
