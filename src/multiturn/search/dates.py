"""Which days does a sentence name? Dates as people write them in English and Chinese, as stretches."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta, tzinfo
from functools import partial
from typing import NamedTuple

__all__ = ["Named", "Stretch", "dates_in", "named_dates"]

Stretch = tuple[float, float]
"""From when, and up to when, in seconds since 1970."""


class Named(NamedTuple):
    """Words that name a date, by their place in the text, and the stretches they may stand for."""

    start: int
    end: int
    stretches: frozenset[Stretch]


YEARS = 20
"""How many years a date without a year may lie back."""
MONTHS = {
    name: number
    for number, names in enumerate(
        ("jan january", "feb february", "mar march", "apr april", "may", "jun june", "jul july",
         "aug august", "sep sept september", "oct october", "nov november", "dec december"), 1,
    )
    for name in names.split()
}  # fmt: skip
WEEKDAYS = {
    name: number
    for number, names in enumerate(
        ("monday mon 一", "tuesday tue 二", "wednesday wed 三", "thursday thu 四", "friday fri 五",
         "saturday sat 六", "sunday sun 日 天"),
    )
    for name in names.split()
}  # fmt: skip
NUMBERS = {"a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7}
CHINESE = {"一": 1, "二": 2, "两": 2, "三": 3, "四": 4, "五": 5, "六": 6, "七": 7, "八": 8, "九": 9}

Names = dict[str, str | None]
Days = Iterator[tuple[date, date]]
"""First day, and the one after the last."""

SHORT_MONTHS = tuple({name[:3]: None for name in MONTHS})
MONTH = "(?P<month>" + "|".join(sorted(MONTHS, key=len, reverse=True)) + r")\b\.?"
COUNT = r"(?P<count>\d{1,3}|[一二两三四五六七八九十]{1,3}|\b(?:" + "|".join(NUMBERS) + r")\b)"
DIGITS = r"\d{1,2}|[一二三四五六七八九十]{1,3}"


def named_dates(
    text: str, *, now: float, opening: float | None = None, zone: tzinfo | None = None
) -> tuple[Stretch, ...]:
    """The stretches of time that ``text`` names, as far as they have begun by ``now``.

    A date without its year stands for that day of every year since ``opening``, before which there is
    nothing (``None``: of the last twenty years). Days are those of ``zone`` (``None``: of this machine).

    >>> from datetime import UTC
    >>> named_dates("What did we say on May 8, 2023?", now=1.7e9, zone=UTC)
    ((1683504000.0, 1683590400.0),)
    """
    named = dates_in(text.lower(), now=now, opening=opening, zone=zone)
    return tuple(sorted({stretch for each in named for stretch in each.stretches}))


def dates_in(
    text: str, *, now: float, opening: float | None = None, zone: tzinfo | None = None
) -> list[Named]:
    """The dates in a text of small letters, as `named_dates` takes them, with the words that name them."""
    today = datetime.fromtimestamp(now, zone).date()
    first = today.year - YEARS if opening is None else datetime.fromtimestamp(opening, zone).year
    years = range(first, today.year + 1)
    found: list[Named] = []
    for signs, pattern, days in PATTERNS:
        for match in pattern.finditer(text) if any(map(text.__contains__, signs)) else ():
            if any(each.start < match.end() and match.start() < each.end for each in found):
                continue
            meant = (
                (_midnight(start, zone), _midnight(end, zone))
                for start, end in days(match.groupdict(), today, years)
            )
            begun = (each for each in meant if each[0] < now and (opening is None or each[1] > opening))
            found.append(Named(*match.span(), frozenset(begun)))
    return found


def _midnight(day: date, zone: tzinfo | None) -> float:
    return datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()


# ------------------------------------------------------------------------------------------ kinds


def _calendar(names: Names, today: date, years: range) -> Days:
    """A year, a month, a day, or what of them is named."""
    del today
    year, month, day = names.get("year"), names.get("month"), names.get("day")
    for each in years if year is None else (int(year),):
        try:
            if month is None:
                yield date(each, 1, 1), date(each + 1, 1, 1)
            elif day is None:
                yield _month(each, _month_number(month))
            else:
                yield _day(date(each, _month_number(month), _number(day)))
        except ValueError:  # 30 February, or the year 9999
            continue


def _month_number(text: str) -> int:
    return MONTHS.get(text) or _number(text)


def _number(text: str) -> int:
    if text.isdecimal():
        return int(text)
    if text in NUMBERS:
        return NUMBERS[text]
    tens, ten, units = text.rpartition("十")
    if not ten:
        return CHINESE.get(text, 0)
    return 10 * CHINESE.get(tens, 1) + CHINESE.get(units, 0)


def _day(day: date) -> tuple[date, date]:
    return day, day + timedelta(days=1)


def _month(year: int, month: int) -> tuple[date, date]:
    return date(year, month, 1), date(year + month // 12, month % 12 + 1, 1)


def _back(days: int, names: Names, today: date, years: range) -> Days:
    del names, years
    yield _day(today - timedelta(days=days))


def _lately(names: Names, today: date, years: range) -> Days:
    del names, years
    yield today - timedelta(days=7), today


def _last(names: Names, today: date, years: range) -> Days:
    """The week, month or year before this one."""
    del years
    match names["unit"] or names["unit2"]:
        case "week" | "周" | "星期" | "礼拜":
            monday = today - timedelta(days=today.weekday() + 7)
            yield monday, monday + timedelta(days=7)
        case "month" | "月":
            before = today.replace(day=1) - timedelta(days=1)
            yield _month(before.year, before.month)
        case _:
            yield date(today.year - 1, 1, 1), date(today.year, 1, 1)


def _last_weekday(names: Names, today: date, years: range) -> Days:
    """A day of last week; in English also the nearest one that is over."""
    del years
    wanted = WEEKDAYS[names["weekday"] or ""]
    of_last_week = today - timedelta(days=today.weekday() + 7 - wanted)
    nearest = today - timedelta(days=(today.weekday() - wanted - 1) % 7 + 1)
    yield _day(of_last_week)
    if (names["weekday"] or "").isascii() and nearest != of_last_week:
        yield _day(nearest)


def _ago(names: Names, today: date, years: range) -> Days:
    """So many days, weeks, months or years back; the longer the unit, the wider the stretch."""
    del years
    count = _number(names["count"] or "")
    unit = names["unit"] or ""
    days = UNITS[unit]
    if count and count * days < 36_500:
        middle = today - timedelta(days=count * days)
        yield middle - timedelta(days=days // 2), middle + timedelta(days=days // 2 + 1)


UNITS = {
    "day": 1,
    "天": 1,
    "week": 7,
    "周": 7,
    "星期": 7,
    "礼拜": 7,
    "month": 30,
    "月": 30,
    "year": 365,
    "年": 365,
}

CENTURIES = ("19", "20")
PATTERNS: tuple[tuple[tuple[str, ...], re.Pattern[str], Callable[[Names, date, range], Days]], ...] = tuple(
    (signs if isinstance(signs, tuple) else (signs,), re.compile(pattern), days)
    for signs, pattern, days in (
        (CENTURIES, r"\b(?P<year>(?:19|20)\d\d)[-/.](?P<month>\d{1,2})[-/.](?P<day>\d{1,2})\b", _calendar),
        ("年", rf"(?P<year>(?:19|20)\d\d)年(?P<month>{DIGITS})月(?:(?P<day>{DIGITS})[日号])?", _calendar),
        ("月", rf"(?<!\d年)(?P<month>{DIGITS})月(?P<day>{DIGITS})[日号]", _calendar),
        (
            SHORT_MONTHS,
            rf"\b{MONTH} (?P<day>\d{{1,2}})(?:st|nd|rd|th)?\b(?:,? (?P<year>(?:19|20)\d\d)\b)?",
            _calendar,
        ),
        (
            SHORT_MONTHS,
            rf"\b(?P<day>\d{{1,2}})(?:st|nd|rd|th)?(?: of)? {MONTH}(?:,? (?P<year>(?:19|20)\d\d)\b)?",
            _calendar,
        ),
        (SHORT_MONTHS, rf"\b{MONTH},? (?:of )?(?P<year>(?:19|20)\d\d)\b", _calendar),
        (SHORT_MONTHS, rf"\b(?:in|since|during|of|last|early|late|mid)[ -]{MONTH}", _calendar),
        ("月", rf"(?<![\d一二三四五六七八九十])(?<!\d年)(?P<month>{DIGITS})月(?!份?[前后])", _calendar),
        ("年", r"(?<!\d)(?P<year>(?:19|20)\d\d)年", _calendar),
        (CENTURIES, r"\b(?:in|since|during|of) (?P<year>(?:19|20)\d\d)\b", _calendar),
        ("前", rf"{COUNT}个?(?P<unit>天|周|星期|礼拜|月|年)(?:以|之)?前", _ago),
        (
            ("ago", "back", "earlier"),
            rf"{COUNT} (?P<unit>day|week|month|year)s? (?:ago|back|earlier)\b",
            _ago,
        ),
        (("yesterday", "前天"), r"day before yesterday|(?<!大)前天", partial(_back, 2)),
        ("大前天", r"大前天", partial(_back, 3)),
        (
            ("yesterday", "last night", "昨"),
            r"\byesterday\b|\blast night\b|昨[天日晚]",
            partial(_back, 1),
        ),
        (
            ("几天", "the other day", "few days ago"),
            r"前几天|这几天|\bthe other day\b|\b(?:a )?few days ago\b",
            _lately,
        ),
        ("上", r"上个?(?:周|星期|礼拜)(?P<weekday>[一二三四五六日天])", _last_weekday),
        (
            "last",
            rf"\blast (?P<weekday>{'|'.join(name for name in WEEKDAYS if name.isascii())})\b",
            _last_weekday,
        ),
        (
            ("上", "last", "去年"),
            r"上个?(?P<unit>周|星期|礼拜|月)|\blast (?P<unit2>week|month|year)\b|(?P<unit3>去年)",
            _last,
        ),
    )
)
"""Of each kind words one of which is in all texts that name such a date: looking for them is much quicker."""
