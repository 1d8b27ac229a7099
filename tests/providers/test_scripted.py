"""Does the scripted provider say its lines and remember what it was asked?"""

from __future__ import annotations

import orjson
import pytest

from multiturn import errors
from multiturn.prompts import Asked, asked
from multiturn.providers.provider import Provider
from multiturn.providers.scripted import ScriptedProvider
from multiturn.reply import CallPiece, Delta, Draft
from multiturn.window import Request

REQUEST = Request("some-model", b'[{"role":"user","content":"hi"}]')


async def say(provider: Provider, request: Request = REQUEST) -> Draft:
    draft = Draft()
    async for delta in provider.stream(request):
        draft.add(delta)
    return draft


async def test_lines_of_every_kind_are_said_in_order() -> None:
    call = Delta(calls=(CallPiece(0, "a", "weather", "{}"),), finish_reason="tool_calls")
    provider = ScriptedProvider(
        ["27.", [Delta(text="2"), Delta(text="8.")], call, lambda request: f"I am {request.model}."]
    )
    first, second, third, fourth = [await say(provider) for _ in range(4)]
    assert (first.text, first.finish_reason, first.model) == ("27.", "stop", "some-model")
    assert (second.text, second.finish_reason) == ("28.", None)
    assert third.tool_calls[0].name == "weather"
    assert fourth.text == "I am some-model."
    await provider.close()


async def test_a_text_brings_an_estimated_usage() -> None:
    usage = (await say(ScriptedProvider(["four"]))).usage
    assert usage is not None
    assert (usage.input, usage.output, usage.estimated) == (len(REQUEST.body), 4, True)


async def test_errors_are_raised_and_the_next_line_follows() -> None:
    limited = errors.RateLimited("slow down", provider="scripted")
    provider = ScriptedProvider([limited, lambda _: TimeoutError("gone"), "ok"])
    with pytest.raises(errors.RateLimited) as caught:
        await say(provider)
    assert caught.value is limited
    with pytest.raises(TimeoutError, match="gone"):
        await say(provider)
    assert (await say(provider)).text == "ok"


async def test_requests_are_remembered() -> None:
    provider = ScriptedProvider(["a", "b"], name="qwen")
    other = Request("other", b"[]")
    await say(provider)
    await say(provider, other)
    assert provider.requests == [REQUEST, other]
    assert provider.name == "qwen"


async def test_a_script_that_ended_says_how_long_it_was() -> None:
    provider = ScriptedProvider(["only"])
    await say(provider)
    with pytest.raises(errors.ProviderFailed, match="1 replies were written, this is request 2"):
        await say(provider)


async def test_summaries_have_lines_of_their_own() -> None:
    wanted = Request("some-model", orjson.dumps(asked(Asked("", "[turn 1] user: hi", "en"), 50)))
    provider = ScriptedProvider(["one", "two"], summaries=["The user said hi."])
    assert [(await say(provider, each)).text for each in (REQUEST, wanted, REQUEST)] == [
        "one",
        "The user said hi.",
        "two",
    ]
    assert (provider.requests, provider.summary_requests) == ([REQUEST, REQUEST], [wanted])
    with pytest.raises(errors.ProviderFailed, match="1 replies were written, this is request 2"):
        await say(provider, wanted)
