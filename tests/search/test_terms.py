"""Words of a message and of a question meet in the same terms."""

from __future__ import annotations

from collections import Counter
from datetime import UTC

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiturn.search.terms import KEPT, LENGTH, NAMES, TERMS, names, query, searchable, terms

NOW = 1.7e9


def meet(one: str, other: str) -> bool:
    return bool(terms(one).keys() & terms(other).keys())


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        ("I painted a sunrise", "Which PAINTINGS are there?"),
        ("James's dog", "james"),
        ("故宫的门票是60元", "门票多少钱"),
        ("ＩＰＨＯＮＥ １５", "iphone 15"),
        ("東京タワー", "タワー"),
        ("서울에서 만나요", "서울"),
        ("Привет, мир", "мир"),
        ("don’t panic", "don't PANIC"),
    ],
)
def test_what_is_said_is_found_by_what_is_asked(said: str, asked: str) -> None:
    assert meet(said, asked)


@pytest.mark.parametrize("text", ["", "   ", "？！…", "的了吗", "what is it about", "🙂👍", "我们是这个"])
def test_words_that_say_nothing_are_no_terms(text: str) -> None:
    assert not terms(text)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("你好", "你好"),
        ([{"type": "text", "text": "a"}, {"type": "image_url"}, {"text": 5}, "b", {"text": "c"}], "a\nc"),
        (None, ""),
        ({"text": "a"}, ""),
    ],
)
def test_of_a_content_only_its_texts_are_searched(content: object, words: str) -> None:
    assert searchable(content) == words


def test_characters_and_pairs_are_terms_without_a_dictionary() -> None:
    assert len(terms("清真菜馆")) == 4 + 3
    assert not meet("真清", "馆菜")


def test_no_word_is_taken_for_a_name() -> None:
    assert all(term < NAMES for number in range(5_000) for term in terms(f"word{number}"))


def test_a_pair_counts_more_than_a_character() -> None:
    assert sorted(query("菜馆", now=NOW).terms.values()) == [0.5, 0.5, 1.0]
    assert list(query("phone", now=NOW).terms.values()) == [1.0]


def test_pairs_with_a_character_that_says_nothing_are_loose() -> None:
    asked = query("酒店的电话 the phone at 8", now=NOW)
    assert len(asked.loose) == 2
    assert asked.loose == query("店的", now=NOW).loose | query("的电", now=NOW).loose


def test_a_word_that_is_asked_twice_counts_twice() -> None:
    assert list(query("phone phones", now=NOW).terms.values()) == [2.0]


def test_names_are_apart_from_words() -> None:
    assert names("Caroline") <= query("What did Caroline say?", now=NOW).names
    assert names("张曼婷") & query("张曼婷说了什么", now=NOW).names
    assert not names("Caroline") & terms("Caroline").keys()
    assert not names("")


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("What did I buy on 2023-11-10?", "buy"),
        ("What did I buy on May 8, 2023, for 20 or 8?", "buy 20 or 8"),
        ("我５月８日买了什么", "我 买了什么"),
        ("昨天我们说的第20个", "我们说的第20个"),
    ],
)
def test_the_words_of_a_date_are_told_apart(text: str, rest: str) -> None:
    asked = query(text, now=NOW)
    assert asked.dates
    assert asked.undated == query(rest, now=NOW).terms
    assert asked.terms.keys() > set(asked.undated)


def test_a_day_to_come_and_one_that_is_none_are_words() -> None:
    assert query("the flight on 2031-05-08", now=NOW).undated is None
    assert query("the flight on 2023-02-30", now=NOW).undated is None


@given(st.text(max_size=200))
def test_terms_are_small_numbers_of_their_own_kind(text: str) -> None:
    found = terms(text)
    assert all(0 <= term < NAMES for term in found)
    assert all(count > 0 for count in found.values())
    assert all(NAMES <= name < 1 << 28 for name in names(text))
    assert query(text, now=NOW).terms.keys() == found.keys()


@given(st.text("ab 手机，.1"), st.text("ab 手机，.1"))
def test_terms_of_two_texts_add_up(one: str, other: str) -> None:
    assert terms(f"{one}\n{other}") == Counter(terms(one)) + Counter(terms(other))


def test_only_the_beginning_of_an_endless_text_is_looked_at() -> None:
    assert terms("手" * LENGTH + "机") == terms("手" * LENGTH)
    assert query("手" * LENGTH + "机", now=NOW).terms.keys() == terms("手" * LENGTH).keys()


def test_half_a_character_does_no_harm() -> None:
    assert terms("ab\ud83d cd") == terms("ab cd") or terms("ab\ud83d cd")


@pytest.mark.parametrize(
    "text",
    [
        "我们之前聊过八度空间，它的发行时间是什么来着？",
        "你还记得我的名字吗",
        "上次推荐的电影叫什么",
        "你知道我今年几岁吗？",
        "我叫什么？",
        "我喜欢听什么音乐？",
        "昨天说的那家店",
        "5月4日发生了什么",
        "你曾经给我推荐过哪些画家？",
        "What did I tell you about my dog?",
        "Do you remember the film?",
        "How old am I?",
        "as I said earlier",
        "When did Melanie paint a sunrise?",
        "what's my name?",
        "we talked about it last week",
        "two days ago",
    ],
)
def test_a_question_that_refers_back_is_noticed(text: str) -> None:
    assert query(text, now=NOW, zone=UTC).refers_back


@pytest.mark.parametrize(
    "text",
    [
        "你好，我想找一家评分4.5分以上的餐馆，给我推荐一个吧。",
        "这家餐馆的地址在哪？",
        "谢谢，再见！",
        "首都图书馆要玩多久？",
        "hello",
        "Book a table for two, please.",
        "What is the capital of France?",
        "May I come in?",
    ],
)
def test_an_ordinary_message_does_not_refer_back(text: str) -> None:
    assert not query(text, now=NOW, zone=UTC).refers_back


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("这家餐馆的电话是多少？", True),
        ("它的地址呢", True),
        ("好的，谢谢", True),
        ("is this cheap?", True),
        ("thanks!", True),
        ("给我推荐一家酒店吧", True),
        ("我想找一家餐馆", True),
        ("please book a table", True),
        ("我想知道首都图书馆的电话", False),
        ("请问首都图书馆的电话是多少", False),
        ("首都图书馆要玩多久？", False),
        ("a thistle", False),
    ],
)
def test_what_points_at_the_last_words_is_noticed(text: str, expected: bool) -> None:
    assert query(text, now=NOW).at_hand is expected


def test_a_question_carries_its_dates() -> None:
    assert query("2023-05-08", now=NOW, zone=UTC).dates == ((1683504000.0, 1683590400.0),)


def test_no_end_of_new_words_takes_no_end_of_memory_and_changes_no_term() -> None:
    said = "The locker code is 48213. 我今年二十七岁，住在上海。"
    before = terms(said)
    for begin in range(0, 2 * KEPT, 1000):
        terms(" ".join(f"w{number}q" for number in range(begin, begin + 1000)))
        assert len(TERMS) <= KEPT
    assert terms(said) == before
