"""The gateway goes on with its broom also where the store fails, and says what it did."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from multiturn import AsyncMultiTurn
from multiturn.gateway.sweeping import sweeping


async def swept(client: AsyncMultiTurn, caplog: pytest.LogCaptureFixture, lines: int) -> list[Any]:
    """What is written while the broom goes round, until it is so many ``lines`` at least."""
    caplog.set_level(logging.INFO, "multiturn.gateway")
    task = asyncio.create_task(sweeping(client, 0.01))
    async with asyncio.timeout(60):
        while len(caplog.records) < lines:
            assert not task.done()
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    task.cancel()
    await client.close()
    return [(each.msg, each.levelname, getattr(each, "figures", None)) for each in caplog.records]


async def test_a_store_that_fails_is_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "chats.db").write_text("this is no database, and never was one" * 100)
    client = AsyncMultiTurn(model="demo", store=f"sqlite:///{tmp_path / 'chats.db'}")
    told = await swept(client, caplog, 2)
    assert told == [("not swept", "WARNING", {"code": "store_corrupt"})] * len(told)


async def test_what_went_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    client = AsyncMultiTurn(model="demo", store=":memory:")
    for name in ("a", "b"):
        await client.conversation(name, expires_after=0.01).send("hi")
    await asyncio.sleep(0.05)
    assert await swept(client, caplog, 1) == [("swept", "INFO", {"conversations": 2})]
