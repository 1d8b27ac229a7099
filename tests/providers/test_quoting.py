"""Does the demo model find the sentence that answers, and quote nothing it must not quote?"""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiturn.phrases import phrase
from multiturn.providers.quoting import answer, best, is_question, sentences, statements, tongue, words


def user(text: Any) -> dict[str, Any]:
    return {"role": "user", "content": text}


def told(*facts: str, question: str, system: str = "你是一位店员。") -> str:
    """The answer after these facts were said, each met by an acknowledgement."""
    messages: list[dict[str, Any]] = [{"role": "system", "content": system}]
    for fact in facts:
        messages += [user(fact), {"role": "assistant", "content": "我 99 岁，叫小红，住在火星。"}]
    return answer([*messages, user(question)])


CHINESE = [
    "你好，我今年 27 岁。",
    "我叫李雷，住在杭州。",
    "我的电话是 13800001111。",
    "我妈妈今年 55 岁。",
    "我生日是 5 月 3 日。",
    "我最喜欢的颜色是蓝色。",
]
ENGLISH = [
    "Hi there, I'm 27 and I like hiking.",
    "My name is Ann.",
    "I live in Berlin with my dog.",
    "My flight leaves at 8am on Friday.",
    "My favourite colour is teal.",
    "I work as a nurse.",
]


@pytest.mark.parametrize(
    ("question", "sentence"),
    [
        ("你知道我今年几岁吗？", "你好，我今年 27 岁。"),
        ("我几岁？", "你好，我今年 27 岁。"),
        ("我多大了", "你好，我今年 27 岁。"),
        ("我的年龄是多少？", "你好，我今年 27 岁。"),
        ("how old am I?", "你好，我今年 27 岁。"),
        ("我叫什么名字？", "我叫李雷，住在杭州。"),
        ("还记得我的名字吗？", "我叫李雷，住在杭州。"),
        ("我住在哪里？", "我叫李雷，住在杭州。"),
        ("我的手机号是多少？", "我的电话是 13800001111。"),
        ("我妈妈几岁了？", "我妈妈今年 55 岁。"),
        ("我最喜欢什么颜色？", "我最喜欢的颜色是蓝色。"),
        ("你是谁？", "你是一位店员。"),
        ("我的生日是什么时候？", "我生日是 5 月 3 日。"),
    ],
)
def test_a_chinese_question_finds_its_sentence(question: str, sentence: str) -> None:
    assert sentence in told(*CHINESE, question=question)


@pytest.mark.parametrize(
    ("question", "sentence"),
    [
        ("How old am I?", "Hi there, I'm 27 and I like hiking."),
        ("do you know how old i am", "Hi there, I'm 27 and I like hiking."),
        ("What is my name?", "My name is Ann."),
        ("Tell me what I am called.", "My name is Ann."),
        ("where do I live?", "I live in Berlin with my dog."),
        ("When is my flight?", "My flight leaves at 8am on Friday."),
        ("What's my favorite color?", "My favourite colour is teal."),
        ("What's my job?", "I work as a nurse."),
        ("我几岁？", "Hi there, I'm 27 and I like hiking."),
    ],
)
def test_an_english_question_finds_its_sentence(question: str, sentence: str) -> None:
    assert sentence in told(*ENGLISH, question=question)


@pytest.mark.parametrize(
    ("facts", "question"),
    [
        (["我喜欢苹果。"], "我几岁？"),
        (["我今年 27 岁。"], "我女儿几岁？"),
        (["我今年 27 岁。"], "我叫什么名字？"),
        (["My name is Ann."], "What is my daughter's name?"),
        (["I like tea."], "Where do I live?"),
        (["我 5 月 3 日开会。"], "我的生日是什么时候？"),
        (["我的电话是 13800001111。"], "我的年龄是多少？"),
        ([], "我几岁？"),
    ],
)
def test_what_was_not_said_is_not_found(facts: list[str], question: str) -> None:
    messages = [user(fact) for fact in facts] + [user(question)]
    count = len(messages)
    code = "demo.missing_one" if count == 1 else "demo.missing"
    assert answer(messages) == phrase(code, tongue(question), messages=count)


@pytest.mark.parametrize(
    ("fact", "question"),
    [("我养了一只猫叫豆豆。", "我的猫叫什么？"), ("我家的狗今年 3 岁。", "我的狗几岁？")],
)
def test_a_single_character_is_found_inside_a_word(fact: str, question: str) -> None:
    assert answer([user(fact), user(question)]) == f"在第 1 条消息里找到：{fact}"


@pytest.mark.parametrize(
    "heading",
    [
        "Turns 2–3, 2026-11-21 11:03 UTC",
        "Another conversation, turn 9",
        "第 2–3 轮，2026-11-21 11:03 UTC",
        "另一个对话，第 9 轮",
    ],
)
def test_the_heading_of_a_quotation_is_no_statement(heading: str) -> None:
    assert statements([user(f"~~~\n{heading}\nuser: I like tea.\n~~~")]) == [(1, "I like tea.")]


def test_the_place_is_that_of_the_message() -> None:
    assert answer([user("x"), user("我今年 27 岁。"), user("我几岁？")]).startswith("在第 2 条消息里找到：")
    english = answer([user("I am 27 years old."), user("How old am I?")])
    assert "found in message 1: I am 27 years old." in english
    assert "not in the 2 messages I received" in answer([user("I like tea."), user("How old am I?")])


def test_a_correction_wins() -> None:
    assert "28" in told("我今年 27 岁。", "不对，我今年 28 岁。", question="我几岁？")
    assert "Rome" in told("I live in Berlin.", "I live in Rome.", question="Where do I live?")


def test_a_statement_is_acknowledged_in_its_language() -> None:
    assert answer([user("我今年 27 岁。")]) == phrase("demo.noted", "zh")
    assert answer([user("I am 27.")]) == phrase("demo.noted", "en")
    assert answer([]) == phrase("demo.noted", "en")


def test_the_assistant_and_tools_are_never_quoted() -> None:
    messages = [
        {"role": "assistant", "content": "我今年 27 岁。"},
        {"role": "tool", "tool_call_id": "a", "content": "他今年 27 岁。"},
        user("我几岁？"),
    ]
    assert "27" not in answer(messages)


def test_a_question_is_never_quoted() -> None:
    assert "27" not in answer([user("我是不是 27 岁？"), user("我几岁？")])
    assert "27" not in answer([user("Am I 27 years old?"), user("How old am I?")])


def test_instructions_may_be_quoted() -> None:
    found = told("你好。", question="店里有什么手机？", system="你是店员。店里有华为和小米手机。")
    assert "店里有华为和小米手机。" in found


def test_a_block_quoted_in_the_question_is_searched_but_not_asked() -> None:
    recalled = (
        "<recalled>\n[turn 3] user: 我今年 27 岁。\n[turn 3] assistant: 您 99 岁。\n</recalled>\n我几岁？"
    )
    assert answer([user(recalled)]) == "在第 1 条消息里找到：我今年 27 岁。"
    fenced = (
        "```\nuser: I am 27 years old. Is that old?\nassistant: You are 99 years old.\n```\nHow old am I?"
    )
    assert answer([user(fenced)]) == "I found in message 1: I am 27 years old."
    summary = "> 用户说自己 27 岁。\n\n今天天气真好。"
    assert answer([user(summary)]) == phrase("demo.noted", "zh")


def test_a_block_that_is_never_closed_is_part_of_the_question() -> None:
    assert "27" in answer([user("我今年 27 岁。"), user("<b>\n我几岁？")])


def test_parts_of_both_protocols_are_read() -> None:
    parts = [{"type": "image_url", "image_url": {"url": "x"}}, {"type": "text", "text": "我今年 27 岁。"}]
    assert "27" in answer([user(parts), user([{"text": "我几岁？"}])])


def test_a_tools_result_is_acknowledged() -> None:
    messages = [user("我几岁？"), {"role": "tool", "tool_call_id": "a", "content": "27"}]
    assert answer(messages) == phrase("demo.noted", "en")


@pytest.mark.parametrize(
    ("sentence", "asks"),
    [
        ("我今年 27 岁。", False),
        ("我几岁", True),
        ("我有几个朋友。", False),
        ("你知道他叫什么吗", True),
        ("告诉我我的名字。", True),
        ("我不知道他是谁。", False),
        ("What I like is tea.", True),
        ("I know what I like.", False),
        ("Do you remember me", True),
        ("I do.", False),
        ("Really?!", True),
        ("还有货吗", True),
    ],
)
def test_questions_are_told_from_statements(sentence: str, asks: bool) -> None:
    assert is_question(sentence) == asks


def test_sentences_keep_numbers_and_quotation_marks_whole() -> None:
    assert sentences("I am 1.80 m. “好。”他说！\n再见") == ["I am 1.80 m.", "“好。”", "他说！", "再见"]


def test_words_forget_filler_and_endings() -> None:
    assert set(words("I liked the colours")) == set(words("liking color"))
    assert not words("你知道吗？")


# ----------------------------------------------------------------------------------- properties

LINES = st.sampled_from(
    [*CHINESE, *ENGLISH, "我几岁？", "How old am I?", "```", "<b>", "</b>", "> x", "", "……", "？"]
)
TEXT = st.one_of(st.text(max_size=40), st.lists(LINES, max_size=4).map("\n".join))
CONTENT = st.one_of(
    TEXT,
    st.none(),
    st.lists(
        st.one_of(TEXT.map(lambda text: {"type": "text", "text": text}), st.just({"type": "x"})), max_size=3
    ),
)
ROLES = st.sampled_from(["system", "developer", "user", "assistant", "tool"])
MESSAGES = st.lists(st.fixed_dictionaries({"role": ROLES, "content": CONTENT}), max_size=8)
FOUND = re.compile(r"(?:在第 (\d+) 条消息里找到：|I found in message (\d+): )(.*)", re.DOTALL)


@given(MESSAGES)
def test_whatever_is_quoted_was_stated_by_user_or_instructions(
    messages: list[dict[str, Any]],
) -> None:
    reply = answer(messages)
    found = FOUND.fullmatch(reply)
    if not found:
        kinds = ("missing", "missing_one", "noted")
        fixed = {
            phrase(f"demo.{k}", tongue, messages=len(messages)) for k in kinds for tongue in ("en", "zh")
        }
        assert reply in fixed
        return
    source = messages[int(found[1] or found[2]) - 1]
    assert source["role"] in {"user", "system", "developer"}
    content = source["content"]
    text = content if isinstance(content, str) else "\n".join(part.get("text", "") for part in content)
    assert found[3] in text
    assert not is_question(found[3])


@given(MESSAGES)
def test_the_same_messages_give_the_same_answer(messages: list[dict[str, Any]]) -> None:
    assert answer(messages) == answer(messages)


@given(st.text())
def test_sentences_lose_no_letter(text: str) -> None:
    kept = "".join(letter for sentence in sentences(text) for letter in sentence if letter.isalnum())
    assert kept == "".join(letter for letter in text if letter.isalnum())


@given(st.lists(st.sampled_from([*CHINESE, *ENGLISH]), min_size=1, max_size=8))
def test_the_best_statement_is_one_of_them(facts: list[str]) -> None:
    candidates = statements([user(fact) for fact in facts])
    found = best("我几岁？", candidates)
    aged = any("27" in fact or "55" in fact for fact in facts)
    assert (found in candidates) if aged else found is None
