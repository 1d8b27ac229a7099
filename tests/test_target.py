"""Which reasoning goes back, and what does each model take? The rules, row by row."""

from __future__ import annotations

from typing import Any

import pytest

from multiturn.catalog import Catalog
from multiturn.messages import Trait


def target(model: str, **params: Any) -> Any:
    known = Catalog()
    return known.target(known.card(model), params)


# ------------------------------------------------------------------------------------ reasoning

OFF = {"thinking": {"type": "disabled"}}
ON = {"thinking": {"type": "enabled"}}

RULES: list[tuple[str, dict[str, Any], bool, str, str]] = [
    # Qwen: dropped, whether it thinks or not
    ("qwen/qwen-plus", {}, False, "drop", "never"),
    ("qwen/qwen-plus", {"enable_thinking": True}, True, "drop", "never"),
    ("qwen/qwen3.5-plus", {}, True, "drop", "never"),
    ("qwen/qwen3.5-plus", {"enable_thinking": False}, False, "drop", "never"),
    ("dashscope/qwen-plus", {"enable_thinking": True}, True, "drop", "never"),
    # Qwen that was asked to preserve its thinking: only the 3.6 and 3.7 generation does
    ("qwen/qwen3.6-plus", {"preserve_thinking": True}, True, "keep_all", "never"),
    ("qwen/qwen3.7-max", {"preserve_thinking": True}, True, "keep_all", "never"),
    ("qwen/qwen3.7-max", {"preserve_thinking": False}, True, "drop", "never"),
    ("qwen/qwen3.7-max", {"preserve_thinking": True, "enable_thinking": False}, False, "drop", "never"),
    ("qwen/qwen-plus", {"preserve_thinking": True, "enable_thinking": True}, True, "drop", "never"),
    # Kimi: required beside tool calls
    ("kimi/kimi-k2-thinking", {}, True, "keep_in_tool_loop", "tool_calls"),
    ("kimi/kimi-k2-thinking", OFF, True, "keep_in_tool_loop", "tool_calls"),
    ("kimi/kimi-k2.5", {}, True, "keep_in_tool_loop", "tool_calls"),
    ("kimi/kimi-k2.5", OFF, False, "drop", "never"),
    ("kimi/kimi-k2.6", ON, True, "keep_in_tool_loop", "tool_calls"),
    ("kimi/kimi-k2.6", {"enable_thinking": False}, True, "keep_in_tool_loop", "tool_calls"),
    ("kimi/kimi-k2.6", {"thinking": {"type": "enabled", "keep": "all"}}, True, "keep_all", "tool_calls"),
    ("kimi/kimi-k2.6", {"thinking": {"keep": "all"}}, True, "keep_all", "tool_calls"),
    (
        "kimi/kimi-k2.6",
        {"thinking": {"type": "enabled", "keep": None}},
        True,
        "keep_in_tool_loop",
        "tool_calls",
    ),
    ("kimi/kimi-k2.7-code", {}, True, "keep_all", "always"),
    ("kimi/kimi-k2-0905-preview", {}, False, "drop", "never"),
    # DeepSeek V4: from the first tool call on
    ("deepseek/deepseek-v4-flash", {}, True, "keep_in_tool_loop", "after_tool_call"),
    ("deepseek/deepseek-v4-pro", OFF, False, "drop", "never"),
    ("deepseek/deepseek-chat", {}, False, "drop", "never"),
    ("deepseek/deepseek-reasoner", {}, True, "keep_in_tool_loop", "after_tool_call"),
    # GLM: with the tool results; everything where it shall not be cleared
    ("glm/glm-4.7", {}, True, "keep_in_tool_loop", "never"),
    ("glm/glm-5.1", {"thinking": {"type": "enabled", "clear_thinking": False}}, True, "keep_all", "never"),
    ("glm/glm-5.1", {"thinking": {"clear_thinking": True}}, True, "keep_in_tool_loop", "never"),
    ("glm/glm-5.1", OFF, False, "drop", "never"),
    # not documented: inside tool loops
    ("stepfun/step-3.7-flash", {}, True, "keep_in_tool_loop", "never"),
    ("stepfun/step-2-16k", {}, False, "drop", "never"),
    ("ark/doubao-seed-2-0-pro-260215", {}, True, "keep_in_tool_loop", "never"),
    ("siliconflow/Qwen/Qwen3-8B", {"enable_thinking": True}, True, "keep_in_tool_loop", "never"),
    ("compatible/any", {"reasoning_effort": "high"}, True, "keep_in_tool_loop", "never"),
    # OpenAI: nothing to send
    ("openai/gpt-5.4", {}, True, "drop", "never"),
    ("openai/gpt-5.4", {"reasoning_effort": "none"}, False, "drop", "never"),
    ("openai/gpt-4o", {"reasoning_effort": "high"}, False, "drop", "never"),
]


@pytest.mark.parametrize(("model", "params", "thinking", "rule", "required"), RULES)
def test_which_reasoning_goes_back(
    model: str, params: dict[str, Any], thinking: bool, rule: str, required: str
) -> None:
    shaped = target(model, **params)
    assert (shaped.thinking, shaped.reasoning, shaped.reasoning_required) == (thinking, rule, required)
    assert shaped.model == model


def test_how_reasoning_is_called() -> None:
    assert target("kimi-k2.6").reasoning_field == "reasoning_content"
    assert target("step-3.7-flash").reasoning_field == "reasoning"
    assert target("step-3.7-flash", reasoning_format="deepseek-style").reasoning_field == "reasoning_content"


# ----------------------------------------------------------------------------------- the shapes


def test_what_each_provider_takes() -> None:
    qwen, native, kimi = target("qwen-plus"), target("dashscope/qwen-plus"), target("kimi-k2.6")
    assert (qwen.system, qwen.alternate, qwen.opening) == ("first", True, True)
    assert (native.system, native.alternate, native.opening) == ("first", True, False)
    assert (kimi.system, kimi.alternate, kimi.opening, kimi.bare_calls) == ("any", False, True, "omit")
    assert target("gpt-4o").developer
    assert not qwen.developer


def test_what_each_model_sees() -> None:
    assert target("qwen-plus").media == 0
    assert not target("qwen-plus").parts
    vision = target("qwen3-vl-plus")
    assert vision.media == Trait.IMAGE | Trait.VIDEO
    assert vision.parts
    assert not target("kimi-k2-thinking").parts
    assert target("gpt-3.5-turbo").parts
    assert target("gpt-3.5-turbo").media == 0
