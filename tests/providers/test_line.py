"""Is an answer read whole, whatever pieces it comes in, and is a broken one told?"""

from __future__ import annotations

import asyncio

import pytest
from tests.providers.hosts import CHUNKED, UNTIL_THE_END, WHOLE, host, post, read

from multiturn.providers.hindrance import BrokenOff, Disconnected


async def test_a_request_is_sent_as_it_is_told() -> None:
    async with host(WHOLE) as (one, lines):
        await post(one, lines, b"123", Authorization="Bearer k")
    head, _, body = one.requests[0].partition(b"\r\n\r\n")
    assert head.splitlines()[0] == b"POST /v1/chat?x=1 HTTP/1.1"
    assert {b"Authorization: Bearer k", b"Content-Length: 3"} <= set(head.splitlines())
    assert b"Host: 127.0.0.1:" in head
    assert body == b"123"


async def test_an_answer_of_known_length_leaves_the_connection_free() -> None:
    async with host(WHOLE, WHOLE) as (one, lines):
        for _ in range(2):
            answer = await post(one, lines)
            assert (answer.status, answer.content_type) == (200, "text/plain")
            assert await read(answer) == b"hello"
            assert answer.at_eof()
            answer.close()
        assert one.connections == 1


async def test_an_answer_in_chunks() -> None:
    async with host(CHUNKED + b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", WHOLE) as (one, lines):
        assert await read(await post(one, lines)) == b"hello"
        assert await read(await post(one, lines)) == b"hello"
        assert one.connections == 1


async def test_an_answer_that_ends_with_its_connection() -> None:
    async with host(UNTIL_THE_END + b"lo", close=True) as (one, lines):
        assert await read(await post(one, lines)) == b"hello"


async def test_an_announcement_before_the_answer_is_passed_over() -> None:
    async with host(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + WHOLE) as (one, lines):
        answer = await post(one, lines)
        assert (answer.status, "link" in answer.headers) == (200, False)
        assert await read(answer) == b"hello"


async def test_headers_that_come_twice_are_joined() -> None:
    twice = b"HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 0\r\n\r\n"
    async with host(twice) as (one, lines):
        answer = await post(one, lines)
        assert answer.headers["x-a"] == "1, 2"
        assert await read(answer) == b""


async def test_what_nobody_asked_for_ends_a_connection() -> None:
    async with host(WHOLE, WHOLE) as (one, lines):
        await read(await post(one, lines))
        one.writers[0].write(WHOLE)
        await asyncio.sleep(0.05)
        assert await read(await post(one, lines)) == b"hello"
        assert one.connections == 2


async def test_what_nobody_can_read_behind_an_answer_spoils_none() -> None:
    async with host(WHOLE + b"and then", WHOLE) as (one, lines):
        assert await read(await post(one, lines)) == b"hello"
        assert await read(await post(one, lines)) == b"hello"
        assert one.connections == 2


@pytest.mark.parametrize(
    "says", [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhel", CHUNKED + b"3\r\nhel\r\n"]
)
async def test_an_answer_that_breaks_off(says: bytes) -> None:
    async with host(says, close=True) as (one, lines):
        answer = await post(one, lines)
        with pytest.raises(BrokenOff):
            await read(answer)


async def test_a_connection_that_closes_without_a_word() -> None:
    async with host(b"", close=True) as (one, lines):
        with pytest.raises(Disconnected):
            await post(one, lines)


@pytest.mark.parametrize(
    "says",
    [b"SSH-2.0-OpenSSH_9.2\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n"],
    ids=["no HTTP", "too large"],
)
async def test_a_head_that_cannot_be(says: bytes) -> None:
    async with host(says) as (one, lines):
        with pytest.raises(BrokenOff):
            await post(one, lines)


async def test_who_stops_waiting_for_the_head_hangs_up() -> None:
    async with host(b"", WHOLE) as (one, lines):
        waiting = asyncio.create_task(post(one, lines))
        while not one.requests:  # noqa: ASYNC110  (the host sets no event)
            await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await read(await post(one, lines)) == b"hello"
        assert one.connections == 2


async def test_a_sink_gets_what_comes_and_then_nothing() -> None:
    async with host(CHUNKED + b"2\r\nhe\r\n") as (one, lines):
        answer, taken = await post(one, lines), asyncio.Queue[bytes]()
        answer.hand_to(taken.put_nowait)
        assert await taken.get() == b"he"
        one.writers[0].write(b"3\r\nllo\r\n1\r\n!\r\n0\r\n\r\n")
        assert [await taken.get(), await taken.get()] == [b"llo!", b""]


async def test_what_comes_after_a_sink_is_read_as_ever() -> None:
    async with host(CHUNKED + b"2\r\nhe\r\n") as (one, lines):
        answer, taken = await post(one, lines), asyncio.Queue[bytes]()
        answer.hand_to(taken.put_nowait)
        assert await taken.get() == b"he"
        answer.hand_to(None)
        one.writers[0].write(b"3\r\nllo\r\n0\r\n\r\n")
        assert await read(answer) == b"llo"


async def test_a_provider_has_to_wait_for_who_does_not_read() -> None:
    size = 32 << 20
    async with host(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size) as (one, lines):
        answer = await post(one, lines)
        one.writers[0].write(b"x" * size)
        await asyncio.sleep(0.2)
        assert one.writers[0].transport.get_write_buffer_size() > size // 2
        assert len(await read(answer)) == size
