"""Does Ctrl-C stop the wait for a reply, and nothing else?"""

from __future__ import annotations

import asyncio
import signal

import pytest

from multiturn.cli.screen import Screen
from multiturn.cli.talk import Interrupted, stoppable


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


async def test_where_nobody_sits_ctrl_c_is_left_alone() -> None:
    before = signal.getsignal(signal.SIGINT)
    with stoppable(Screen(asks=False)):
        assert signal.getsignal(signal.SIGINT) is before
