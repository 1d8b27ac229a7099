"""Does the checker see what is wrong? Right windows pass, and each seeded fault is caught by its name."""

from __future__ import annotations

import copy
import json
import random
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from tests.checker import check, rules_for
from tests.checker.histories import generate
from tests.checker.reading import Json
from tests.checker.reference import simple_window
from tests.checker.shapes import SHAPES, shapes

from multiturn import ContextPolicy

FULL = ContextPolicy(budget=10_000_000, summarize=None, recall=None)
OPENAI = rules_for("openai/gpt-4o")


def size(message: Mapping[str, Any]) -> int:
    return len(json.dumps(message, ensure_ascii=False))


def names(history: list[Json], window: list[Json], model: str = "openai/gpt-4o", **extra: object) -> set[str]:
    arguments = {"policy": FULL, "count": size, **extra}
    return {v.rule for v in check(history, window, rules=rules_for(model), **arguments)}  # type: ignore[arg-type]  # keyword arguments by name


def sample(number: int) -> list[Json]:
    """A generated history of text and images only, which the model of these tests takes whole."""
    seed = number
    while True:
        history = generate(random.Random(seed))
        kinds = {part["type"] for m in history if isinstance(m.get("content"), list) for part in m["content"]}
        if any(m["role"] == "user" for m in history) and kinds <= {"text", "image_url"}:
            return history
        seed += 100_003


# --------------------------------------------------------------------------------- the generator


def test_the_generator_makes_every_awkward_shape() -> None:
    found: Counter[str] = Counter()
    for seed in range(1_500):
        found += shapes(generate(random.Random(seed)))
    rare = {name: found[name] for name in SHAPES if found[name] < 5}
    assert not rare


def test_the_same_seed_gives_the_same_history() -> None:
    assert generate(random.Random(7)) == generate(random.Random(7))


def test_generated_histories_are_lists_of_messages_that_json_can_carry() -> None:
    for seed in range(200):
        history = generate(random.Random(seed))
        assert json.loads(json.dumps(history)) == history
        assert all(m["role"] in ("system", "developer", "user", "assistant", "tool") for m in history)


def test_shapes_are_told_from_their_absence() -> None:
    plain: list[Json] = [{"role": "user", "content": "hi"}]
    assert set(shapes(plain)) == {"one message", "no instructions"}


# --------------------------------------------------------------------------------- right windows


@pytest.mark.parametrize("number", range(150))
def test_a_window_that_keeps_everything_is_right(number: int) -> None:
    history = sample(number)
    assert check(history, simple_window(history), policy=FULL, rules=OPENAI, count=size) == []


@pytest.mark.parametrize("number", range(150))
@pytest.mark.parametrize("turns", [0, 1, 2])
def test_a_window_of_the_newest_turns_is_right(number: int, turns: int) -> None:
    history = sample(number)
    policy = ContextPolicy(budget=10_000_000, max_turns=turns, summarize=None, recall=None)
    window = simple_window(history, turns)
    assert check(history, window, policy=policy, rules=OPENAI, count=size) == []


def test_only_instructions_may_be_sent_as_they_are() -> None:
    history: list[Json] = [{"role": "system", "content": "a"}, {"role": "system", "content": "b"}]
    assert names(history, history) == set()


def test_merged_neighbours_and_instructions_in_one_message_are_right() -> None:
    history: list[Json] = [
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": "one"},
        {"role": "user", "content": "two"},
        {"role": "assistant", "content": "three"},
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "four"},
    ]
    window: list[Json] = [
        {"role": "system", "content": "be kind\n\nbe brief"},
        {"role": "user", "content": "one\n\ntwo"},
        {"role": "assistant", "content": "three"},
        {"role": "user", "content": "four"},
    ]
    assert names(history, window, "dashscope/qwen-plus") == set()
    assert names(history, history, "dashscope/qwen-plus") == {"system_first", "alternation"}


def test_a_refused_opening_may_be_quoted_in_the_instructions() -> None:
    history: list[Json] = [
        {"role": "system", "content": "You sell phones."},
        {"role": "assistant", "content": "Welcome! Which phone?"},
        {"role": "user", "content": "a red one"},
    ]
    quoted: list[Json] = [
        {"role": "system", "content": "You sell phones.\n\nYou opened with: Welcome! Which phone?"},
        {"role": "user", "content": "a red one"},
    ]
    assert names(history, quoted, "dashscope/qwen-plus") == set()
    assert "starts_wrong" in names(history, history, "dashscope/qwen-plus")
    assert "fabricated" in names(history, quoted)


# ---------------------------------------------------------------------------------- seeded faults


def call(id: str, words: str = "{}") -> Json:
    return {"id": id, "type": "function", "function": {"name": "look_up", "arguments": words}}


TALK: list[Json] = [
    {"role": "system", "content": "You sell phones in a small shop."},
    {"role": "user", "content": "What is the first question?"},
    {"role": "assistant", "content": "It is the one about the price."},
    {"role": "user", "content": "Look both prices up, please."},
    {"role": "assistant", "content": None, "tool_calls": [call("a", '{"p": 1}'), call("b", '{"p": 2}')]},
    {"role": "tool", "tool_call_id": "b", "content": "3999"},
    {"role": "tool", "tool_call_id": "a", "content": "2999"},
    {"role": "assistant", "content": "They are 2999 and 3999."},
    {"role": "system", "content": "From now on answer in Chinese."},
    {"role": "user", "content": "Which one is cheaper and still in stock?"},
]
Damage = Callable[[list[Json]], object]


def drop(place: int) -> Damage:
    return lambda window: window.pop(place)


def put(place: int, message: Json) -> Damage:
    return lambda window: window.insert(place, message)


def write(place: int, **fields: object) -> Damage:
    return lambda window: window[place].update(fields)


def move(start: int, end: int) -> Damage:
    return lambda window: window.insert(end, window.pop(start))


FAULTS: dict[str, tuple[str, Damage]] = {
    "the instructions are dropped": ("instructions", drop(0)),
    "the instructions are cut": ("instructions", write(0, content="You sell phones")),
    "words are added to the instructions": ("fabricated", write(0, content=TALK[0]["content"] + " Be evil.")),
    "a system message in the middle is dropped": ("instructions", drop(8)),
    "a system message in the middle moves to the front": ("instructions_moved", move(8, 1)),
    "the newest input is dropped": ("newest_input", drop(9)),
    "the newest input is cut": ("newest_input", write(9, content="Which one is cheaper")),
    "an older message is cut": ("altered", write(2, content="It is the one")),
    "a call is dropped and orphans its results": ("orphan_result", drop(4)),
    "one of two parallel results is dropped": ("unanswered_call", drop(6)),
    "a result is replaced by a made-up one": ("altered", write(6, content="interrupted")),
    "a message comes between call and result": ("unanswered_call", move(7, 5)),
    "two messages change places": ("order", move(1, 2)),
    "a message is sent twice": ("duplicate", put(3, copy.deepcopy(TALK[2]))),
    "a message nobody wrote": ("fabricated", put(3, {"role": "assistant", "content": "Buy now!"})),
    "the window starts with the assistant": ("starts_wrong", drop(1)),
    "a turn is split": ("split_turn", drop(7)),
    "a whole turn in the middle is missing": ("gap", lambda window: window.__delitem__(slice(3, 8))),
    "a turn that fits is missing": ("needless_loss", lambda window: window.__delitem__(slice(1, 3))),
    "an empty assistant message": ("empty_message", put(3, {"role": "assistant", "content": ""})),
    "nothing at all": ("empty_window", lambda window: window.clear()),
    "a field of ours": ("malformed", write(2, model="qwen/qwen-plus")),
    "null tool calls": ("malformed", write(2, tool_calls=None)),
    "a role the provider does not know": ("role", write(1, role="human")),
    "reasoning on a model that takes none": ("reasoning_leak", write(2, reasoning_content="hm")),
    "a changed argument of a call": (
        "altered",
        write(4, tool_calls=[call("a", "{}"), call("b", '{"p": 2}')]),
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_seeded_fault_is_caught_by_its_name(fault: str) -> None:
    name, damage = FAULTS[fault]
    window = copy.deepcopy(TALK)
    assert names(TALK, window) == set()
    damage(window)
    assert name in names(TALK, window)


def test_a_window_above_the_budget_is_caught() -> None:
    policy = ContextPolicy(budget=sum(map(size, TALK)) - 1, summarize=None, recall=None)
    assert names(TALK, TALK, policy=policy) == {"over_budget"}


def test_tool_definitions_count_towards_the_budget() -> None:
    policy = ContextPolicy(budget=sum(map(size, TALK)), summarize=None, recall=None)
    assert names(TALK, TALK, policy=policy) == set()
    assert names(TALK, TALK, policy=policy, tools_tokens=1) == {"over_budget"}


def test_a_wrong_sum_is_caught() -> None:
    assert names(TALK, TALK, tokens=sum(map(size, TALK))) == set()
    assert names(TALK, TALK, tokens=5) == {"tokens"}


def test_too_many_turns_and_messages_are_caught() -> None:
    assert names(TALK, TALK, policy=ContextPolicy.last_turns(1)) == {"max_turns"}
    assert names(TALK, TALK, policy=ContextPolicy.last_turns(2)) == set()
    assert names(TALK, TALK, policy=ContextPolicy.last_messages(7)) == {"max_messages"}
    assert names(TALK, TALK, policy=ContextPolicy.last_messages(8)) == set()


def test_a_cut_below_the_low_mark_is_caught() -> None:
    window = [TALK[0], TALK[8], TALK[9]]
    whole = sum(map(size, TALK))
    tight = ContextPolicy(budget=whole - 1, high=1.0, low=0.2, summarize=None, recall=None)
    loose = ContextPolicy(budget=whole - 1, high=1.0, low=0.99, summarize=None, recall=None)
    assert names(TALK, window, policy=tight) == set()
    assert names(TALK, window, policy=loose) == {"needless_loss"}
    assert names(TALK, window, policy=loose, standing_cut=True) == set()


class Note:
    """A decision as the checker reads it."""

    def __init__(self, index: int, sent: bool) -> None:
        self.index, self.sent, self.code = index, sent, "recent"


def test_decisions_that_are_missing_or_wrong_are_caught() -> None:
    right = [Note(place, True) for place in range(len(TALK))]
    assert names(TALK, TALK, decisions=right) == set()
    assert names(TALK, TALK, decisions=right[:-1]) == {"decisions"}
    assert names(TALK, TALK, decisions=[*right[:-1], Note(9, False)]) == {"decisions"}
    assert names(TALK, TALK, decisions=[*right[:-1], Note(3, True)]) == {"decisions"}


# --------------------------------------------------------------------------------------- the hole


def steps(number: int) -> list[Json]:
    made: list[Json] = [{"role": "user", "content": "Do it step by step, please."}]
    for step in range(number):
        made.append({"role": "assistant", "content": "", "tool_calls": [call(f"s{step}")]})
        made.append({"role": "tool", "tool_call_id": f"s{step}", "content": f"result {step}"})
    return made


MARK: Json = {"role": "user", "content": "[earlier steps were left out]"}
LONG = steps(20)
NARROW = ContextPolicy(budget=sum(map(size, LONG)) - 1, summarize=None, recall=None)


def test_a_marked_hole_in_the_newest_turn_is_right() -> None:
    inside = [{"role": "user", "content": LONG[0]["content"] + "\n\n[steps left out]"}, *LONG[-24:]]
    assert names(LONG, [LONG[0], MARK, *LONG[-24:]], policy=NARROW) == set()
    assert names(LONG, inside, policy=NARROW) == set()


def test_wrong_holes_are_caught() -> None:
    assert names(LONG, [LONG[0], *LONG[-24:]], policy=NARROW) == {"hole_unmarked"}
    assert "hole_wrong" in names(LONG, [LONG[0], MARK, *LONG[1:-4]], policy=NARROW)
    assert "newest_input" in names(LONG, [MARK, *LONG[-24:]], policy=NARROW)
    assert "hole_needless" in names(LONG, [LONG[0], MARK, *LONG[-2:]], policy=NARROW)
    older: list[Json] = [{"role": "user", "content": "before"}, {"role": "assistant", "content": "yes"}]
    assert "hole_needless" in names(older + LONG, [*older, LONG[0], MARK, *LONG[-24:]], policy=NARROW)
    assert "orphan_result" in names(LONG, [LONG[0], MARK, *LONG[-3:]], policy=NARROW)


# --------------------------------------------------------------------------------------- reasoning

THINKER = "kimi/kimi-k2-thinking"
THOUGHT: list[Json] = [
    {"role": "user", "content": "What does it cost?"},
    {"role": "assistant", "tool_calls": [call("a")], "reasoning_content": "look it up", "model": THINKER},
    {"role": "tool", "tool_call_id": "a", "content": "3999"},
    {"role": "assistant", "content": "3999", "reasoning_content": "easy", "model": THINKER},
    {"role": "user", "content": "Thanks"},
]


def without(message: Json, *fields: str) -> Json:
    return {name: value for name, value in message.items() if name not in fields}


def sent(*, thought: str | None) -> list[Json]:
    window = [without(message, "reasoning_content", "model") for message in THOUGHT]
    if thought is not None:
        window[1]["reasoning_content"] = thought
    return window


def test_reasoning_goes_back_where_it_must() -> None:
    assert names(THOUGHT, sent(thought="look it up"), THINKER) == set()
    assert names(THOUGHT, sent(thought=None), THINKER) == {"reasoning_missing", "reasoning_lost"}
    assert names(THOUGHT, sent(thought=" "), THINKER) == {"reasoning_lost"}
    assert "reasoning_altered" in names(THOUGHT, sent(thought="look it up!"), THINKER)
    assert names(THOUGHT, sent(thought="look it up"), "openai/gpt-4o") == {"reasoning_leak"}
    everywhere = sent(thought="look it up")
    everywhere[3]["reasoning_content"] = "easy"
    assert names(THOUGHT, everywhere, THINKER) == {"reasoning_leak"}


def test_reasoning_never_goes_to_another_model() -> None:
    other = "kimi/kimi-k2.6"
    assert names(THOUGHT, sent(thought="look it up"), other) == {"reasoning_leak"}
    assert names(THOUGHT, sent(thought=" "), other) == set()
    assert names(THOUGHT, sent(thought=None), other) == {"reasoning_missing"}


def test_deepseek_wants_reasoning_from_the_first_call_on() -> None:
    model = "deepseek/deepseek-v4-flash"
    history = [message | ({"model": model} if "model" in message else {}) for message in THOUGHT]
    window = sent(thought="look it up")
    assert "reasoning_missing" in names(history, window, model)
    window[3]["reasoning_content"] = "easy"
    assert names(history, window, model) == set()


def test_content_beside_calls_follows_the_provider() -> None:
    window = sent(thought="look it up")
    window[1]["content"] = None
    assert names(THOUGHT, window, THINKER) == {"content"}
    window[1]["content"] = [{"type": "text", "text": ""}]
    assert names(THOUGHT, window, THINKER) >= {"content", "empty_message"}
    assert "content" in names(THOUGHT, sent(thought=None), "qwen/qwen-plus")


# --------------------------------------------------------------------------------------- parts

CAT: Json = {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}
SEEN: list[Json] = [
    {"role": "user", "content": [CAT, {"type": "text", "text": "What is this?"}]},
    {"role": "assistant", "content": "A cat."},
    {"role": "user", "content": "And its colour?"},
]


def test_pictures_are_sent_to_those_who_see() -> None:
    blind = [{"role": "user", "content": "What is this?"}, *SEEN[1:]]
    assert names(SEEN, SEEN) == set()
    assert names(SEEN, blind) == {"media_lost"}
    assert names(SEEN, blind, "qwen/qwen-plus") == set()
    assert "modality" in names(SEEN, SEEN, "qwen/qwen-plus")
    listed = [{"role": "user", "content": [{"type": "text", "text": "What is this?"}]}, *SEEN[1:]]
    assert "list_content" in names(SEEN, listed, "qwen/qwen-plus")


def test_the_policy_on_pictures_is_checked() -> None:
    again = [*SEEN, {"role": "assistant", "content": "Red."}, SEEN[0]]
    last = ContextPolicy(budget=100_000, images="last", summarize=None, recall=None)
    assert names(again, again, policy=last) == {"images"}
    old = [{"role": "user", "content": "[image]\nWhat is this?"}, *again[1:]]
    assert names(again, old, policy=last) == set()
    newest = [*again[:-1], {"role": "user", "content": "What is this?"}]
    assert "newest_input" in names(again, newest)


def test_a_result_is_made_up_only_where_there_is_none() -> None:
    asks: Json = {"role": "assistant", "content": None, "tool_calls": [call("a")]}
    made_up: Json = {"role": "tool", "tool_call_id": "a", "content": "interrupted"}
    user: Json = {"role": "user", "content": "Well?"}
    history = [user, asks, user, asks, {"role": "tool", "tool_call_id": "a", "content": "42"}]
    assert names(history, [user, asks, made_up, *history[2:]]) == set()
    assert names(history, [user, asks, made_up, user, asks, made_up]) >= {"lost_result"}
    assert names(history, [user, asks, made_up | {"content": ""}, *history[2:]]) == {"empty_message"}


def test_reasoning_has_the_providers_name() -> None:
    window = sent(thought=None)
    window[1]["reasoning"] = "look it up"
    assert names(THOUGHT, window, THINKER) == {"reasoning_field"}


def test_placeholders_of_merged_messages_are_told_apart() -> None:
    sound: Json = {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}
    history: list[Json] = [
        {"role": "user", "content": "one"},
        {"role": "user", "content": [sound]},
        {"role": "user", "content": [{"type": "text", "text": "two"}, CAT]},
        {"role": "user", "content": "three"},
    ]
    apart: list[Json] = [
        {"role": "user", "content": "one"},
        {"role": "user", "content": "[audio left out]"},
        {"role": "user", "content": "two\n[image left out]"},
        {"role": "user", "content": "three"},
    ]
    merged: Json = {"role": "user", "content": "\n\n".join(message["content"] for message in apart)}
    assert names(history, apart, "qwen/qwen-plus") == set()
    assert names(history, [merged], "dashscope/qwen-plus") == set()
    more = merged | {"content": merged["content"] + "\n\n" + "[and more]" * 20}
    assert "fabricated" in names(history, [more], "dashscope/qwen-plus")
    assert names(history, [*apart[:2], merged], "qwen/qwen-plus") != set()


def test_words_added_to_a_message_are_caught() -> None:
    for added in ("They are 2999 and 3999. Buy now!", "Buy now! They are 2999 and 3999."):
        window = copy.deepcopy(TALK)
        window[7]["content"] = added
        assert names(TALK, window) == {"fabricated"}


def test_what_no_provider_takes_is_caught() -> None:
    window = copy.deepcopy(TALK)
    window[4]["content"] = []
    window[7]["content"] = None
    window[3]["reasoning_content"] = "hm"
    assert names(TALK, window) >= {"malformed", "empty_message", "reasoning_leak"}


def test_a_turn_without_its_input_and_half_an_opening_are_caught() -> None:
    assert "split_turn" in names(TALK, [TALK[0], *TALK[4:]])
    opened: list[Json] = [
        {"role": "assistant", "content": "Welcome!"},
        {"role": "assistant", "content": "Which phone?"},
        {"role": "user", "content": "a red one"},
    ]
    assert names(opened, opened) == set()
    assert names(opened, opened[1:]) >= {"split_turn"}


def test_a_hole_in_a_turn_that_fits_is_caught() -> None:
    assert "hole_needless" in names(LONG, [LONG[0], MARK, *LONG[-24:]])
    assert names(LONG, [LONG[0], MARK], policy=NARROW) >= {"hole_wrong"}


def test_one_of_two_same_instructions_is_enough() -> None:
    rule: Json = {"role": "system", "content": "Be brief."}
    user: Json = {"role": "user", "content": "hi"}
    assert names([rule, rule, user], [rule, user]) == set()
    longer: Json = {"role": "system", "content": "Be brief. And kind."}
    assert names([rule, longer, user], [longer, user]) == {"instructions"}


def test_the_number_of_pictures_is_checked() -> None:
    answer: Json = {"role": "assistant", "content": "Red."}
    history: list[Json] = [{"role": "user", "content": [CAT]}, answer, {"role": "user", "content": [CAT]}]
    history += [answer, {"role": "user", "content": "Which?"}]
    two = ContextPolicy(budget=100_000, images=2, summarize=None, recall=None)
    one = ContextPolicy(budget=100_000, images=1, summarize=None, recall=None)
    assert names(history, history, policy=two) == set()
    assert names(history, history, policy=one) == {"images"}


def test_a_system_message_between_call_and_result_goes_behind_them() -> None:
    asks: Json = {"role": "assistant", "content": None, "tool_calls": [call("a")]}
    rule: Json = {"role": "system", "content": "Be brief."}
    result: Json = {"role": "tool", "tool_call_id": "a", "content": "42"}
    user: Json = {"role": "user", "content": "Well?"}
    made_up = result | {"content": "interrupted"}
    history = [user, asks, rule, result, user]
    assert names(history, [user, asks, result, rule, user]) == set()
    assert names(history, history) >= {"unanswered_call", "orphan_result"}
    assert names(history, [user, asks, made_up, rule, user]) >= {"altered", "split_turn"}


def test_blank_words_beside_a_part_are_no_placeholder() -> None:
    history: list[Json] = [
        {"role": "user", "content": [CAT]},
        {"role": "user", "content": [{"type": "text", "text": "\u2028\u2029"}, CAT]},
        {"role": "user", "content": "Well?"},
    ]
    window: list[Json] = [
        {"role": "user", "content": "[image left out]"},
        {"role": "user", "content": "\u2028\u2029\n[image left out]"},
        {"role": "user", "content": "Well?"},
    ]
    assert names(history, window, "kimi/kimi-k2-0905-preview") == set()
