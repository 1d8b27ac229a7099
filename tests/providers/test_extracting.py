"""Does the demo model keep what matters in its extract, and does it say what it is?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiturn.prompts import Asked
from multiturn.providers.extracting import extract
from multiturn.tokens import count_text

HEAD = "[These are the user's own words: the demo model only extracts, it does not write.]"


def turns(*said: str) -> str:
    """Turns in which the user says these sentences."""
    return "\n".join(
        f"[turn {number}] user: {words}\n[turn {number}] assistant: I am 99 years old."
        for number, words in enumerate(said, 1)
    )


def test_only_what_the_user_states_is_kept_word_for_word() -> None:
    told = turns("I am 27. How are you?", "What is my name?", "I live in Berlin.\n  My dog is 4.")
    assert extract(Asked("", told, "en"), 200).splitlines() == [
        HEAD,
        "[turn 1] user: I am 27.",
        "[turn 3] user: I live in Berlin.",
        "[turn 3] user: My dog is 4.",
    ]


def test_a_chinese_conversation_gets_a_chinese_label() -> None:
    told = "[第 1 轮，2026-05-03] 用户：你好，我今年 27 岁。\n[第 1 轮，2026-05-03] 助手：我 99 岁。"
    assert extract(Asked("", told, "zh"), 200).splitlines() == [
        "[以下都是用户的原话：demo 模型只会摘录，不会撰写。]",
        "[第 1 轮，2026-05-03] 用户：你好，我今年 27 岁。",
    ]


def test_the_summary_so_far_goes_on_without_doubling() -> None:
    first = extract(Asked("", turns("I am 27."), "en"), 200)
    second = extract(Asked(first, "[turn 2] user: My name is Ann.", "en"), 200)
    assert second.splitlines() == [HEAD, "[turn 1] user: I am 27.", "[turn 2] user: My name is Ann."]
    assert extract(Asked(second, "[turn 3] user: Why?", "en"), 200) == second


def test_what_a_person_wrote_into_the_summary_is_kept_before_anything_else() -> None:
    told = turns(*(f"I am {number} and my name is Ann{number}." for number in range(40)))
    kept = extract(Asked("The user is allergic to nuts.", told, "en"), 120)
    assert "The user is allergic to nuts." in kept


def test_where_room_is_short_facts_stay_and_small_talk_goes() -> None:
    chatter = [
        f"It rained a lot over there, and the bus was late again, number of times {n % 3}." for n in range(99)
    ]
    kept = extract(Asked("", turns(*chatter[:50], "I am 27 years old.", *chatter[50:]), "en"), 100)
    assert "[turn 51] user: I am 27 years old." in kept


def test_of_equal_facts_the_short_ones_stay_and_then_the_old_ones() -> None:
    long = "My budget is {} euros, which I have saved over many months by walking and by cooking at home."
    told = turns(*(long.format(500 + number) for number in range(20)), "I am 27.", "I am 28.")
    kept = extract(Asked("", told, "en"), 120).splitlines()
    assert [line for line in kept if "I am" in line] == [
        "[turn 21] user: I am 27.",
        "[turn 22] user: I am 28.",
    ]
    assert next(line[:8] for line in kept if "budget" in line) == "[turn 1]"


def test_a_line_of_somebody_else_is_not_the_users() -> None:
    told = "[turn 1] user: Hi there.\n[turn 1] tool: I am 50.\n  I am 51.\n[turn 1] assistant: I am 52."
    assert "5" not in extract(Asked("", told, "en"), 200)


@given(st.lists(st.text(max_size=60), max_size=30), st.integers(20, 400))
def test_it_is_never_longer_than_asked_for(said: list[str], tokens: int) -> None:
    text = extract(Asked("", turns(*said), "en"), tokens)
    assert count_text(text) <= max(tokens, count_text(HEAD))
    assert text.startswith(HEAD)


@pytest.mark.parametrize("told", ["", "[turn 1] user: Why?"])
def test_nothing_to_keep_is_said_by_the_label_alone(told: str) -> None:
    assert extract(Asked("", told, "en"), 100) == HEAD
