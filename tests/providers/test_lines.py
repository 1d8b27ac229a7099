"""Are connections used again, and only those that can be?"""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest
from tests.providers.hosts import CHUNKED, WHOLE, host, post, read

from multiturn.providers import lines as module
from multiturn.providers.hindrance import NotConnected, NotTrusted
from multiturn.providers.lines import Lines

CERTIFICATE = Path(__file__).with_name("localhost.pem")
"""A certificate for this machine's own name that nobody else trusts, with its key."""


async def test_a_provider_that_closes_is_called_anew() -> None:
    closing = WHOLE.replace(b"Content-Type", b"Connection: close\r\nContent-Type")
    async with host(closing, WHOLE) as (one, lines):
        await read(await post(one, lines))
        await read(await post(one, lines))
        assert one.connections == 2


async def test_an_answer_nobody_read_to_its_end_takes_its_connection_along() -> None:
    async with host(CHUNKED + b"2\r\nhe\r\n", WHOLE) as (one, lines):
        answer = await post(one, lines)
        assert await answer.readany() == b"he"
        answer.close()
        assert await read(await post(one, lines)) == b"hello"
        assert one.connections == 2


async def test_a_connection_that_idled_too_long_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDLE", 0.0)
    async with host(WHOLE, WHOLE) as (one, lines):
        await read(await post(one, lines))
        await asyncio.sleep(0.01)
        await read(await post(one, lines))
        assert (one.connections, one.left) == (2, 1)


async def test_requests_at_once_have_connections_of_their_own() -> None:
    async with host(WHOLE, WHOLE, WHOLE) as (one, lines):
        answers = await asyncio.gather(*(post(one, lines) for _ in range(3)))
        assert [await read(answer) for answer in answers] == [b"hello"] * 3
        assert one.connections == 3


async def test_nobody_listens() -> None:
    async with host() as (one, _):
        url = one.url
    with pytest.raises(NotConnected):
        await Lines(5.0).post(url, data=b"", headers={})


async def test_a_header_with_the_end_of_a_line_is_not_sent() -> None:
    async with host(WHOLE) as (one, lines):
        with pytest.raises(ValueError, match="end of a line"):
            await post(one, lines, Authorization="k\r\nX-Other: 1")
        assert one.requests == []


def certified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    return context


async def test_a_secure_connection_is_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    async with host(WHOLE, CHUNKED + b"3\r\nhel\r\n0\r\n\r\n", secure=certified()) as (one, lines):
        for words in (b"hello", b"hel"):
            answer = await lines.post(one.url, data=b"{}", headers={})
            assert await answer.readany() == words
            assert await answer.readany() == b""
        assert one.connections == 1


async def test_a_certificate_that_nobody_vouches_for_is_not_trusted() -> None:
    async with host(WHOLE, secure=certified()) as (one, lines):
        with pytest.raises(NotTrusted):
            await lines.post(one.url, data=b"{}", headers={})
        assert one.requests == []


async def test_a_certificate_of_somebody_else_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    async with host(WHOLE, secure=certified()) as (one, lines):
        with pytest.raises(NotTrusted):
            await lines.post(one.url.replace("127.0.0.1", "0.0.0.0"), data=b"{}", headers={})
        assert one.requests == []
