"""Do the simulated caches follow the published rules, reported in the providers' own fields?"""

from __future__ import annotations

from typing import Any

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.simulators import Answer, Clock, Simulator, serve
from tests.simulators import counting as tokens
from tests.simulators.caches import MarkerCache, PrefixCache, UnitCache, common


def user(text: str, *, marked: bool = False) -> dict[str, Any]:
    if not marked:
        return {"role": "user", "content": text}
    part = {"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}
    return {"role": "user", "content": [part]}


def said(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def usage(simulator: Simulator, model: str, messages: list[Any], **more: Any) -> Any:
    with openai.OpenAI(base_url=simulator.base_url, api_key=simulator.key, max_retries=0) as client:
        reply = client.chat.completions.create(model=model, messages=messages, **more)
    assert reply.usage is not None
    return reply.usage


# ------------------------------------------------------------------------------ qwen, implicit


def test_qwen_finds_the_common_beginning_from_256_tokens_on() -> None:
    with serve("qwen", "好") as simulator:
        first = usage(simulator, "qwen-plus", [user("字" * 300)])
        longer = usage(simulator, "qwen-plus", [user("字" * 300), said("好"), user("新")])
        other = usage(simulator, "qwen-plus", [user("别" * 300)])
        short = usage(simulator, "qwen-plus", [user("字" * 200)])
    assert first.prompt_tokens_details.cached_tokens == 0
    assert longer.prompt_tokens_details.cached_tokens == first.prompt_tokens
    assert other.prompt_tokens_details.cached_tokens == 0
    assert short.prompt_tokens_details.cached_tokens == 0


# ------------------------------------------------------------------------------ qwen, explicit


def test_qwen_writes_at_a_marker_and_reads_it_within_five_minutes() -> None:
    clock = Clock()
    with serve("qwen", "好", clock=clock) as simulator:

        def ask() -> Any:
            found = usage(simulator, "qwen-plus", [user("字" * 2000, marked=True), said("好"), user("问")])
            return found.prompt_tokens_details.model_dump()

        first = ask()
        clock.advance(299)
        second = ask()
        clock.advance(299)
        renewed = ask()
        clock.advance(301)
        expired = ask()
    assert (first["cached_tokens"], first["cache_creation_input_tokens"]) == (0, 2002)
    assert first["cache_type"] == "ephemeral"
    assert first["cache_creation"] == {"ephemeral_5m_input_tokens": 2002}
    for hit in (second, renewed):
        assert (hit["cached_tokens"], hit["cache_creation_input_tokens"]) == (2002, 0)
    assert (expired["cached_tokens"], expired["cache_creation_input_tokens"]) == (0, 2002)


def test_qwen_does_not_write_less_than_1024_tokens() -> None:
    with serve("qwen", "好") as simulator:
        small = usage(simulator, "qwen-plus", [user("字" * 1000, marked=True), said("好"), user("问")])
        again = usage(simulator, "qwen-plus", [user("字" * 1000, marked=True), said("好"), user("问")])
    assert small.prompt_tokens_details.model_dump()["cache_creation_input_tokens"] == 0
    assert again.prompt_tokens_details.cached_tokens == 0


def test_qwen_marked_requests_do_not_use_the_implicit_cache() -> None:
    with serve("qwen", "好") as simulator:
        usage(simulator, "qwen-plus", [user("字" * 2000)])
        marked = usage(simulator, "qwen-plus", [user("字" * 2000), said("好"), user("问", marked=True)])
    assert marked.prompt_tokens_details.cached_tokens == 0


def rows(sizes: list[int], marks: set[int]) -> list[tokens.Block]:
    return [
        tokens.Block([f"{place}:{n}" for n in range(size)], marked=place in marks)
        for place, size in enumerate(sizes)
    ]


@pytest.mark.parametrize(("further", "found"), [(19, True), (20, True), (21, False)])
def test_a_marker_looks_back_at_most_twenty_blocks(further: int, found: bool) -> None:
    cache = MarkerCache(Clock())
    cache.keep(rows([2000], {0}))
    hit = cache.look(rows([2000] + [1] * further, {further}))
    assert hit.read == (2000 if found else 0)
    assert hit.written == (further if found else 2000 + further)


def test_of_five_markers_the_last_four_count() -> None:
    cache = MarkerCache(Clock())
    cache.keep(rows([2000, 100, 100, 100, 100], {0, 1, 2, 3, 4}))
    assert cache.look(rows([2000], {0})).read == 0
    assert cache.look(rows([2000, 100], {1})).read == 2100


# -------------------------------------------------------------------------------------- others


def test_deepseek_hits_complete_units_only() -> None:
    with serve("deepseek", "答") as simulator:

        def ask(*messages: Any) -> tuple[int, int]:
            found = usage(simulator, "deepseek-chat", list(messages))
            told = found.model_dump()
            assert told["prompt_cache_hit_tokens"] + told["prompt_cache_miss_tokens"] == found.prompt_tokens
            return told["prompt_cache_hit_tokens"], found.prompt_tokens

        first, second, third = user("甲" * 100), user("乙" * 100), user("丙" * 100)
        assert ask(first, second)[0] == 0
        assert ask(first, third)[0] == 0
        parted, _ = ask(first, user("丁" * 100))
        assert 100 < parted < 110
        _, length = ask(first, second)
        continued, _ = ask(first, second, said("答"), user("再问"))
        assert continued == length + len(tokens.spoken("答"))


def test_openai_hits_in_blocks_of_128_from_1024_on() -> None:
    with serve("openai", "好") as simulator:
        usage(simulator, "gpt-4o", [user("字" * 1500)])
        long = usage(simulator, "gpt-4o", [user("字" * 1500), said("好"), user("问")])
        short = usage(simulator, "gpt-4o", [user("字" * 1000)])
    assert long.prompt_tokens_details.cached_tokens == 1503 // 128 * 128
    assert short.prompt_tokens_details.cached_tokens == 0


def test_kimi_and_stepfun_report_flat() -> None:
    for provider, model in (("kimi", "moonshot-v1-8k"), ("stepfun", "step-1-32k")):
        with serve(provider, "好") as simulator:
            first = usage(simulator, model, [user("字" * 300)])
            again = usage(simulator, model, [user("字" * 300)])
        assert first.model_dump()["cached_tokens"] == 0
        assert again.model_dump()["cached_tokens"] == first.prompt_tokens


def test_a_changed_tool_breaks_the_beginning() -> None:
    def tool(name: str) -> list[Any]:
        return [{"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}]

    with serve("openai", "好") as simulator:
        usage(simulator, "gpt-4o", [user("字" * 1500)], tools=tool("one"))
        changed = usage(simulator, "gpt-4o", [user("字" * 1500)], tools=tool("two"))
        same = usage(simulator, "gpt-4o", [user("字" * 1500)], tools=tool("one"))
    assert changed.prompt_tokens_details.cached_tokens == 0
    assert same.prompt_tokens_details.cached_tokens > 1024


def test_a_stream_that_was_cut_writes_nothing() -> None:
    with serve("openai", [Answer("好", cut="end", cut_after=1), "好"]) as simulator:
        with openai.OpenAI(base_url=simulator.base_url, api_key=simulator.key, max_retries=0) as client:
            list(client.chat.completions.create(model="gpt-4o", messages=[user("字" * 1500)], stream=True))  # type: ignore[list-item]  # plain dictionaries
        found = usage(simulator, "gpt-4o", [user("字" * 1500)])
    assert found.prompt_tokens_details.cached_tokens == 0


# ------------------------------------------------------------------------------------- by rules

PROMPTS = st.lists(st.sampled_from("ab"), min_size=1, max_size=12)


@given(PROMPTS, PROMPTS)
def test_the_common_beginning_is_the_longest(one: list[str], other: list[str]) -> None:
    length = common(one, other)
    assert one[:length] == other[:length]
    assert one[: length + 1] != other[: length + 1] or length in {len(one), len(other)}


@given(st.lists(PROMPTS, min_size=1, max_size=6), PROMPTS, st.integers(1, 4), st.integers(1, 3))
def test_a_prefix_hit_is_a_true_prefix_in_whole_steps(
    earlier: list[list[str]], prompt: list[str], least: int, step: int
) -> None:
    cache = PrefixCache(least, step)
    for seen in earlier:
        cache.keep(seen, [])
    hit = cache.look(prompt)
    assert hit == 0 or (hit >= least and hit % step == 0)
    assert hit == 0 or any(seen[:hit] == prompt[:hit] for seen in earlier)


@given(st.lists(PROMPTS, min_size=1, max_size=6), PROMPTS)
def test_a_prompt_seen_before_hits_whole_in_a_unit_cache(earlier: list[list[str]], prompt: list[str]) -> None:
    cache = UnitCache()
    for seen in [*earlier, prompt]:
        cache.keep(seen, ["reply"])
    assert cache.look(prompt) == len(prompt)
    assert cache.look([*prompt, "reply", "more"]) == len(prompt) + 1


@given(
    st.lists(st.sampled_from(["user", "assistant"]), max_size=5), st.text(max_size=20), st.text(max_size=20)
)
def test_a_prompt_and_its_reply_begin_the_next_prompt(roles: list[str], text: str, reply: str) -> None:
    messages = [{"role": role, "content": text} for role in roles]
    prompt = tokens.prompt(messages)
    following = tokens.prompt([*messages, said(reply), user("more")])
    grown = prompt + tokens.spoken(reply)
    assert following[: len(grown)] == grown


# ------------------------------------------------------------------------- openai from 5.6 on


def test_openai_matches_a_breakpoint_whole_and_tells_what_it_writes() -> None:
    clock = Clock()
    with serve("openai", "好", clock=clock) as simulator:

        def ask(*messages: Any) -> tuple[int, int]:
            found = usage(simulator, "gpt-5.6", [*messages]).prompt_tokens_details.model_dump()
            return found["cached_tokens"], found["cache_write_tokens"]

        start = user("字" * 1200)
        assert ask(start) == (0, 1202)
        assert ask(start, said("好"), user("问")) == (1202, 6)
        assert ask(user("字" * 1199 + "新")) == (0, 1202)
        assert ask(user("短")) == (0, 0)
        clock.advance(1801)
        assert ask(start) == (0, 1202)
