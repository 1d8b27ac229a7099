"""A list in, a window out. Whole windows are checked elsewhere; here is what `fit` itself decides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, overload

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionMessage
from tests.context.stories import answer, ask, call, count, result, rule

from multiturn import ContextPolicy, fit
from multiturn.decision import Code
from multiturn.errors import ContextOverflow, Error, MessageEmpty, MessageInvalid, ModelUnknown
from multiturn.messages import Message, Text
from multiturn.tokens import count_message
from multiturn.window import Window

Json = dict[str, Any]


def talk(turns: int, letters: int = 10) -> list[Json]:
    """So many turns that cost so many letters each."""
    return [m for n in range(turns) for m in (ask(f"{n}:".ljust(letters - 1, ".")), answer("!"))]


def fitted(messages: Sequence[object], budget: int | None = None, **more: Any) -> Window:
    policy = ContextPolicy(budget=budget, summarize=None, recall=None, **more)
    return fit(messages, policy, count=count)


def spans(window: Window) -> list[tuple[Code, int, tuple[int, int] | None]]:
    return [(span.code, span.messages, span.turns) for span in window.spans]


# --------------------------------------------------------------------------------- what comes in


def test_messages_may_come_as_anything_that_is_one() -> None:
    sdk = ChatCompletionMessage(role="assistant", content="fine")
    window = fit([Message("system", (Text("be kind"),)), "hello", sdk, ask("new", name=None)])
    assert window.messages == [rule("be kind"), ask("hello"), answer("fine"), ask("new")]


def test_any_sequence_is_a_list() -> None:
    class Stored(Sequence[Json]):
        def __init__(self, held: list[Json]) -> None:
            self.held = held

        def __len__(self) -> int:
            return len(self.held)

        @overload
        def __getitem__(self, index: int) -> Json: ...
        @overload
        def __getitem__(self, index: slice) -> list[Json]: ...
        def __getitem__(self, index: int | slice) -> Json | list[Json]:
            return self.held[index]

        def __iter__(self) -> Iterator[Json]:
            return iter(self.held)

    story = [rule("a"), rule("b"), *talk(5), ask("new")]
    assert fit(Stored(story)).messages == fit(tuple(story)).messages == story


@pytest.mark.parametrize("messages", [[], [ask("")], [*talk(2), ask(" ")], [ask() | {"content": []}]])
def test_an_empty_list_or_input_is_refused(messages: list[Json]) -> None:
    with pytest.raises(MessageEmpty):
        fit(messages)


@pytest.mark.parametrize(
    "messages",
    [
        [1],
        [None],
        [{}],
        [{"content": "x"}],
        [{"role": "robot", "content": "x"}],
        [{"role": ["user"], "content": "x"}],
        [{"role": None, "content": "x"}],
        [ask(), ask(5)],  # type: ignore[arg-type]  # what the test is about
        [ask(), call("a", text="\ud83d")],
    ],
    ids=repr,
)
def test_what_is_no_message_is_refused(messages: list[Any]) -> None:
    with pytest.raises(MessageInvalid):
        fit(messages)


@pytest.mark.parametrize("messages", [[result("z")], [call("a")], [answer("")]])
def test_a_list_that_holds_nothing_to_send_is_refused(messages: list[Json]) -> None:
    with pytest.raises(MessageInvalid, match="no message that could be sent"):
        fit(messages)


def test_a_list_may_hold_instructions_alone_or_begin_with_the_assistant() -> None:
    assert fit([rule()]).messages == [rule()]
    assert fit([answer("hello")]).messages == [answer("hello")]
    assert spans(fit([answer("hello"), ask()])) == [(Code.OPENING, 1, (1, 1)), (Code.NEW, 1, (2, 2))]


def test_the_list_is_not_touched() -> None:
    story = [*talk(2), ask("new", name=None)]
    before = [dict(message) for message in story]
    fit(story)
    assert story == before


# ------------------------------------------------------------------------------------------ turns


def test_the_new_input_is_the_last_question_with_what_follows() -> None:
    story = [*talk(1), ask("new"), call("a"), result("a")]
    assert spans(fitted(story)) == [
        (Code.RECENT, 2, (1, 1)),
        (Code.NEW, 1, (2, 2)),
        (Code.TOOL_PAIR, 2, (2, 2)),
    ]


def test_instructions_right_before_a_question_belong_to_its_turn() -> None:
    story = [rule("head"), *talk(1), rule("late"), ask("new")]
    assert spans(fitted(story)) == [
        (Code.SYSTEM, 1, None),
        (Code.RECENT, 2, (1, 1)),
        (Code.SYSTEM, 1, (2, 2)),
        (Code.NEW, 1, (2, 2)),
    ]


def test_an_opening_is_the_first_turn() -> None:
    story = [rule(), answer("hello"), *talk(2), ask("new")]
    assert spans(fitted(story)) == [
        (Code.SYSTEM, 1, None),
        (Code.OPENING, 1, (1, 1)),
        (Code.RECENT, 4, (2, 3)),
        (Code.NEW, 1, (4, 4)),
    ]


@pytest.mark.parametrize("turns", [0, 1, 3])
def test_the_newest_turns_are_kept(turns: int) -> None:
    window = fit([rule(), *talk(6), ask("new")], ContextPolicy.last_turns(turns))
    assert window.messages == [rule(), *talk(6)[12 - 2 * turns :], ask("new")]


def test_the_newest_messages_are_kept_by_whole_turns() -> None:
    story = [*talk(3), ask("one"), call("a"), result("a"), answer(), ask("new")]
    kept = [len(fit(story, ContextPolicy.last_messages(most)).messages) for most in range(1, 13)]
    assert kept == [1, 1, 1, 1, 5, 5, 7, 7, 9, 9, 11, 11]


def test_instructions_in_what_was_never_read_stay_in_force_and_in_their_place() -> None:
    story = [rule("head"), *talk(2), rule("late"), ask("a"), rule("in"), answer("b"), *talk(9), ask("new")]
    window = fitted(story, max_turns=1)
    assert window.messages == [rule("head"), rule("late"), rule("in"), *talk(9)[-2:], ask("new")]
    assert spans(window) == [
        (Code.SYSTEM, 1, None),
        (Code.OUTSIDE_WINDOW, 4, (1, 2)),
        (Code.SYSTEM, 1, (3, 3)),
        (Code.OUTSIDE_WINDOW, 1, (3, 3)),
        (Code.SYSTEM, 1, (3, 3)),
        (Code.OUTSIDE_WINDOW, 17, (3, 11)),
        (Code.RECENT, 2, (12, 12)),
        (Code.NEW, 1, (13, 13)),
    ]


def test_a_blank_instruction_does_not_take_another_with_it() -> None:
    story = [ask("a"), rule("stay"), rule(" "), answer("b"), *talk(9), ask("new")]
    window = fitted(story, max_turns=1)
    assert window.messages == [rule("stay"), *talk(9)[-2:], ask("new")]
    assert [decision.sent for decision in window.decisions][:4] == [False, True, False, False]


def test_the_head_of_a_list_may_hold_an_instruction_after_an_opening() -> None:
    story = [answer("hello"), rule("stay"), *talk(5), ask("new")]
    window = fitted(story, max_turns=1)
    assert window.messages == [rule("stay"), *talk(5)[-2:], ask("new")]
    assert len(window.decisions) == len(story)


def test_turns_that_cannot_be_sent_do_not_use_the_limits_up() -> None:
    silent = [m for _ in range(40) for m in (ask(""), answer("never"))]
    story = [*talk(3), *silent, ask("new")]
    assert fitted(story, max_turns=2).messages == [*talk(3)[2:], ask("new")]
    assert fitted(story, max_messages=5).messages == [*talk(3)[2:], ask("new")]
    assert fitted(story, 33).messages == [*talk(3), ask("new")]


# --------------------------------------------------------------------------------------- the cut


def test_the_cut_of_the_window_before_is_kept() -> None:
    before = fitted([*talk(9), ask("new")], 60)
    assert before.cut is not None
    story = [*talk(9), ask("new"), answer("!"), ask("more")]
    after = fit(story, ContextPolicy(budget=60, summarize=None, recall=None), count=count, previous=before)
    assert after.cut == before.cut
    assert after.messages[: len(before.messages)] == before.messages
    assert fitted(story, 60).messages != after.messages or len(fitted(story, 60).messages) <= 12


def test_a_cut_of_another_policy_is_not_kept() -> None:
    before = fitted([*talk(9), ask("new")], 60)
    after = fit([*talk(9), ask("new")], ContextPolicy.full(), count=count, previous=before)
    assert len(after.messages) == 19


def test_with_nothing_cut_before_everything_that_fits_is_sent() -> None:
    before = fitted(talk(2)[:3])
    assert before.cut is None
    after = fit([*talk(4), ask()], ContextPolicy.full(), count=count, previous=before)
    assert len(after.messages) == 9


@given(st.integers(40, 200), st.lists(st.integers(4, 40), min_size=1, max_size=15))
def test_a_conversation_that_grows_keeps_its_cut_until_it_is_full(budget: int, sizes: list[int]) -> None:
    story: list[Json] = []
    window: Window | None = None
    policy = ContextPolicy(budget=budget, summarize=None, recall=None)
    for size in sizes:
        story += [ask("1" * (size - 1))]
        before, window = window, fit(story, policy, count=count, previous=window)
        if before is not None and window.cut == before.cut:
            assert window.body.startswith(before.body[:-1])
        story += [answer("!")]


# ----------------------------------------------------------------------------------------- limits


def test_without_a_model_the_list_is_taken_as_it_is() -> None:
    picture = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "u"}}]}
    story = [
        rule(role="developer"),
        picture,
        answer(name="li"),
        *talk(3_000, 40),
        ask("new", mood={"a": None}),
    ]
    assert fit(story, ContextPolicy(budget=10**6)).messages == story


def test_without_a_budget_the_newest_32000_tokens_are_sent() -> None:
    window = fit([*talk(3_000, 40), ask("new")], count=count)
    assert window.limits.budget == 32_000
    assert 16_000 < window.tokens <= 32_000


def test_reasoning_of_nobody_knows_whom_is_kept_without_a_model() -> None:
    story = [ask(), answer(reasoning_content="hm"), ask("new")]
    assert fit(story).messages == story


def test_a_model_brings_its_limits_and_its_rules() -> None:
    story = [rule(role="developer"), ask(), answer(reasoning_content="hm"), ask("new")]
    window = fit(story, model="qwen/qwen-plus")
    assert window.messages == [rule(), ask(), answer(), ask("new")]
    assert window.limits.budget == 32_000
    assert window.limits.reserve > 0
    assert window.target.model == "qwen/qwen-plus"


def test_an_unknown_provider_is_refused() -> None:
    with pytest.raises(ModelUnknown):
        fit([ask()], model="nobody/nothing")


def test_a_picture_for_a_model_that_sees_none_is_refused() -> None:
    content = [{"type": "image_url", "image_url": {"url": "u"}}]
    with pytest.raises(MessageInvalid, match="image"):
        fit([{"role": "user", "content": content}], model="deepseek/deepseek-chat")


def test_an_estimate_has_a_margin_and_a_count_has_none() -> None:
    message = ask("x" * 700)
    assert fit([message]).tokens == -(-count_message(message) * 115 // 100)
    assert fit([message], count=count).tokens == 700


def test_the_counter_decides_what_fits() -> None:
    def heads(_: Mapping[str, Any]) -> int:
        return 1

    window = fit([*talk(9), ask("new")], ContextPolicy(budget=5, high=1, low=1), count=heads)
    assert (len(window.messages), window.tokens) == (5, 5)


def test_tools_are_counted() -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    without, with_tools = fit([ask()]), fit([ask()], tools=[tool])
    assert with_tools.tokens > without.tokens
    with pytest.raises(ContextOverflow) as refused:
        fit([ask()], ContextPolicy(budget=20), tools=[tool] * 9)
    assert refused.value.figures["tools"] != 0


def test_an_input_above_the_budget_is_refused_with_the_numbers() -> None:
    with pytest.raises(ContextOverflow) as refused:
        fitted([rule("1" * 30), *talk(3), ask("1" * 80)], 100)
    figures = {name: refused.value.figures[name] for name in ("needed", "limit", "instructions", "input")}
    assert figures == {"needed": 110, "limit": 100, "instructions": 30, "input": 80}


def test_summary_and_recall_are_ignored_and_the_window_says_so() -> None:
    note = ("fit_ignores_summary_and_recall",)
    assert fit([ask()]).notes == note
    assert fit([ask()], ContextPolicy(summarize=None)).notes == note
    assert fit([ask()], ContextPolicy(recall=None)).notes == note
    assert fit([ask()], ContextPolicy.full()).notes == ()


def test_the_marks_are_those_of_a_policy_without_a_summary() -> None:
    assert fit([ask()], ContextPolicy(budget=1_000)).limits.high == 1_000
    assert fit([ask()], ContextPolicy(budget=1_000, high=0.5)).limits.high == 500


# ------------------------------------------------------------------------------------- the list


def test_only_what_may_be_sent_is_looked_at() -> None:
    looked: list[object] = []

    def counting(message: Mapping[str, Any]) -> int:
        looked.append(message)
        return count(message)

    fit([*talk(10_000), ask("new")], ContextPolicy(budget=100, recall=None, summarize=None), count=counting)
    assert len(looked) < 40


def test_what_is_wrong_far_before_the_window_is_not_looked_at() -> None:
    story: list[Any] = [ask(5), answer("!"), *talk(50), ask("new")]  # type: ignore[arg-type]  # wrong, and old
    assert len(fitted(story, max_turns=2).messages) == 5
    with pytest.raises(Error):
        fitted(story)


@given(st.integers(0, 12), st.integers(1, 200))
def test_a_list_of_words_is_cut_as_any_other(turns: int, budget: int) -> None:
    story = [*talk(turns), ask("new")]
    named = [{**message, "mood": 1} for message in story]
    try:
        one = fitted(story, budget)
    except ContextOverflow:
        with pytest.raises(ContextOverflow):
            fitted(named, budget)
        return
    other = fitted(named, budget)
    assert [{**message, "mood": 1} for message in one.messages] == other.messages
    assert (one.tokens, one.cut, spans(one)) == (other.tokens, other.cut, spans(other))


def test_reasoning_that_stays_behind_is_said_once_of_a_whole_range() -> None:
    answer = {"role": "assistant", "content": "three", "reasoning_content": "one and two"}
    history = [message for _ in range(4) for message in ({"role": "user", "content": "1 + 2?"}, answer)]
    window = fit([*history, {"role": "user", "content": "and 2 + 2?"}], model="qwen/qwen-plus")
    assert "one and two" not in window.body.decode()
    assert [(span.code, span.messages, span.omitted) for span in window.spans] == [
        (Code.RECENT, 8, ("reasoning_stripped",)),
        (Code.NEW, 1, ()),
    ]


@pytest.mark.parametrize("given", ["hi", b"hi", {"role": "user", "content": "hi"}])
def test_one_message_is_no_list_of_messages(given: Any) -> None:
    with pytest.raises(MessageInvalid, match="a list of messages is wanted"):
        fit(given)


def test_a_model_brings_its_price_and_its_formula_for_images() -> None:
    photo = [{"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}]
    messages = [{"role": "user", "content": photo}]
    policy = ContextPolicy(budget=50_000, summarize=None, recall=None)
    plain, dear = fit(messages, policy), fit(messages, policy, model="openai/gpt-4o-mini")
    assert (plain.cost, plain.cached_prefix) == (None, None)
    assert dear.tokens > 25_000 > 2_000 > plain.tokens
    assert dear.cached_prefix is None
    assert dear.cost
    assert dear.cost.estimated
    assert dear.cost.amount * 1_000_000 == dear.tokens * Decimal("0.15")
    assert fit(messages, policy, model="openai/gpt-4o-mini", count=lambda _: 10).tokens == 10


@pytest.mark.parametrize(
    ("model", "images", "sent"),
    [
        ("qwen/qwen3-vl-plus", "all", 1),
        ("qwen/qwen3-vl-plus", "last", 1),
        ("qwen/qwen3-vl-plus", 2, 2),
        ("qwen/qwen3-vl-plus", 0, 0),
        ("qwen/qwen-plus", "all", 0),
    ],
)
def test_images_that_stay_behind_take_no_room_from_words(model: str, images: Any, sent: int) -> None:
    photo = {"type": "image_url", "image_url": {"url": "https://example.org/cat.png"}}
    messages: list[Json] = []
    for number in range(25):
        words = {"type": "text", "text": f"Picture {number}"}
        messages += [{"role": "user", "content": [words, photo]}, answer("Nice.")]
    messages.append(ask("And now?"))
    window = fit(messages, ContextPolicy(budget=4000, images=images), model=model)
    assert window.body.count(b"example.org") == sent
    assert len(window.messages) == (3 if images == "all" and sent else 51)
    spent = [span.tokens for span in window.spans if span.sent]
    assert sum(tokens or 0 for tokens in spent) == pytest.approx(window.tokens, rel=0.1)
