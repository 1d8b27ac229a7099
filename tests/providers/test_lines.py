"""Lean connections: answers of every form, connections used again, and everything that can break."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from multiturn.providers import lines as module
from multiturn.providers.lines import Lines, Received

CERTIFICATE = Path(__file__).with_name("localhost.pem")
"""A certificate for this machine's own name that nobody else trusts, with its key."""
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Type: Text/Plain; charset=utf-8\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
UNTIL_THE_END = b"HTTP/1.1 200 OK\r\n\r\nhel"


class Host:
    """A server that says what it is told to, byte by byte; one entry of ``says`` for each request."""

    def __init__(self, *says: bytes, close: bool = False) -> None:
        self.url = ""
        self.connections = 0
        self.requests: list[bytes] = []
        self.writers: list[asyncio.StreamWriter] = []
        self._says = list(says)
        self._close = close

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                self.requests.append(head + await reader.readexactly(size))
                writer.write(self._says.pop(0) if self._says else b"")
                await writer.drain()
                if self._close:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        if self._close:
            writer.close()


@asynccontextmanager
async def host(
    *says: bytes, close: bool = False, secure: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[Host, Lines]]:
    one, lines = Host(*says, close=close), Lines(5.0)
    server = await asyncio.start_server(one.talk, "127.0.0.1", 0, ssl=secure)
    scheme = "https" if secure else "http"
    one.url = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/chat?x=1"
    try:
        yield one, lines
    finally:
        await lines.close()
        for writer in one.writers:
            writer.close()
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0)


async def post(one: Host, lines: Lines, body: bytes = b"{}", **headers: str) -> Received:
    return await lines.post(one.url, data=body, headers=headers)


async def read(answer: Received) -> bytes:
    parts = []
    while part := await answer.readany():
        parts.append(part)
    return b"".join(parts)


# ------------------------------------------------------------------------------------------- answers


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


# --------------------------------------------------------------------------------------- connections


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


async def test_what_nobody_asked_for_ends_a_connection() -> None:
    async with host(WHOLE, WHOLE) as (one, lines):
        await read(await post(one, lines))
        one.writers[0].write(WHOLE)
        await asyncio.sleep(0.05)
        assert await read(await post(one, lines)) == b"hello"
        assert one.connections == 2


async def test_a_connection_that_idled_too_long_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDLE", 0.0)
    async with host(WHOLE, WHOLE) as (one, lines):
        await read(await post(one, lines))
        await asyncio.sleep(0.01)
        await read(await post(one, lines))
        assert one.connections == 2


async def test_requests_at_once_have_connections_of_their_own() -> None:
    async with host(WHOLE, WHOLE, WHOLE) as (one, lines):
        answers = await asyncio.gather(*(post(one, lines) for _ in range(3)))
        assert [await read(answer) for answer in answers] == [b"hello"] * 3
        assert one.connections == 3


# ------------------------------------------------------------------------------------------ failures


@pytest.mark.parametrize(
    "says", [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhel", CHUNKED + b"3\r\nhel\r\n"]
)
async def test_an_answer_that_breaks_off(says: bytes) -> None:
    async with host(says, close=True) as (one, lines):
        answer = await post(one, lines)
        with pytest.raises(aiohttp.ClientPayloadError):
            await read(answer)


async def test_a_connection_that_closes_without_a_word() -> None:
    async with host(b"", close=True) as (one, lines):
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await post(one, lines)


@pytest.mark.parametrize(
    "says",
    [b"SSH-2.0-OpenSSH_9.2\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n"],
    ids=["no HTTP", "too large"],
)
async def test_a_head_that_cannot_be(says: bytes) -> None:
    async with host(says) as (one, lines):
        with pytest.raises(aiohttp.ClientPayloadError):
            await post(one, lines)


async def test_nobody_listens() -> None:
    async with host() as (one, _):
        url = one.url
    with pytest.raises(aiohttp.ClientConnectorError):
        await Lines(5.0).post(url, data=b"", headers={})


async def test_a_header_with_the_end_of_a_line_is_not_sent() -> None:
    async with host(WHOLE) as (one, lines):
        with pytest.raises(ValueError, match="end of a line"):
            await post(one, lines, Authorization="k\r\nX-Other: 1")
        assert one.requests == []


async def test_who_stops_waiting_for_the_head_hangs_up() -> None:
    async with host(b"", WHOLE) as (one, lines):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await post(one, lines)
        assert await read(await post(one, lines)) == b"hello"
        assert one.connections == 2


# ---------------------------------------------------------------------------------------- as it comes


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
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await lines.post(one.url, data=b"{}", headers={})
        assert one.requests == []


async def test_a_certificate_of_somebody_else_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    async with host(WHOLE, secure=certified()) as (one, lines):
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await lines.post(one.url.replace("127.0.0.1", "0.0.0.0"), data=b"{}", headers={})
        assert one.requests == []
