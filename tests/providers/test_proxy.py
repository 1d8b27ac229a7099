"""Are proxies used as the environment says, by a real one on loopback?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from multiturn.catalog import Catalog
from multiturn.errors import ProviderUnreachable, SettingInvalid
from multiturn.phrases import error_sentence
from multiturn.providers import Provider, Retry, open_provider
from multiturn.providers.flow import Deltas
from multiturn.providers.openai_chat import OpenAIChat
from multiturn.providers.proxy import proxy_of

from .loopback import Answer, Exchange, Loopback, asked, chunk, collect, event, loopback

VARIABLES = ("http_proxy", "https_proxy", "no_proxy", "all_proxy")


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.upper(), raising=False)


@dataclass
class Proxy:
    """Passes everything on to one server, whatever host was asked for; refuses tunnels with 403."""

    server: str
    url: str = ""
    heads: list[str] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.heads.append(head)
        if head.startswith("CONNECT "):
            writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
            writer.close()
            return
        method, target, rest = head.split(" ", 2)
        host, _, port = self.server.removeprefix("http://").partition(":")
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        path = "/" + target.split("/", 3)[3]
        far_writer.write(f"{method} {path} {rest}".encode())
        await asyncio.gather(_pass_on(reader, far_writer), _pass_on(far_reader, writer))


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
    finally:
        writer.close()


async def fine(exchange: Exchange) -> None:
    await exchange.say(chunk("hi"), chunk(finish="stop"), event("[DONE]"))


@asynccontextmanager
async def proxied(answer: Answer = fine) -> AsyncIterator[tuple[Proxy, Loopback]]:
    async with loopback(answer) as server:
        proxy = Proxy(server.url)
        listening = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
        host, port = listening.sockets[0].getsockname()[:2]
        proxy.url = f"http://{host}:{port}"
        try:
            yield proxy, server
        finally:
            listening.close()
            await listening.wait_closed()


@asynccontextmanager
async def asking(address: str) -> AsyncIterator[Provider]:
    client = open_provider(
        Catalog().profile("openai"), key="sk-test-key", base_url=address, retry=Retry(times=0)
    )
    try:
        yield client
    finally:
        await client.close()


async def test_a_call_goes_through_the_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    async with proxied() as (proxy, server):
        monkeypatch.setenv("HTTP_PROXY", proxy.url.replace("http://", "http://ada:secret@"))
        async with asking("http://provider.test/v1") as client:
            deltas = await collect(client)
    assert "".join(delta.text for delta in deltas) == "hi"
    assert [request.path for request in server.received] == ["/v1/chat/completions"]
    (head,) = proxy.heads
    assert head.startswith("POST http://provider.test/v1/chat/completions ")
    assert "Proxy-Authorization: Basic YWRhOnNlY3JldA==" in head
    assert "Authorization: Bearer sk-test-key" in head


async def test_through_a_proxy_an_answer_is_read_as_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    going = asyncio.Event()

    async def answer(exchange: Exchange) -> None:
        await exchange.say(chunk("h"))
        await going.wait()
        await exchange.say(chunk("i"), chunk(finish="stop"), event("[DONE]"))

    async with proxied(answer) as (proxy, _):
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        async with asking("http://provider.test/v1") as client:
            assert isinstance(client, OpenAIChat)
            deltas = client.stream(asked())
            assert isinstance(deltas, Deltas)
            said = [await anext(deltas)]
            await deltas.flow(said.append)
            going.set()
            said += [delta async for delta in deltas]
            assert "".join(delta.text for delta in said) == "hi"
            passed = await client.passed(b"{}", stream=True)
            written: list[bytes] = []
            await passed.flow(bytes, lambda _: True)
            while events := await passed.events():
                written.append(events)
            assert b"".join(written).count(b"data: ") == 4
            passed.close()


async def test_a_call_with_encryption_asks_for_a_tunnel(monkeypatch: pytest.MonkeyPatch) -> None:
    async with proxied() as (proxy, server):
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        async with asking("https://provider.test/v1") as client:
            with pytest.raises(ProviderUnreachable, match="the proxy refused with HTTP 403") as caught:
                await collect(client)
    assert "代理拒绝了（HTTP 403）" in error_sentence(caught.value, "zh")
    assert proxy.heads[0].startswith("CONNECT provider.test:443 ")
    assert "sk-test-key" not in "".join(proxy.heads)
    assert server.received == []


async def test_no_proxy_is_asked_for_what_is_excepted_or_here(monkeypatch: pytest.MonkeyPatch) -> None:
    async with proxied() as (proxy, server):
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        async with asking(server.url) as client:
            await collect(client)
        assert proxy.heads == []
        assert len(server.received) == 1
        monkeypatch.setenv("NO_PROXY", "other.test,.invalid")
        async with asking("http://provider.invalid/v1") as client:
            with pytest.raises(ProviderUnreachable, match=r"provider\.invalid:80"):
                await collect(client)
        assert proxy.heads == []


async def test_a_proxy_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    async with proxied() as (proxy, _):
        pass
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    async with asking("http://provider.test/v1") as client:
        with pytest.raises(ProviderUnreachable, match=f"{proxy.url[7:]}: connection refused"):
            await collect(client)


@pytest.mark.parametrize(
    ("variables", "url", "proxy"),
    [
        ({}, "https://host.test/v1", None),
        ({"HTTPS_PROXY": "http://p:1"}, "https://host.test/v1", "http://p:1"),
        ({"https_proxy": "p:1"}, "https://host.test/v1", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1"}, "http://host.test/v1", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, "https://host.test/v1", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "host.test:8443"}, "https://host.test:8443/v1", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "test"}, "https://host.test/v1", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "other.test"}, "https://host.test/v1", "http://p:1"),
        ({"HTTP_PROXY": "http://p:1"}, "http://localhost:8000/v1", None),
        ({"HTTP_PROXY": "http://p:1"}, "http://127.0.0.2/v1", None),
        ({"HTTP_PROXY": "http://p:1"}, "http://[::1]:8000/v1", None),
        ({"HTTP_PROXY": "http://p:1"}, "http://10.0.0.1/v1", "http://p:1"),
    ],
)
def test_the_environment_is_read_as_other_programs_read_it(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], url: str, proxy: str | None
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert proxy_of(url) == proxy


def test_a_proxy_of_another_kind_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5://p:1")
    with pytest.raises(SettingInvalid, match="HTTPS_PROXY is wrong: a proxy that speaks socks5"):
        proxy_of("https://host.test")
