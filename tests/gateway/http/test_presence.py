"""Work for a client that leaves ends, also where one stretch of it lies in another."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from multiturn.gateway.http.connection import Connection
from multiturn.gateway.http.presence import ClientLeft, staying


class Cycle:
    """What uvicorn keeps of a request."""

    response_complete = disconnected = False

    def __init__(self) -> None:
        self.flow = self

    def resume_reading(self) -> None:
        """The client is listened to."""


def connection() -> Connection:
    cycle: Any = Cycle()
    return Connection(cycle)


async def gone() -> dict[str, str]:
    await asyncio.sleep(0.01)
    return {"type": "http.disconnect"}


async def test_who_leaves_ends_the_work() -> None:
    receive = connection()
    asyncio.get_running_loop().call_later(0.01, receive.lost)
    with pytest.raises(ClientLeft):
        async with staying(receive):
            await asyncio.sleep(30)


async def test_who_leaves_another_server_ends_the_work() -> None:
    receive: Any = gone
    with pytest.raises(ClientLeft):
        async with staying(receive):
            await asyncio.sleep(30)


async def test_who_left_before_is_not_worked_for() -> None:
    receive = connection()
    receive.lost()
    with pytest.raises(ClientLeft):
        async with staying(receive):
            pytest.fail("nobody listens")


async def test_an_inner_stretch_that_is_over_leaves_the_outer_one_watched() -> None:
    receive = connection()

    async def work() -> None:
        async with staying(receive):
            async with staying(receive):
                pass
            await asyncio.sleep(30)

    asyncio.get_running_loop().call_later(0.01, receive.lost)
    with pytest.raises(ClientLeft):
        await work()


async def test_a_task_that_is_cancelled_by_somebody_else_stays_cancelled() -> None:
    async def work() -> None:
        async with staying(connection()):
            await asyncio.sleep(30)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_the_rest_of_a_body_is_no_leaving() -> None:
    messages = iter([{"type": "http.request"}])

    async def receive() -> Any:
        for message in messages:
            return message
        return await asyncio.sleep(30, {"type": "http.disconnect"})

    async with staying(receive):
        await asyncio.sleep(0.02)


async def test_who_leaves_another_server_when_the_work_is_done_ends_nothing() -> None:
    receive: Any = gone
    async with staying(receive):
        pass
    await asyncio.sleep(0.05)


async def test_what_went_wrong_before_its_client_left_is_told_as_it_was() -> None:
    receive = connection()

    async def work() -> None:
        async with staying(receive):
            receive.lost()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await work()


async def test_who_is_left_and_told_to_stop_stops() -> None:
    receive = connection()

    async def work() -> None:
        async with staying(receive):
            await asyncio.sleep(30)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    receive.lost()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
