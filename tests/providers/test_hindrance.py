"""Is what is wrong with a connection told in the same words, whoever held it?"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import pytest
from tests.providers.hosts import CHUNKED, WHOLE, host
from tests.providers.test_lines import certified

from multiturn.phrases import Reason
from multiturn.providers.aiohttp_client import Client
from multiturn.providers.hindrance import (
    BrokenOff,
    ConnectingTooLong,
    Disconnected,
    Hindrance,
    NoSuchHost,
    NotConnected,
    NotTrusted,
    reason_of,
)
from multiturn.providers.lines import Lines

Holder = Callable[[float], Lines | Client]
BOTH = pytest.mark.parametrize("holder", [Lines, Client])


async def trouble(holder: Holder, url: str, kind: type[Hindrance], *, connect: float = 5.0) -> Reason:
    """Why an answer could not be had, or not to its end."""
    session = holder(connect)

    async def asked() -> None:
        answer = await session.post(url, data=b"{}", headers={}, allow_redirects=False, proxy=None)
        try:
            while await answer.content.readany():
                pass
        finally:
            answer.close()

    try:
        with pytest.raises(kind) as caught:
            await asked()
    finally:
        await session.close()
    assert type(caught.value) is kind
    reason = reason_of(caught.value)
    assert isinstance(reason, Reason)
    return reason


@BOTH
async def test_an_answer_is_read_whole(holder: Holder) -> None:
    session = holder(5.0)
    async with host(CHUNKED + b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", WHOLE) as (one, _):
        for kind in ("application/octet-stream", "text/plain"):
            answer = await session.post(one.url, data=b"{}", headers={}, allow_redirects=False, proxy=None)
            assert (answer.status, answer.content_type) == (200, kind)
            parts = []
            while part := await answer.content.readany():
                parts.append(part)
            assert b"".join(parts) == b"hello"
            assert answer.content.at_eof()
            answer.close()
        assert one.connections == 1
        await session.close()


@BOTH
async def test_nobody_listens(holder: Holder) -> None:
    async with host() as (one, _):
        place = one.url.split("/")[2]
    reason = await trouble(holder, one.url, NotConnected)
    assert str(reason) == f"{place}: connection refused"
    assert reason.told("zh") == f"{place}：连接被拒绝"


@BOTH
async def test_a_host_nobody_knows(holder: Holder) -> None:
    reason = await trouble(holder, "http://no-such-host.invalid/v1", NoSuchHost)
    assert reason == "no-such-host.invalid:80: no such host"


@BOTH
async def test_a_certificate_that_is_not_trusted(holder: Holder) -> None:
    async with host(WHOLE, secure=certified()) as (one, _):
        reason = await trouble(holder, one.url, NotTrusted)
        assert one.requests == []
    assert "its certificate is not trusted" in reason


@BOTH
async def test_encryption_that_the_other_side_does_not_speak(holder: Holder) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(WHOLE)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    place = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    reason = await trouble(holder, f"https://{place}/v1", NotTrusted)
    server.close()
    await server.wait_closed()
    assert reason == f"{place}: its certificate is not trusted"


@BOTH
async def test_a_connection_that_does_not_come_about(holder: Holder) -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        full = [socket.socket() for _ in range(4)]
        for each in full:
            each.setblocking(False)
            each.connect_ex(deaf.getsockname())
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}/v1"
        reason = await trouble(holder, url, ConnectingTooLong, connect=0.1)
        for each in full:
            each.close()
    assert reason == "no connection within 0.1 s"


@BOTH
async def test_a_connection_that_closes_without_a_word(holder: Holder) -> None:
    async with host(b"", close=True) as (one, _):
        assert await trouble(holder, one.url, Disconnected) == "it closed the connection"


@BOTH
@pytest.mark.parametrize(
    "says", [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhel", CHUNKED + b"3\r\nhel\r\n"]
)
async def test_an_answer_that_breaks_off(holder: Holder, says: bytes) -> None:
    async with host(says, close=True) as (one, _):
        reason = await trouble(holder, one.url, BrokenOff)
    assert reason == "the connection broke in the middle of the answer"


async def test_what_has_no_name_of_ours_is_told_in_its_own_words() -> None:
    session = Client(5.0)
    with pytest.raises(Hindrance) as caught:
        await session.post("http://", data=b"", headers={}, allow_redirects=False, proxy=None)
    await session.close()
    assert reason_of(caught.value) == "http://"
