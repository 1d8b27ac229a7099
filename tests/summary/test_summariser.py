"""Is a model asked for a summary as its profile allows, and is only a summary taken for one?"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from multiturn.catalog import Catalog
from multiturn.errors import ContentFiltered, RateLimited
from multiturn.phrases import table
from multiturn.prompts import Asked, asked
from multiturn.providers.scripted import Line, ScriptedProvider
from multiturn.reply import CallPiece, Delta
from multiturn.summary.summariser import Flaw, Summariser, Writing
from multiturn.tokens import count_text
from multiturn.usage import Usage
from multiturn.window import Request

CATALOG = Catalog()
TURNS = (
    "[turn 1] user: I am 27 and allergic to nuts.\n[turn 1] assistant: "
    + "Noted, I will keep that in mind. " * 9
)
SUMMARY = "The user is 27 and allergic to nuts."


def summariser(*lines: Line, model: str = "qwen/qwen-plus", tokens: int = 60) -> Summariser:
    provider = ScriptedProvider([], summaries=lines)
    return Summariser.of(provider, CATALOG.card(model), tokens, CATALOG)


async def written(*lines: Line, so_far: str = "", tokens: int = 60) -> tuple[str | None, Writing]:
    writing = summariser(*lines, tokens=tokens).writing(Asked(so_far, TURNS, "en"), 3)
    return await writing.run(asyncio.get_running_loop().time() + 5), writing


# --------------------------------------------------------------------------------------- the request


@pytest.mark.parametrize(
    ("model", "params"),
    [
        ("qwen/qwen-plus", {"max_tokens": 60}),
        ("demo", {"max_tokens": 60}),
        ("glm/glm-4.7", {"max_tokens": 60, "thinking": {"type": "disabled"}}),
        ("kimi/kimi-k2.6", {"max_tokens": 60, "thinking": {"type": "disabled"}}),
        ("zhizengzeng/kimi-k2.6", {"max_tokens": 60, "thinking": {"type": "disabled"}}),
        ("deepseek/deepseek-v4-flash", {"max_tokens": 60, "thinking": {"type": "disabled"}}),
        ("deepseek/deepseek-reasoner", {"max_tokens": 60 + 8_192}),
        ("openai/gpt-5.1", {"max_tokens": 60 + 8_192, "reasoning_effort": "low"}),
    ],
)
def test_thinking_is_switched_off_where_it_can_be_and_has_room_where_it_cannot(
    model: str, params: dict[str, object]
) -> None:
    request = summariser(model=model).writing(Asked("", TURNS, "en"), 0).request
    assert request.params == params
    assert (request.tools, request.traits, request.stream) == ((), 0, True)
    assert request.model == CATALOG.card(model).model


def test_what_a_model_refuses_is_not_sent_and_no_dearer_tier_is_entered() -> None:
    tiers = [{"up_to": 2_000, "input": 1, "output": 1}, {"input": 2, "output": 2}]
    known = {"drop_params": ["max_tokens"], "window": 32_000, "price": {"currency": "CNY", "tiers": tiers}}
    catalog = Catalog({"models": {"compatible/odd": known}})
    writer = Summariser.of(ScriptedProvider([]), catalog.card("compatible/odd"), 60, catalog)
    assert writer.params == {}
    assert 1_000 < writer.room("", "en") < 2_000 / 1.15


def test_no_more_is_asked_for_than_a_model_can_write() -> None:
    catalog = Catalog({"models": {"compatible/odd": {"thinks": "always", "max_output": 4_096}}})
    writer = Summariser.of(ScriptedProvider([]), catalog.card("compatible/odd"), 60, catalog)
    assert writer.params == {"max_tokens": 4_096}


def test_the_length_is_asked_for_in_words_of_the_language() -> None:
    for language, length in (("en", "33 words"), ("zh", "54 个字")):
        request = summariser().writing(Asked("", TURNS, language), 0).request
        assert length in orjson.loads(request.body)[0]["content"]


@pytest.mark.parametrize("model", ["demo", "qwen/qwen-plus", "compatible/unknown"])
@pytest.mark.parametrize("so_far", ["", "The user is 27. " * 20])
def test_what_fills_the_room_still_fits_the_model(model: str, so_far: str) -> None:
    card = CATALOG.card(model)
    writer = summariser(model=model)
    room = writer.room(so_far, "en")
    words = "word " * int(room / 1.04)
    messages = asked(Asked(so_far, words, "en"), 33)
    needed = sum(4 + count_text(message["content"]) for message in messages) * 1.15
    limit = min(card.input_limit(60), 32_000)
    assert 0.9 * limit < needed <= limit


# ---------------------------------------------------------------------------------------- the answer


async def test_a_summary_is_a_summary_and_its_call_is_accounted() -> None:
    usage = Usage(1_000, 50)
    text, writing = await written(
        [Delta(f"  {SUMMARY}\n"), Delta(finish_reason="stop", usage=usage, response_id="r")]
    )
    assert text == SUMMARY
    assert writing.flaw is None
    step = writing.step
    assert (step.model, step.usage, step.error, step.branch, step.turn) == (
        "qwen/qwen-plus",
        usage,
        None,
        3,
        0,
    )
    assert (step.finish_reason, step.response_id) == ("stop", "r")
    assert step.cost is not None
    assert step.cost.amount > 0


def ended(text: str, reason: str | None = "stop", **fields: object) -> list[Delta]:
    return [Delta(text), Delta(finish_reason=reason, **fields)]  # type: ignore[arg-type]  # a few fields by name


@pytest.mark.parametrize(
    ("line", "flaw"),
    [
        (ended(""), Flaw.EMPTY),
        (ended(" \n "), Flaw.EMPTY),
        ([Delta(reasoning="Let me think."), Delta(finish_reason="stop")], Flaw.EMPTY),
        ([Delta(calls=(CallPiece(0, "c", "f", "{}"),), finish_reason="tool_calls")], Flaw.EMPTY),
        (ended("", "length"), Flaw.CUT),
        (ended(SUMMARY, "length"), Flaw.CUT),
        (ended(SUMMARY, None), Flaw.CUT),
        (ended(SUMMARY, "content_filter"), Flaw.FILTERED),
        (ended("I'm sorry, I can't help with that."), Flaw.REFUSED),
        (ended("抱歉，我无法回答。"), Flaw.REFUSED),
        (ended("", extra={"refusal": "No."}), Flaw.REFUSED),
        (ended("word " * 76), Flaw.TOO_LONG),
        (RateLimited("slow down", provider="qwen"), "rate_limited"),
        (ContentFiltered("no", provider="qwen"), "content_filtered"),
        (TimeoutError("gone"), Flaw.SLOW),
        (RuntimeError("a bug of somebody's"), "error"),
    ],
)
async def test_anything_else_is_refused_with_its_reason(line: Line, flaw: str) -> None:
    text, writing = await written(line)
    assert text is None
    assert writing.flaw == flaw
    assert writing.step.error == flaw


async def test_a_little_longer_than_asked_for_is_no_fault() -> None:
    text, writing = await written("word " * 70)
    assert text is not None
    assert count_text(text) > 60
    assert writing.flaw is None


async def test_a_summary_may_not_be_longer_than_what_was_read() -> None:
    long = "word " * (count_text(TURNS) + 5)
    _, writing = await written(long, tokens=500)
    assert writing.flaw == Flaw.GREW
    text, _ = await written(long, so_far="word " * 10, tokens=500)
    assert text == long.strip()


async def test_a_broken_answer_is_accounted_by_an_estimate() -> None:
    usage = (await written([Delta("", reasoning="hm"), Delta(SUMMARY)]))[1].step.usage
    assert usage is not None
    assert usage.estimated
    assert usage.input == count_text(TURNS)
    assert usage.output == count_text(SUMMARY) + count_text("hm")
    assert usage.reasoning == count_text("hm")
    assert (await written(RateLimited("slow down", provider="qwen")))[1].step.usage is None


def test_every_flaw_can_be_told_to_people() -> None:
    codes = {code.removeprefix("summary.") for code in table() if code.startswith("summary.")}
    assert codes == {*Flaw, "other"}


@pytest.mark.parametrize("tree", ["en", "zh"])
def test_every_flaw_is_explained(tree: str) -> None:
    page = Path(__file__).parents[2] / "docs" / tree / "how-to" / "summaries.md"
    assert set(re.findall(r"^\| `(\w+)` \|", page.read_text("utf-8"), re.MULTILINE)) == set(Flaw)


class Endless:
    """Writes and writes, or says nothing at all."""

    name = "endless"

    def __init__(self, word: str) -> None:
        self.word = word
        self.said = 0
        self.left = False

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        try:
            while True:
                await asyncio.sleep(0 if self.word else 3600)
                self.said += 1
                yield Delta(self.word)
        finally:
            self.left = True

    async def close(self) -> None:
        pass


async def run(provider: Endless, seconds: float) -> Writing:
    writer = Summariser.of(provider, CATALOG.card("qwen/qwen-plus"), 60, CATALOG)
    writing = writer.writing(Asked("", TURNS, "en"), 0)
    assert await writing.run(asyncio.get_running_loop().time() + seconds) is None
    return writing


async def test_a_model_that_says_nothing_is_left_in_time() -> None:
    provider = Endless("")
    assert (await run(provider, 0.05)).flaw == Flaw.SLOW
    assert provider.left


async def test_a_model_that_never_stops_is_not_read_to_the_end() -> None:
    provider = Endless("word ")
    writing = await run(provider, 60)
    assert writing.flaw == Flaw.TOO_LONG
    assert provider.said < 2_000
    assert provider.left


async def test_one_that_is_broken_off_says_so() -> None:
    provider = Endless("")
    writer = Summariser.of(provider, CATALOG.card("qwen/qwen-plus"), 60, CATALOG)
    writing = writer.writing(Asked("", TURNS, "en"), 0)
    task = asyncio.create_task(writing.run(asyncio.get_running_loop().time() + 60))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert writing.step.error == Flaw.BROKEN_OFF
    assert provider.left
