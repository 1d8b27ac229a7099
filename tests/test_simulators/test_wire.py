"""Do the faults of a script reach the client as they are meant to?"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import aiohttp
import openai
import pytest
from tests.simulators import Answer, Fault, Script, Simulator, Wire, serve, simulate

from .test_openai_client import PLAIN

USER: list[Any] = [{"role": "user", "content": "你好"}]


def sdk(simulator: Simulator, **options: Any) -> openai.OpenAI:
    return openai.OpenAI(base_url=simulator.base_url, api_key=simulator.key, **{"max_retries": 0, **options})


RATE = {
    "qwen": "limit_requests",
    "kimi": "rate_limit_reached_error",
    "stepfun": "rate_limited",
    "zhizengzeng": "rate_limit_exceeded",
    "deepseek": "rate_limit_reached",
    "glm": "1302",
    "ark": "RateLimitExceeded.EndpointRPMExceeded",
    "siliconflow": "50603",
    "openai": "rate_limit_exceeded",
}


@pytest.mark.parametrize("provider", PLAIN)
def test_a_rate_limit_has_the_providers_code_and_passes(provider: str) -> None:
    with serve(provider, Script("好", faults={1: Fault(429)})) as simulator, sdk(simulator) as client:
        with pytest.raises(openai.RateLimitError) as caught:
            client.chat.completions.create(model=PLAIN[provider], messages=USER)
        client.chat.completions.create(model=PLAIN[provider], messages=USER)
    body = caught.value.response.json()
    inner = body.get("error", body)
    assert str(inner.get("code") or inner.get("type")) == RATE[provider]
    assert [received.status for received in simulator.requests] == [429, 200]


@pytest.mark.parametrize(
    ("provider", "kind", "status", "code"),
    [
        ("qwen", "burst", 429, "limit_burst_rate"),
        ("qwen", "quota", 429, "insufficient_quota"),
        ("qwen", "free_quota", 429, "insufficient_quota"),
        ("qwen", "content_filter", 400, "data_inspection_failed"),
        ("qwen", "billing", 400, "Arrearage"),
        ("kimi", "overloaded", 429, "engine_overloaded_error"),
        ("kimi", "quota", 429, "exceeded_current_quota_error"),
        ("kimi", "daily", 429, "rate_limit_reached_error"),
        ("kimi", "too_long", 400, "invalid_request_error"),
        ("stepfun", "billing", 402, "insufficient_balance"),
        ("deepseek", "billing", 402, "invalid_request_error"),
        ("deepseek", "overloaded", 503, "service_unavailable_error"),
        ("glm", "billing", 429, "1113"),
        ("glm", "daily", 429, "1304"),
        ("glm", "overloaded", 429, "1305"),
        ("ark", "billing", 403, "AccountOverdueError"),
        ("ark", "content_filter", 400, "InputTextSensitiveContentDetected"),
        ("openai", "quota", 429, "insufficient_quota"),
        ("openai", "server", 500, "server_error"),
    ],
)
def test_other_faults_by_name(provider: str, kind: str, status: int, code: str) -> None:
    with serve(provider, Script(faults=Fault(kind=kind))) as simulator, sdk(simulator) as client:
        with pytest.raises(openai.APIStatusError) as caught:
            client.chat.completions.create(model=PLAIN[provider], messages=USER)
    inner = caught.value.response.json()["error"]
    assert (caught.value.status_code, inner.get("code") or inner.get("type")) == (status, code)


@pytest.mark.parametrize(
    ("fault", "header", "value"),
    [
        (Fault(429).after(2), "retry-after", "2"),
        (Fault(429).after("Wed, 21 Oct 2026 07:28:00 GMT"), "retry-after", "Wed, 21 Oct 2026 07:28:00 GMT"),
        (Fault(429).after(150, unit="ms"), "retry-after-ms", "150"),
    ],
)
def test_a_fault_says_when_to_come_back(fault: Fault, header: str, value: str) -> None:
    with serve("openai", Script(faults=fault)) as simulator, sdk(simulator) as client:
        with pytest.raises(openai.RateLimitError) as caught:
            client.chat.completions.create(model="gpt-4o", messages=USER)
    assert caught.value.response.headers[header] == value
    assert caught.value.response.headers["x-ratelimit-limit-requests"] == "10000"


def test_a_client_that_retries_gets_through() -> None:
    faults = {1: Fault(429).after(1, unit="ms"), 2: Fault(503).after(1, unit="ms")}
    with serve("openai", Script("好", faults=faults)) as simulator, sdk(simulator, max_retries=2) as client:
        reply = client.chat.completions.create(model="gpt-4o", messages=USER)
    assert reply.choices[0].message.content == "好"
    assert [received.status for received in simulator.requests] == [429, 503, 200]


def test_a_proxy_answers_with_a_page() -> None:
    with serve("zhizengzeng", Script(faults=Fault(502, html=True))) as simulator, sdk(simulator) as client:
        with pytest.raises(openai.InternalServerError) as caught:
            client.chat.completions.create(model="gpt-4o", messages=USER)
    assert caught.value.response.headers["content-type"].startswith("text/html")
    assert "502 Bad Gateway" in caught.value.response.text


def test_a_body_of_ones_own() -> None:
    fault = Fault(200, body={"code": 500, "msg": "upstream failed"})
    with serve("zhizengzeng", Script(faults=fault)) as simulator, sdk(simulator) as client:
        reply = client.chat.completions.with_raw_response.create(model="gpt-4o", messages=USER)
    assert reply.http_response.json() == {"code": 500, "msg": "upstream failed"}


def test_a_connection_can_end_without_a_word() -> None:
    with serve("openai", Script(faults=Fault(drop=True))) as simulator, sdk(simulator) as client:
        with pytest.raises(openai.APIConnectionError):
            client.chat.completions.create(model="gpt-4o", messages=USER)


def test_a_script_that_ran_out_says_so() -> None:
    with serve("openai", ["一"]) as simulator, sdk(simulator) as client:
        client.chat.completions.create(model="gpt-4o", messages=USER)
        with pytest.raises(openai.InternalServerError, match="script ended"):
            client.chat.completions.create(model="gpt-4o", messages=USER)


async def read(simulator: Simulator, patience: float = 5, path: str = "/chat/completions") -> bytes:
    """The raw bytes of a stream, as far as they came; the error that ended it is raised."""
    model = PLAIN.get(simulator.name, "qwen-plus")
    body: dict[str, Any] = {"model": model, "messages": USER, "stream": True}
    native = {
        "model": "qwen-plus",
        "input": {"messages": USER},
        "parameters": {"result_format": "message", "incremental_output": True},
    }
    headers = {"Authorization": f"Bearer {simulator.key}", "X-DashScope-SSE": "enable"}
    limit = aiohttp.ClientTimeout(sock_read=patience)
    came = b""
    async with aiohttp.ClientSession(timeout=limit) as session:
        async with session.post(
            simulator.base_url + path, json=native if "services" in path else body, headers=headers
        ) as response:
            try:
                async for data in response.content.iter_any():
                    came += data
            except (aiohttp.ClientError, TimeoutError) as error:
                error.add_note(came.decode(errors="replace"))
                raise
    return came


NATIVE = "/services/aigc/text-generation/generation"


@pytest.mark.parametrize("provider", ["openai", "dashscope"])
@pytest.mark.parametrize("how", ["reset", "close"])
async def test_a_stream_is_cut(provider: str, how: Any) -> None:
    path = NATIVE if provider == "dashscope" else "/chat/completions"
    script = Script(Answer("一二三四五六七八九十", cut=how, cut_after=2), wire=Wire(between=0.02))
    async with simulate(provider, script) as simulator:
        with pytest.raises(aiohttp.ClientError) as caught:
            await read(simulator, path=path)
    notes = "".join(caught.value.__notes__)
    assert "一二三四" in notes
    assert "九十" not in notes


@pytest.mark.parametrize("provider", ["openai", "dashscope"])
async def test_a_stream_ends_early_without_an_error(provider: str) -> None:
    path = NATIVE if provider == "dashscope" else "/chat/completions"
    async with simulate(provider, Answer("一二三四五六七八", cut="end", cut_after=2)) as simulator:
        came = (await read(simulator, path=path)).decode()
    assert "一二三四" in came
    assert '"stop"' not in came
    assert "[DONE]" not in came


@pytest.mark.parametrize("provider", ["openai", "dashscope"])
async def test_silence_outlasts_the_reader(provider: str) -> None:
    path = NATIVE if provider == "dashscope" else "/chat/completions"
    async with simulate(provider, Answer("一二三四五六七八", stall=30, stall_after=2)) as simulator:
        with pytest.raises(TimeoutError) as caught:
            await read(simulator, patience=1, path=path)
    assert "一二三四" in "".join(caught.value.__notes__)


async def test_moderation_strikes_in_the_middle() -> None:
    async with simulate("qwen", Answer("一二三四五六七八", fail="output_filter", fail_after=2)) as simulator:
        client = openai.AsyncOpenAI(base_url=simulator.base_url, api_key=simulator.key, max_retries=0)
        async with client:
            stream = await client.chat.completions.create(model="qwen-plus", messages=USER, stream=True)
            said = [(await anext(stream)).choices[0].delta.content for _ in range(2)]
            with pytest.raises(openai.APIError, match="Output data may contain inappropriate content"):
                await anext(stream)
    assert said == ["", "一二三四"]


async def test_characters_are_torn_apart() -> None:
    async with simulate("openai", Script("🎂生日快乐", wire=Wire(split=1, piece=99))) as simulator:
        torn = False
        headers = {"Authorization": f"Bearer {simulator.key}"}
        body = {"model": "gpt-4o", "messages": USER, "stream": True}
        async with aiohttp.ClientSession() as session:
            url = simulator.base_url + "/chat/completions"
            async with session.post(url, json=body, headers=headers) as response:
                async for data in response.content.iter_any():
                    torn = torn or data[-1] >= 0x80
    assert torn


async def test_deepseek_keeps_alive_before_it_speaks() -> None:
    async with simulate("deepseek", "好") as simulator:
        stream = await read(simulator)
        headers = {"Authorization": f"Bearer {simulator.key}"}
        async with aiohttp.ClientSession() as session:
            body = {"model": "deepseek-chat", "messages": USER}
            url = simulator.base_url + "/v1/chat/completions"
            async with session.post(url, json=body, headers=headers) as response:
                whole = await response.read()
                reply = await response.json()
    assert stream.startswith(b": keep-alive\n\ndata: ")
    assert whole.startswith(b"\n{")
    assert reply["choices"][0]["message"]["content"] == "好"


async def until(true: Callable[[], bool]) -> None:
    """Wait until something is true: five seconds at most."""
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110 - the server has no event for what a test waits for
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("provider", ["openai", "dashscope"])
async def test_a_client_that_leaves_is_noticed(provider: str) -> None:
    path = NATIVE if provider == "dashscope" else "/chat/completions"
    async with simulate(provider, Script("字" * 400, wire=Wire(between=0.01))) as simulator:
        reader = asyncio.create_task(read(simulator, path=path))
        await until(lambda: bool(simulator.requests) and simulator.requests[0].status == 200)
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        await until(lambda: simulator.requests[0].left)


async def test_a_client_that_stays_did_not_leave() -> None:
    async with simulate("openai", "好") as simulator:
        await read(simulator)
    assert not simulator.requests[0].left


@pytest.mark.parametrize(
    ("provider", "path"),
    [
        ("kimi", "/tokenizers/estimate-token-count"),
        ("stepfun", "/token/count"),
        ("glm", "/tokenizer"),
    ],
)
async def test_counting_endpoints_agree_with_usage(provider: str, path: str) -> None:
    async with simulate(provider, "好") as simulator, aiohttp.ClientSession() as session:
        headers = {"Authorization": f"Bearer {simulator.key}"}
        body = {"model": PLAIN[provider], "messages": USER}
        async with session.post(simulator.base_url + path, json=body, headers=headers) as response:
            counted = await response.json()
        url = simulator.base_url + "/chat/completions"
        async with session.post(url, json=body, headers=headers) as response:
            usage = (await response.json())["usage"]
    found = counted["usage"]["prompt_tokens"] if provider == "glm" else counted["data"]["total_tokens"]
    assert found == usage["prompt_tokens"]


async def test_ark_keeps_a_session_on_its_side() -> None:
    async with simulate("ark") as simulator, aiohttp.ClientSession() as session:
        headers = {"Authorization": f"Bearer {simulator.key}"}
        model = PLAIN["ark"]
        told = {"role": "user", "content": "我今年 27 岁。"}
        body: dict[str, Any] = {"model": model, "messages": [told], "mode": "session", "ttl": 3600}
        url = simulator.base_url + "/context/create"
        async with session.post(url, json=body, headers=headers) as response:
            made = await response.json()
        body = {
            "model": model,
            "context_id": made["id"],
            "messages": [{"role": "user", "content": "我几岁？"}],
        }
        url = simulator.base_url + "/context/chat/completions"
        async with session.post(url, json=body, headers=headers) as response:
            reply = await response.json()
        async with session.post(url, json={**body, "context_id": "ctx-9"}, headers=headers) as response:
            lost = await response.json()
    assert made["ttl"] == 3600
    assert "我今年 27 岁" in reply["choices"][0]["message"]["content"]
    assert lost["error"]["code"] == "InvalidParameter.context_id"


def test_a_simulator_runs_by_hand() -> None:
    command = [sys.executable, "-m", "tests.simulators", "qwen", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url, key = process.stdout.readline().split()
            with openai.OpenAI(base_url=url, api_key=key, max_retries=0) as client:
                reply = client.chat.completions.create(model="qwen-plus", messages=USER)
        finally:
            process.terminate()
    assert reply.choices[0].message.content
