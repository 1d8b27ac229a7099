"""Does the demo model stream, count and fail as asked?"""

from __future__ import annotations

import asyncio

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiturn import errors
from multiturn.phrases import error_sentence
from multiturn.providers.demo import PIECE, DemoProvider
from multiturn.providers.provider import Provider
from multiturn.reply import Delta
from multiturn.window import Request

MESSAGES = [
    {"role": "user", "content": "你好，我今年 27 岁。"},
    {"role": "assistant", "content": "收到。"},
    {"role": "user", "content": "你知道我今年几岁吗？"},
]
REPLY = "在第 1 条消息里找到：你好，我今年 27 岁。"


def request(*, stream: bool = True) -> Request:
    return Request("demo", orjson.dumps(MESSAGES), stream=stream)


async def collect(provider: Provider, *, stream: bool = True) -> list[Delta]:
    return [delta async for delta in provider.stream(request(stream=stream))]


async def test_it_streams_word_by_word_and_ends_with_its_usage() -> None:
    deltas = await collect(DemoProvider())
    assert "".join(delta.text for delta in deltas) == REPLY
    assert len(deltas) > 5
    assert [delta.finish_reason for delta in deltas] == [None] * (len(deltas) - 1) + ["stop"]
    usage = deltas[-1].usage
    assert usage is not None
    assert usage.input > usage.output > 0
    assert deltas[-1].model == "demo"


async def test_without_a_stream_the_answer_is_one_piece() -> None:
    texts = [delta.text for delta in await collect(DemoProvider(), stream=False) if delta.text]
    assert texts == [REPLY]


async def test_it_forgets_what_it_is_not_sent() -> None:
    alone = Request("demo", orjson.dumps(MESSAGES[-1:]))
    provider = DemoProvider()
    await collect(provider)
    text = "".join([delta.text async for delta in provider.stream(alone)])
    assert "27" not in text
    await provider.close()


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("400", errors.RequestRefused),
        ("401", errors.KeyRefused),
        ("402", errors.BillingRefused),
        ("404", errors.ModelNotFound),
        ("413", errors.ProviderOverflow),
        ("418", errors.RequestRefused),
        ("429", errors.RateLimited),
        ("500", errors.ProviderFailed),
        ("503", errors.ProviderOverloaded),
        ("504", errors.ProviderTimeout),
    ],
)
async def test_it_fails_with_the_status_asked_for(status: str, kind: type[errors.ProviderError]) -> None:
    provider = DemoProvider({"fail": status})
    for _ in range(2):
        with pytest.raises(kind) as caught:
            await collect(provider)
        assert type(caught.value) is kind
        assert caught.value.status == int(status)
        assert caught.value.provider == "demo"


async def test_it_fails_so_many_times_and_then_answers() -> None:
    provider = DemoProvider({"fail": "500", "times": "2"})
    for _ in range(2):
        with pytest.raises(errors.ProviderFailed):
            await collect(provider)
    assert (await collect(provider))[-1].finish_reason == "stop"


@pytest.mark.parametrize("stream", [True, False])
async def test_it_breaks_off_after_so_many_words(stream: bool) -> None:
    words = PIECE.findall(REPLY)[:3]
    deltas = DemoProvider({"cut": "3"}).stream(request(stream=stream))
    said = [(await anext(deltas)).text for _ in range(3 if stream else 1)]
    with pytest.raises(errors.StreamCut):
        await anext(deltas)
    assert said == (words if stream else ["".join(words)])


async def test_it_takes_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    deltas = await collect(DemoProvider({"slow": "50ms"}))
    assert waits == [0.05] * (len(deltas) - 1)
    waits.clear()
    await collect(DemoProvider({"slow": "0.2s"}), stream=False)
    assert waits == [pytest.approx(0.2 * (len(deltas) - 1))]
    waits.clear()
    await collect(DemoProvider())
    assert waits == []


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"fail": "200"}, "demo?fail"),
        ({"fail": "abc"}, "demo?fail"),
        ({"fail": "²"}, "demo?fail"),
        ({"times": "-1"}, "demo?times"),
        ({"slow": "soon"}, "demo?slow"),
        ({"cut": ""}, "demo?cut"),
        ({"fast": "1"}, "demo?fast"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, str], name: str) -> None:
    with pytest.raises(errors.SettingInvalid) as caught:
        DemoProvider(options)
    assert caught.value.figures["name"] == name
    assert str(caught.value.figures["detail"]) in str(caught.value)
    assert str(caught.value.figures["detail"]) not in error_sentence(caught.value, "zh")


@given(st.text())
def test_pieces_lose_nothing_after_the_first_word(text: str) -> None:
    assert "".join(PIECE.findall(text)) == text
