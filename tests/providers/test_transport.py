"""One call over the wire: patience, repetitions, and connections that do not outlive their listener."""

from __future__ import annotations

import asyncio
import email.utils
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest

from multiturn.catalog import Catalog
from multiturn.errors import (
    KeyRefused,
    ProviderError,
    ProviderFailed,
    ProviderOverloaded,
    ProviderTimeout,
    ProviderUnreachable,
    RateLimited,
    RequestRefused,
    StreamCut,
)
from multiturn.phrases import error_sentence
from multiturn.providers import Patience, Provider, Retry, open_provider
from multiturn.providers.openai_chat import OpenAIChat
from multiturn.reply import Delta, Draft

from .loopback import Answer, Exchange, Loopback, asked, chunk, collect, event, loopback

QUICK = Retry(base=0.001, burst=0.002, longest_backoff=0.002, longest_wait=0.01)
ONCE = Retry(times=0)
PATIENCE = Patience()
LIMITED = {"error": {"message": "slow down", "code": "rate_limit_exceeded"}}


@asynccontextmanager
async def talking(
    *answers: Answer, retry: Retry = QUICK, patience: Patience = PATIENCE, provider: str = "openai"
) -> AsyncIterator[tuple[Provider, Loopback]]:
    async with loopback(*answers) as server:
        client = open_provider(
            Catalog().profile(provider),
            key="sk-test-key",
            base_url=server.url,
            retry=retry,
            patience=patience,
        )
        try:
            yield client, server
        finally:
            await client.close()


async def fine(exchange: Exchange) -> None:
    await exchange.say(chunk("你"), chunk("好"), chunk(finish="stop"), event("[DONE]"))


def refusing(status: int, body: object = LIMITED, **headers: str) -> Answer:
    async def answer(exchange: Exchange) -> None:
        await exchange.whole(body, status, **headers)

    return answer


async def reset_at_once(exchange: Exchange) -> None:
    exchange.reset()


def text_of(deltas: list[Delta]) -> str:
    return "".join(delta.text for delta in deltas)


async def broken(client: Provider, kind: type[ProviderError], match: str = ".") -> tuple[str, ProviderError]:
    """What was heard of an answer before it broke, and how it broke."""
    heard: list[Delta] = []

    async def listen() -> None:
        async for delta in client.stream(asked()):
            heard.append(delta)  # noqa: PERF401  (what came before the error counts)

    with pytest.raises(kind, match=match) as caught:
        await listen()
    return text_of(heard), caught.value


# ---------------------------------------------------------------------------------- repetitions


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 529])
async def test_what_may_pass_is_tried_again(status: int) -> None:
    async with talking(refusing(status, {}), refusing(status, {}), fine) as (client, server):
        assert text_of(await collect(client)) == "你好"
    assert len(server.received) == 3
    assert len({received.raw for received in server.received}) == 1


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 409, 413, 422])
async def test_what_stays_wrong_is_not_tried_again(status: int) -> None:
    async with talking(refusing(status, {}), fine) as (client, server):
        with pytest.raises(ProviderError):
            await collect(client)
    assert len(server.received) == 1


async def test_a_quota_that_is_used_up_is_not_tried_again() -> None:
    async with talking(refusing(429, {"error": {"code": "insufficient_quota", "message": "x"}})) as (
        client,
        server,
    ):
        with pytest.raises(ProviderError, match="billing"):
            await collect(client)
    assert len(server.received) == 1


async def test_the_error_of_the_last_try_is_raised() -> None:
    async with talking(refusing(429), refusing(503, {}), refusing(500, {})) as (client, server):
        with pytest.raises(ProviderFailed):
            await collect(client)
    assert len(server.received) == 3


async def test_the_number_of_repetitions_can_be_set() -> None:
    async with talking(refusing(500, {}), retry=Retry(times=0)) as (client, server):
        with pytest.raises(ProviderFailed):
            await collect(client)
    assert len(server.received) == 1


async def test_a_connection_that_breaks_before_the_answer() -> None:
    async with talking(reset_at_once, fine) as (client, server):
        assert text_of(await collect(client)) == "你好"
    assert len(server.received) == 2


async def test_a_stream_that_breaks_before_its_first_delta() -> None:
    async def role_and_reset(exchange: Exchange) -> None:
        await exchange.say(chunk(role="assistant", content=""))
        exchange.reset()

    async def role_and_end(exchange: Exchange) -> None:
        await exchange.say(chunk(role="assistant", content=""))

    async with talking(role_and_reset, role_and_end, fine) as (client, server):
        assert text_of(await collect(client)) == "你好"
    assert len(server.received) == 3


async def test_an_error_event_before_the_first_delta() -> None:
    async def complains(exchange: Exchange) -> None:
        await exchange.say(chunk(role="assistant"), event({"error": {"code": 503, "message": "busy"}}))

    async with talking(complains, fine) as (client, server):
        assert text_of(await collect(client)) == "你好"
    assert len(server.received) == 2


async def test_nothing_is_tried_again_after_the_first_delta() -> None:
    async def breaks(exchange: Exchange) -> None:
        await exchange.say(chunk("你"), event({"error": {"code": 503, "message": "busy"}}))

    async with talking(breaks, fine) as (client, server):
        heard, _ = await broken(client, ProviderOverloaded)
    assert heard == "你"
    assert len(server.received) == 1


async def test_nobody_answers() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    client = open_provider(Catalog().profile("openai"), key="sk-test-key", base_url=address, retry=QUICK)
    with pytest.raises(ProviderUnreachable) as caught:
        await collect(client)
    await client.close()
    assert caught.value.__cause__ is not None
    assert caught.value.retryable
    host = address.removeprefix("http://")
    assert f"cannot be reached ({host}: connection refused)" in str(caught.value)
    assert f"连接不上 openai（{host}：连接被拒绝）" in error_sentence(caught.value, "zh")


async def test_a_host_that_does_not_exist() -> None:
    address = "http://no-such-host.invalid"
    client = open_provider(Catalog().profile("openai"), key="sk-test-key", base_url=address, retry=ONCE)
    with pytest.raises(ProviderUnreachable):
        await collect(client)
    await client.close()


async def test_the_budget_is_the_providers() -> None:
    """Three repetitions for a fresh client, then a tenth: in a storm the provider is not flooded."""
    async with talking(refusing(429), retry=Retry(times=2, base=0, longest_backoff=0)) as (client, server):
        for _ in range(50):
            with pytest.raises(RateLimited):
                await collect(client)
    assert 53 <= len(server.received) <= 55


# ------------------------------------------------------------------------------------- pauses


@dataclass(frozen=True)
class Noted(Retry):
    """Notes its pauses instead of keeping them."""

    noted: list[float] = field(default_factory=list)

    def pause(self, error: ProviderError, repetition: int) -> float:
        self.noted.append(super().pause(error, repetition))
        return 0.0


async def pauses(*answers: Answer, provider: str = "openai") -> list[float]:
    """The pauses before the repetitions of a call."""
    retry = Noted()
    async with talking(*answers, fine, retry=retry, provider=provider) as (client, _):
        await collect(client)
    return retry.noted


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(refusing(429, retry_after="13"), id="seconds"),
        pytest.param(refusing(503, {}, retry_after_ms="13000", retry_after="9"), id="milliseconds"),
        pytest.param(
            refusing(429, {"error": {"message": "please try again after 13 seconds"}}), id="in the text"
        ),
    ],
)
async def test_the_wait_that_is_asked_for(answer: Answer) -> None:
    assert await pauses(answer) == [13]


async def test_a_date_to_wait_for() -> None:
    async def tomorrow(exchange: Exchange) -> None:
        await exchange.whole({}, 503, retry_after=email.utils.formatdate(time.time() + 40, usegmt=True))

    [pause] = await pauses(tomorrow)
    assert 20 < pause <= 40


async def test_a_wait_is_capped() -> None:
    assert await pauses(refusing(429, retry_after="3600")) == [60]


async def test_backing_off() -> None:
    first, second = await pauses(refusing(500, {}), refusing(500, {}))
    assert 0.375 <= first <= 0.625
    assert 0.75 <= second <= 1.25


async def test_backing_off_longer_from_a_burst() -> None:
    [pause] = await pauses(
        refusing(429, {"error": {"code": "limit_burst_rate", "message": "x"}}), provider="qwen"
    )
    assert pause >= 3.75


async def test_a_pause_is_kept() -> None:
    began = time.monotonic()
    async with talking(refusing(429, retry_after="0.2"), fine, retry=Retry()) as (client, _):
        await collect(client)
    assert time.monotonic() - began >= 0.2


async def test_no_wait_beyond_the_end() -> None:
    """A pause that would outlast the whole call is not begun."""
    patience = Patience(total=5)
    async with talking(refusing(429, retry_after="30"), fine, retry=Retry(), patience=patience) as (
        client,
        server,
    ):
        with pytest.raises(RateLimited) as caught:
            await collect(client)
    assert len(server.received) == 1
    assert caught.value.retry_after == 30


# -------------------------------------------------------------------------------------- limits


async def silent(exchange: Exchange) -> None:
    await asyncio.sleep(30)


async def only_comments(exchange: Exchange) -> None:
    for _ in range(600):
        await exchange.say(": keep-alive\n\n", "event: ping\ndata: {}\n\n")
        await asyncio.sleep(0.02)


async def one_word_then_comments(exchange: Exchange) -> None:
    await exchange.say(chunk("你"))
    await only_comments(exchange)


async def drop_by_drop(exchange: Exchange) -> None:
    for _ in range(600):
        await exchange.say(chunk("滴"))
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("answer", [silent, only_comments])
async def test_a_first_piece_that_does_not_come(answer: Answer) -> None:
    patience = Patience(first=0.15, idle=30)
    async with talking(answer, retry=ONCE, patience=patience) as (client, server):
        with pytest.raises(ProviderTimeout, match=r"nothing of the answer within 0\.15 s"):
            await collect(client)
        await server.left.wait()


async def test_comments_are_no_pieces() -> None:
    async with talking(one_word_then_comments, patience=Patience(idle=0.15)) as (client, server):
        heard, _ = await broken(client, ProviderTimeout, r"no further piece within 0\.15 s")
        await server.left.wait()
    assert heard == "你"


async def test_pieces_that_add_nothing_are_signs_of_life() -> None:
    async def thinks_aloud(exchange: Exchange) -> None:
        await exchange.say(chunk("你"))
        for _ in range(8):
            await asyncio.sleep(0.2)
            await exchange.say(chunk(""))
        await exchange.say(chunk("好", "stop"), event("[DONE]"))

    async with talking(thinks_aloud, patience=Patience(idle=1)) as (client, _):
        assert text_of(await collect(client)) == "你好"


async def test_a_slow_listener_is_no_silent_provider() -> None:
    async def two_words(exchange: Exchange) -> None:
        await exchange.say(chunk("你"))
        await asyncio.sleep(1.2)
        await exchange.say(chunk("好", "stop"), event("[DONE]"))

    async with talking(two_words, patience=Patience(idle=1.0)) as (client, _):
        heard = ""
        async for delta in client.stream(asked()):
            heard += delta.text
            await asyncio.sleep(1.0)
    assert heard == "你好"


async def test_a_call_that_takes_too_long_altogether() -> None:
    async with talking(drop_by_drop, patience=Patience(total=1)) as (client, server):
        with pytest.raises(ProviderTimeout, match=r"no end within 1 s"):
            await collect(client)
        await server.left.wait()


async def test_an_answer_in_one_piece_has_all_the_time_there_is() -> None:
    async def slow(exchange: Exchange) -> None:
        await asyncio.sleep(0.3)
        await exchange.whole(WHOLE)

    patience = Patience(first=0.05, idle=0.05)
    async with talking(slow, patience=patience) as (client, _):
        assert text_of(await collect(client, asked(stream=False))) == "好"
    async with talking(silent, patience=Patience(total=0.1)) as (client, _):
        with pytest.raises(ProviderTimeout, match=r"no answer within 0\.1 s"):
            await collect(client, asked(stream=False))


WHOLE = {"id": "c", "choices": [{"message": {"content": "好"}, "finish_reason": "stop"}]}


async def test_a_connection_that_does_not_come_about() -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        full = [socket.socket() for _ in range(4)]
        for each in full:
            each.setblocking(False)
            each.connect_ex(deaf.getsockname())
        address = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        patience = Patience(connect=0.1)
        client = open_provider(
            Catalog().profile("openai"), key="sk-test-key", base_url=address, retry=ONCE, patience=patience
        )
        with pytest.raises(ProviderTimeout, match=r"no connection within 0\.1 s"):
            await collect(client)
        await client.close()
        for each in full:
            each.close()


# --------------------------------------------------------------------------------- broken streams


async def test_a_reset_in_the_middle() -> None:
    async def breaks(exchange: Exchange) -> None:
        await exchange.say(chunk("你"))
        await asyncio.sleep(0.05)
        exchange.reset()

    async with talking(breaks) as (client, server):
        heard, error = await broken(client, StreamCut)
    assert heard == "你"
    assert error.provider == "openai"
    assert len(server.received) == 1


@pytest.mark.parametrize("tail", ["", event("[DONE]"), 'data: {"choices":[{"del'])
async def test_an_end_without_a_finish_reason(tail: str) -> None:
    async def ends(exchange: Exchange) -> None:
        await exchange.say(chunk("你"), tail)

    async with talking(ends) as (client, _):
        heard, _ = await broken(client, StreamCut)
    assert heard == "你"


async def test_what_is_missing_after_the_finish_reason_does_not_matter() -> None:
    async def no_done(exchange: Exchange) -> None:
        await exchange.say(chunk("好"), chunk(finish="stop"))

    async def reset(exchange: Exchange) -> None:
        await exchange.say(chunk("好"), chunk(finish="stop"))
        await asyncio.sleep(0.05)
        exchange.reset()

    async def stall(exchange: Exchange) -> None:
        await exchange.say(chunk("好"), chunk(finish="stop"), ": x\n\n")
        await asyncio.sleep(30)

    async def rubbish(exchange: Exchange) -> None:
        await exchange.say(chunk("好"), chunk(finish="stop"), event("rubbish"), 'data: {"cho')

    for answer in (no_done, reset, stall, rubbish):
        async with talking(answer, patience=Patience(idle=0.3)) as (client, _):
            deltas = await collect(client)
        assert text_of(deltas) == "好", answer.__name__
        assert deltas[-1].finish_reason == "stop"


async def test_deltas_before_an_error_in_the_same_packet_are_handed_on() -> None:
    async def both(exchange: Exchange) -> None:
        await exchange.say(
            chunk("你") + chunk("好") + event({"error": {"message": "x", "code": "server_error"}})
        )

    async with talking(both) as (client, _):
        heard, _ = await broken(client, ProviderFailed)
    assert heard == "你好"


async def test_an_event_that_is_no_json() -> None:
    async def page(exchange: Exchange) -> None:
        await exchange.say(chunk("你"), event("<oops>"))

    async with talking(page) as (client, _):
        with pytest.raises(ProviderFailed, match="no JSON"):
            await collect(client)


async def test_an_event_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("multiturn.providers.transport.LARGEST_ANSWER", 1 << 20)

    async def endless(exchange: Exchange) -> None:
        await exchange.say("data: ")
        for _ in range(64):
            await exchange.say(b"x" * (1 << 16))

    async with talking(endless, retry=ONCE) as (client, _):
        with pytest.raises(ProviderFailed, match="more than 1 MiB"):
            await collect(client)
        with pytest.raises(ProviderFailed, match="more than 1 MiB"):
            await collect(client, asked(stream=False))


STREAM = (
    "\ufeff: hello\r\n\r\n"
    + chunk("你好😀").replace("\n", "\r\n")
    + chunk("x").replace("\n", "\r")
    + chunk(finish="stop")
    + event("[DONE]")
).encode()


@pytest.mark.parametrize("step", [1, 2, 3, 7, 64])
async def test_a_stream_in_small_packets(step: int) -> None:
    async def split(exchange: Exchange) -> None:
        for start in range(0, len(STREAM), step):
            await exchange.say(STREAM[start : start + step])
            await asyncio.sleep(0)

    async with talking(split) as (client, _):
        assert text_of(await collect(client)) == "你好😀x"


async def test_a_line_of_a_mebibyte() -> None:
    text = "好" * 350_000

    async def long(exchange: Exchange) -> None:
        await exchange.say(chunk(text, "stop"), event("[DONE]"))

    async with talking(long) as (client, _):
        assert text_of(await collect(client)) == text


# ------------------------------------------------------------------------------- kinds of answers


async def test_json_where_a_stream_was_asked_for() -> None:
    async def whole(exchange: Exchange) -> None:
        await exchange.whole(WHOLE)

    async with talking(whole) as (client, _):
        assert await collect(client) == [Delta("好", finish_reason="stop", response_id="c")]


async def test_a_stream_that_does_not_say_it_is_one() -> None:
    async def plain(exchange: Exchange) -> None:
        await exchange.start(kind="application/octet-stream")
        await fine(exchange)

    async with talking(plain) as (client, _):
        assert text_of(await collect(client)) == "你好"


@pytest.mark.parametrize("stream", [True, False])
async def test_a_page_with_status_200(stream: bool) -> None:
    async def page(exchange: Exchange) -> None:
        await exchange.whole("<html><title>Login</title></html>", kind="text/html")

    async with talking(page, retry=ONCE) as (client, _):
        with pytest.raises(ProviderFailed, match="an HTML page: Login"):
            await collect(client, asked(stream=stream))


async def test_a_redirect_is_not_followed() -> None:
    async def elsewhere(exchange: Exchange) -> None:
        await exchange.whole("", 302, location="/elsewhere")

    async with talking(elsewhere) as (client, server):
        with pytest.raises(RequestRefused, match="HTTP 302"):
            await collect(client)
    assert len(server.received) == 1


async def test_a_complaint_without_end() -> None:
    async def endless(exchange: Exchange) -> None:
        await exchange.start(401)
        while True:
            await exchange.say(b"no! " * 4096)

    async with talking(endless) as (client, server):
        with pytest.raises(KeyRefused, match="no! no!"):
            await collect(client)
        await server.left.wait()


async def test_a_complaint_that_breaks_off_is_still_one() -> None:
    async def breaks(exchange: Exchange) -> None:
        await exchange.start(401)
        await exchange.say("wrong key")
        await asyncio.sleep(0.05)
        exchange.reset()

    async with talking(breaks) as (client, _):
        with pytest.raises(KeyRefused, match="wrong key"):
            await collect(client)


async def test_a_large_request_is_sent_whole() -> None:
    text = "好" * 1_000_000
    async with talking(fine) as (client, server):
        await collect(client, asked(text))
    assert server.received[0].body["messages"][0]["content"] == text


# ------------------------------------------------------------------------------------ connections


async def test_leaving_closes_the_connection_at_once() -> None:
    async with talking(drop_by_drop) as (client, server):
        stream = client.stream(asked())
        await anext(stream)
        await stream.aclose()  # type: ignore[attr-defined]  # it is a generator
        await server.left.wait()


async def test_cancelling_closes_the_connection_at_once() -> None:
    for answer in (drop_by_drop, silent, only_comments):
        async with talking(answer) as (client, server):
            task = asyncio.create_task(collect(client))
            await server.asked.wait()
            await asyncio.sleep(0.1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await server.left.wait()


async def test_an_answer_to_be_passed_on_is_cancelled_as_well() -> None:
    async with talking(silent) as (client, server):
        assert isinstance(client, OpenAIChat)
        task = asyncio.create_task(client.passed(b"{}", stream=True))
        await server.asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await server.left.wait()


async def test_a_finished_answer_leaves_its_connection_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("multiturn.providers.transport.FAREWELL", 30.0)

    async def lingers(exchange: Exchange) -> None:
        await fine(exchange)
        await asyncio.sleep(0.01)

    async with talking(lingers) as (client, server):
        for _ in range(3):
            await collect(client)
    assert len({received.peer for received in server.received}) == 1


async def test_what_comes_behind_the_last_event_is_of_no_answer() -> None:
    async def goes_on(exchange: Exchange) -> None:
        await exchange.say(chunk("你"), chunk("好"), chunk(finish="stop"), event("[DONE]"), chunk("？"))

    async with talking(goes_on) as (client, _):
        assert text_of(await collect(client)) == "你好"


async def test_the_last_event_counts_without_the_blank_line_behind_it() -> None:
    async def ends(exchange: Exchange) -> None:
        await exchange.say(chunk("你"), chunk("好", "stop").rstrip())

    async with talking(ends) as (client, _):
        assert text_of(await collect(client)) == "你好"


async def test_the_last_event_ends_an_answer_whose_connection_stays_open() -> None:
    async def stays(exchange: Exchange) -> None:
        await fine(exchange)
        await silent(exchange)

    async with talking(stays) as (client, server):
        async with asyncio.timeout(60):
            assert text_of(await collect(client)) == "你好"
            await server.left.wait()


async def test_an_answer_that_was_left_does_not_lend_its_connection() -> None:
    async with talking(drop_by_drop, fine) as (client, server):
        stream = client.stream(asked())
        await anext(stream)
        await stream.aclose()  # type: ignore[attr-defined]  # it is a generator
        assert text_of(await collect(client)) == "你好"
    assert len({received.peer for received in server.received}) == 2


async def test_many_streams_at_once() -> None:
    everybody = asyncio.Event()

    async def together(exchange: Exchange) -> None:
        if len(server.received) == 120:
            everybody.set()
        await everybody.wait()
        await fine(exchange)

    async with talking(together, patience=Patience(first=10)) as (client, server):
        heard = await asyncio.gather(*(collect(client) for _ in range(120)))
    assert [text_of(deltas) for deltas in heard] == ["你好"] * 120
    assert len(server.received) == 120


async def test_a_client_that_was_never_used_closes() -> None:
    await open_provider(Catalog().profile("openai"), key="sk-test-key").close()


async def test_what_goes_over_the_wire() -> None:
    async with talking(fine) as (client, server):
        draft = Draft()
        async for delta in client.stream(asked()):
            draft.add(delta)
    received = server.received[0]
    assert received.path == "/chat/completions"
    assert received.headers["authorization"] == "Bearer sk-test-key"
    assert received.headers["content-type"] == "application/json"
    assert received.headers["accept-encoding"] == "identity"
    assert (draft.text, draft.finish_reason, draft.model, draft.response_id) == ("你好", "stop", "m-1", "c-1")


async def test_the_key_is_in_no_error() -> None:
    echo: dict[str, Any] = {"error": {"message": "key sk-test-key is wrong"}}
    async with talking(refusing(401, echo)) as (client, _):
        with pytest.raises(KeyRefused) as caught:
            await collect(client)
    assert "sk-test-key" not in f"{caught.value} {caught.value.figures} {client!r}"
    assert orjson.dumps(dict(caught.value.figures))
