"""Providers that count tokens themselves."""

from __future__ import annotations

import orjson
import pytest
from tests.simulators import Fault, Script, counting, simulate

from multiturn import CountingUnavailable, KeyMissing, KeyRefused, ModelNotFound, ProviderFailed
from multiturn.catalog import Catalog
from multiturn.phrases import error_sentence
from multiturn.providers import Retry, open_counting
from multiturn.providers import counting as module

from .loopback import Exchange, loopback

QUICK = Retry(base=0.001, burst=0.001, longest_backoff=0.001, longest_wait=0.001)
MESSAGES = [{"role": "user", "content": "你好，请数一数。"}, {"role": "assistant", "content": "好的"}]
BODY = orjson.dumps(MESSAGES)
MODELS = {
    "kimi": "kimi-k2.6",
    "stepfun": "step-3.7-flash",
    "glm": "glm-4.7",
    "qwen": "qwen-plus",
    "dashscope": "qwen-plus",
}


@pytest.mark.parametrize("name", MODELS)
async def test_each_provider_counts_as_it_sees_the_list(name: str) -> None:
    async with simulate(name) as server:
        client = open_counting(Catalog().profile(name), key=server.key, base_url=server.base_url)
        assert await client.count(MODELS[name], BODY) == len(counting.prompt(MESSAGES))
        assert await client.count(MODELS[name], orjson.dumps(MESSAGES[:1])) == len(
            counting.prompt(MESSAGES[:1])
        )
        await client.close()


async def test_the_same_list_is_asked_about_once() -> None:
    async with simulate("kimi") as server:
        client = open_counting(Catalog().profile("kimi"), key=server.key, base_url=server.base_url)
        assert await client.count("kimi-k2.6", BODY) == await client.count("kimi-k2.6", BODY)
        assert len(server.requests) == 1
        await client.count("kimi-k2.5", BODY)
        assert [received.body["model"] for received in server.requests] == ["kimi-k2.6", "kimi-k2.5"]
        await client.close()


async def test_no_more_is_remembered_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 2)
    async with simulate("kimi") as server:
        client = open_counting(Catalog().profile("kimi"), key=server.key, base_url=server.base_url)
        for text in ("1", "2", "1", "3", "3", "1"):
            await client.count("kimi-k2.6", orjson.dumps([{"role": "user", "content": text}]))
        asked = [received.body["messages"][0]["content"] for received in server.requests]
        assert asked == ["1", "2", "3", "1"]
        await client.close()


async def test_tools_are_counted_where_the_endpoint_takes_them() -> None:
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
    for name in ("glm", "kimi"):
        async with simulate(name) as server:
            client = open_counting(Catalog().profile(name), key=server.key, base_url=server.base_url)
            more = await client.count(MODELS[name], BODY, tools) - await client.count(MODELS[name], BODY)
            assert (more > 0) == (name == "glm")
            assert ("tools" in server.requests[0].body) == (name == "glm")
            await client.close()


async def test_refusals_are_ours_and_a_busy_endpoint_is_asked_again() -> None:
    async with simulate("kimi", Script(faults={1: Fault(503), 3: Fault(401)})) as server:
        profile = Catalog().profile("kimi")
        client = open_counting(profile, key=server.key, base_url=server.base_url, retry=QUICK)
        assert await client.count("kimi-k2.6", BODY) > 0
        with pytest.raises(KeyRefused):
            await client.count("kimi-k2.6", b"[]")
        with pytest.raises(ModelNotFound):
            await client.count("nobody", BODY)
        assert len(server.requests) == 4
        await client.close()


@pytest.mark.parametrize(
    "answer",
    [{}, {"data": None}, {"data": {}}, {"data": {"total_tokens": "9"}}, {"data": {"total_tokens": True}}],
)
async def test_an_answer_without_the_number_is_a_failure(answer: object) -> None:
    async def say(exchange: Exchange) -> None:
        await exchange.whole(answer)

    async with loopback(say) as server:
        client = open_counting(Catalog().profile("kimi"), key="sk-x", base_url=server.url, retry=QUICK)
        with pytest.raises(ProviderFailed, match=r"data\.total_tokens") as caught:
            await client.count("kimi-k2.6", BODY)
        assert "data.total_tokens" in error_sentence(caught.value, "zh")
        await client.close()


async def test_an_error_with_status_200_is_told_as_what_it_is() -> None:
    async def say(exchange: Exchange) -> None:
        await exchange.whole({"error": {"message": "no", "type": "invalid_authentication_error"}})

    async with loopback(say) as server:
        client = open_counting(Catalog().profile("kimi"), key="sk-x", base_url=server.url, retry=QUICK)
        with pytest.raises(KeyRefused):
            await client.count("kimi-k2.6", BODY)
        await client.close()


@pytest.mark.parametrize(
    "body", [b"[]", b"not json", b'"text"', b'{"error": {"message": "no", "code": "1210"}}']
)
async def test_an_answer_that_is_no_object_is_told(body: bytes) -> None:
    async def say(exchange: Exchange) -> None:
        await exchange.whole(body)

    async with loopback(say) as server:
        client = open_counting(
            Catalog().profile("glm"), key="sk-x", base_url=server.url, retry=Retry(times=0)
        )
        with pytest.raises(Exception, match="glm"):
            await client.count("glm-4.7", BODY)
        await client.close()


def test_a_provider_without_such_an_endpoint_says_what_to_do() -> None:
    with pytest.raises(CountingUnavailable, match=r"deepseek has no endpoint.*kimi.*chat\.window") as caught:
        open_counting(Catalog().profile("deepseek"), key="sk-x")
    assert caught.value.code == "counting_unavailable"
    assert "kimi" in error_sentence(caught.value, "zh")


def test_a_key_is_needed() -> None:
    with pytest.raises(KeyMissing, match="MOONSHOT_API_KEY"):
        open_counting(Catalog().profile("kimi"))
