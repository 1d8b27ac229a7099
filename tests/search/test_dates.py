"""Dates are read as people write them."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiturn.search.dates import PATTERNS, dates_in, named_dates

NOW = datetime(2024, 3, 13, 12, tzinfo=UTC).timestamp()  # a Wednesday
OPENING = datetime(2023, 4, 1, tzinfo=UTC).timestamp()


def days(text: str, opening: float | None = OPENING) -> list[str]:
    """First and last day of each stretch."""
    found = named_dates(text, now=NOW, opening=opening, zone=UTC)
    return [
        f"{_day(first)}…{_day(last - 1)}" if last - first > 86_400 else _day(first) for first, last in found
    ]


def _day(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("what was on 2023-05-08?", ["2023-05-08"]),
        ("2023/5/8 说了什么", ["2023-05-08"]),
        ("2023年5月8日", ["2023-05-08"]),
        ("May 8, 2023", ["2023-05-08"]),
        ("On May 8th we met", ["2023-05-08"]),
        ("the 8th of May", ["2023-05-08"]),
        ("on 8 May, 2023", ["2023-05-08"]),
        ("5月8日那天", ["2023-05-08"]),
        ("五月八号", ["2023-05-08"]),
        ("十二月二十五日", ["2023-12-25"]),
        ("2月3日", ["2024-02-03"]),
        ("in June 2023", ["2023-06-01…2023-06-30"]),
        ("during July", ["2023-07-01…2023-07-31"]),
        ("12月的时候", ["2023-12-01…2023-12-31"]),
        ("2023年5月", ["2023-05-01…2023-05-31"]),
        ("in 2023", ["2023-01-01…2023-12-31"]),
        ("2023年的事", ["2023-01-01…2023-12-31"]),
        ("yesterday", ["2024-03-12"]),
        ("昨天晚上", ["2024-03-12"]),
        ("前天", ["2024-03-11"]),
        ("the day before yesterday", ["2024-03-11"]),
        ("大前天", ["2024-03-10"]),
        ("前天昨天都说过", ["2024-03-11", "2024-03-12"]),
        ("昨天前天都说过", ["2024-03-11", "2024-03-12"]),
        ("上周", ["2024-03-04…2024-03-10"]),
        ("last week", ["2024-03-04…2024-03-10"]),
        ("上个月", ["2024-02-01…2024-02-29"]),
        ("last year", ["2023-01-01…2023-12-31"]),
        ("去年", ["2023-01-01…2023-12-31"]),
        ("上周五", ["2024-03-08"]),
        ("last Monday", ["2024-03-04", "2024-03-11"]),
        ("three days ago", ["2024-03-10"]),
        ("3天前", ["2024-03-10"]),
        ("两周前", ["2024-02-25…2024-03-02"]),
        ("the other day", ["2024-03-06…2024-03-12"]),
    ],
)
def test_a_date_is_read(text: str, expected: list[str]) -> None:
    assert days(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "May I ask?",
        "may be",
        "the march to the sea",
        "30 February 2023",
        "2月30日",
        "in 2050",
        "人均50-100元",
        "3个月饼",
        "010-64917666",
        "12月份前",
        "今天天气",
        "version 3.11.2",
        "9999年9月9日",
        "0 days ago",
        "300 years ago",
    ],
)
def test_what_is_no_date_or_not_yet_past_is_none(text: str) -> None:
    assert days(text) == []


def test_a_day_without_a_year_is_that_day_of_every_year_of_the_conversation() -> None:
    early = datetime(2021, 1, 1, tzinfo=UTC).timestamp()
    assert days("5月8日", early) == ["2021-05-08", "2022-05-08", "2023-05-08"]
    assert len(days("5月8日", None)) == 20


def test_days_begin_at_midnight_where_the_question_is_asked() -> None:
    shanghai = timezone(timedelta(hours=8))
    ((first, last),) = named_dates("2023-05-08", now=NOW, zone=shanghai)
    assert datetime.fromtimestamp(first, UTC).hour == 16
    assert last - first == 86_400


@given(st.dates(date(2005, 1, 1), date(2024, 3, 12)))
def test_every_day_is_read_in_both_languages(day: date) -> None:
    wanted = [day.isoformat()]
    assert days(day.isoformat(), None) == wanted
    assert days(f"{day:%B} {day.day}, {day.year}", None) == wanted
    assert days(f"我们在{day.year}年{day.month}月{day.day}日说过", None) == wanted


@given(st.text(max_size=60) | st.text("0123456789年月日号天周前上去last agoyd-/., 一二十", max_size=30))
def test_no_text_is_too_strange(text: str) -> None:
    for first, last in named_dates(text, now=NOW, zone=UTC):
        assert first < last
        assert first < NOW


PIECES = st.sampled_from(
    re.findall(
        r"\S+",
        """19 20 2023 8 may september ago back earlier days day week month year last night yesterday the
        other few a in of monday 月 年 日 号 前 天 周 星期 礼拜 上 个 昨 昨天 去年 大前天 几天
        这 三 十 - / . ,""",
    )
)


@given(st.lists(PIECES | st.just(" "), max_size=9).map("".join))
def test_no_date_is_without_a_sign_of_one(text: str) -> None:
    for signs, pattern, _ in PATTERNS:
        assert not pattern.search(text) or any(sign in text for sign in signs)


def test_the_signs_are_looked_for_in_vain_where_no_date_is() -> None:
    """Else nothing would be saved."""
    said = "我想要一个便宜的手机 for the weekend, please"
    assert not any(sign in said for signs, *_ in PATTERNS for sign in signs)
    assert dates_in(said, now=1.7e9) == []
