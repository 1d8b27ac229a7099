"""The pieces of an answer, told once more from their lengths and the stored words."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from multiturn.course import Course, Piece, Reader
from multiturn.reply import CallPiece, Delta, Draft
from multiturn.sealing import seal
from multiturn.tokens import count_message
from multiturn.wire import opened, written

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)


@st.composite
def deltas(draw: st.DrawFn) -> list[Delta]:
    """An answer as some provider might send it."""
    found = [Delta(text="a")]
    calls = draw(st.integers(0, 3))
    found += [Delta(calls=(CallPiece(n, f"call_{n}", "f", draw(TEXTS)),)) for n in range(calls)]
    for _ in range(draw(st.integers(0, 8))):
        pieces = [CallPiece(draw(st.integers(0, calls - 1)), arguments=draw(TEXTS))] if calls else []
        thought = draw(st.none() | TEXTS)
        found.append(Delta(draw(TEXTS), thought, tuple(pieces[: draw(st.integers(0, 1))])))
    return found


def taken(answer: list[Delta]) -> tuple[Course, list[Piece], bytes]:
    """The course of an answer, its pieces as they came, and what was kept of it in parts."""
    draft, parts = Draft(), b""
    course = Course(draft)
    reader, pieces = Reader.live(course), list[Piece]()
    for delta in answer:
        draft.add(delta)
        course.add(delta)
        pieces += reader.pieces()
        parts += course.taken()
    course.close()
    return course, [*pieces, *reader.pieces()], parts + course.taken()


def stored(draft: Draft) -> tuple[bytes, bytes | None]:
    entry = seal(written(draft.message()), count_message)
    return entry.body, entry.reasoning


@given(deltas())
def test_what_is_stored_is_told_as_it_came(answer: list[Delta]) -> None:
    course, pieces, parts = taken(answer)
    message = opened(*stored(course.draft))
    assert course.whole(stored=True) == parts
    assert list(Reader.stored(parts, message).pieces()) == pieces
    assert "".join(each.text for each in pieces if each.kind == "text") == course.draft.text
    assert "".join(each.text for each in pieces if each.kind == "reasoning") == (course.draft.reasoning or "")


@given(deltas())
def test_what_is_not_stored_is_told_as_it_came_too(answer: list[Delta]) -> None:
    course, pieces, _ = taken(answer)
    course.draft.drop_calls()
    assert list(Reader.stored(course.whole(stored=False), None).pieces()) == pieces


@given(deltas())
def test_calls_that_were_dropped_are_told_beside_the_words(answer: list[Delta]) -> None:
    course, pieces, _ = taken(answer)
    course.draft.drop_calls()
    message = opened(*stored(course.draft))
    assert list(Reader.stored(course.whole(stored=True), message).pieces()) == pieces


def test_a_token_costs_a_byte() -> None:
    course, _, _ = taken([Delta(text="word ")] * 200)
    assert len(course.whole(stored=True)) == 200


def test_a_call_is_told_once_its_name_is_known() -> None:
    answer = [
        Delta(calls=(CallPiece(0, "call_1", "", '{"a"'),)),
        Delta(calls=(CallPiece(0, "", "f", ": 1"),)),
        Delta(calls=(CallPiece(0, "", "", "}"),)),
    ]
    _, pieces, _ = taken(answer)
    assert pieces == [Piece("call", '{"a": 1', 0, "call_1", "f"), Piece("call", "}", 0, "call_1", "f")]


def test_a_call_without_an_id_is_told_at_the_end() -> None:
    _, pieces, _ = taken([Delta(calls=(CallPiece(0, "", "f", "{}"),)), Delta(text="late")])
    assert pieces == [Piece("text", "late"), Piece("call", "{}", 0, "call_0", "f")]


def test_calls_that_come_by_turns_stay_apart() -> None:
    answer = [
        Delta(calls=(CallPiece(0, "a", "f", "1"), CallPiece(1, "b", "g", "2"))),
        Delta(calls=(CallPiece(0, "", "", "3"), CallPiece(1, "", "", "4"))),
    ]
    _, pieces, _ = taken(answer)
    assert [(each.place, each.text, each.name) for each in pieces] == [
        (0, "1", "f"),
        (1, "2", "g"),
        (0, "3", "f"),
        (1, "4", "g"),
    ]


def test_thoughts_that_are_not_kept_are_not_told() -> None:
    draft = Draft()
    course = Course(draft, keep_reasoning=False)
    delta = Delta(text="a", reasoning="hm")
    draft.add(delta)
    course.add(delta)
    assert list(Reader.live(course).pieces()) == [Piece("text", "a")]


def test_an_empty_thought_is_told_once() -> None:
    _, pieces, _ = taken([Delta(reasoning=""), Delta(reasoning=""), Delta(text="a")])
    assert pieces == [Piece("reasoning", ""), Piece("text", "a")]


def test_a_reader_follows_an_answer_word_by_word() -> None:
    draft = Draft()
    course = Course(draft)
    reader, words = Reader.live(course), [f"第{number}个" for number in range(1_000)]
    for word in words:
        delta = Delta(word)
        draft.add(delta)
        course.add(delta)
        assert [piece.text for piece in reader.pieces()] == [word]


def test_a_reader_goes_no_farther_than_it_may() -> None:
    draft = Draft()
    course = Course(draft)
    for text in ("one", "two"):
        draft.add(Delta(text=text))
        course.add(Delta(text=text))
    reader = Reader.live(course)
    assert [each.text for each in reader.pieces(1)] == ["one"]
    assert [each.text for each in reader.pieces()] == ["two"]
