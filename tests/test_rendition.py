"""The deltas of an answer, told once more in the very ones in which it came."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from multiturn.gateway.completions.completions import Completions
from multiturn.gateway.completions.form import Named
from multiturn.messages import Message
from multiturn.rendition import Rendition, retold
from multiturn.reply import CallPiece, Delta, Draft
from multiturn.sealing import seal
from multiturn.tokens import count_message
from multiturn.wire import opened, written

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
NAMES = st.sampled_from(["", "", "f", "get_weather"])
FIELDS = st.dictionaries(
    st.sampled_from(["annotations", "audio", "text_replaced", "id", "refusal"]),
    st.booleans() | st.text("ab", max_size=3) | st.lists(st.integers(0, 9), min_size=1, max_size=2),
    max_size=2,
)


@st.composite
def calls(draw: st.DrawFn) -> tuple[CallPiece, ...]:
    """Pieces of calls whose ids and names may come late, or never."""
    pieces = []
    for _ in range(draw(st.integers(0, 2))):
        index = draw(st.integers(0, 3))
        pieces.append(CallPiece(index, draw(st.sampled_from(["", f"id{index}"])), draw(NAMES), draw(WORDS)))
    return tuple(pieces)


@st.composite
def answers(draw: st.DrawFn) -> list[Delta]:
    """An answer as some provider might send it; what comes after its end is told together with it."""
    found = [
        Delta(draw(WORDS), draw(st.none() | WORDS), draw(calls()), extra=draw(FIELDS) or None)
        for _ in range(draw(st.integers(0, 6)))
    ]
    refusal = ""
    for _ in range(draw(st.integers(0, 2))):
        refusal += draw(st.text("no!", min_size=1, max_size=3))
        found.append(Delta(extra={"refusal": refusal}))
    end = Delta(draw(WORDS), draw(st.none() | WORDS), finish_reason="stop")
    return [*found, end, *([Delta(draw(WORDS))] * draw(st.integers(0, 1)))]


def noted(answer: list[Delta], *, keep_reasoning: bool = True) -> Rendition:
    course = Rendition(Draft(), keep_reasoning=keep_reasoning)
    for delta in answer:
        course.draft.add(delta)
        course.add(delta)
        assert not course.taken()
    course.close()
    return course


def kept(draft: Draft, *, keep_reasoning: bool = True) -> Message | None:
    if draft.empty:
        return None
    message = written(draft.message())
    if not keep_reasoning:
        message.pop("reasoning_content", None)
    entry = seal(message, count_message)
    return opened(entry.body, entry.reasoning)


def told(deltas: list[Delta]) -> bytes:
    chunks = Completions(streamed=True, usage=False).pieces(Named("chatcmpl-1", "m", 0.0))
    return b"".join([chunks.of(each) for each in deltas]) + chunks.end(None)


def heard(answer: list[Delta]) -> list[Delta]:
    """The deltas as whoever listens gets them: the last holds whatever came after the end."""
    found: list[Delta] = []
    for delta in answer:
        if found and found[-1].finish_reason:
            found[-1] += delta
        else:
            found.append(delta)
    return found


@given(answers())
def test_what_is_stored_is_told_in_the_very_same_chunks(answer: list[Delta]) -> None:
    course = noted(answer)
    message = kept(course.draft)
    again = retold(course.whole(stored=message is not None), message, course.draft.finish_reason)
    assert told(list(again)) == told(heard(answer))


@given(answers())
def test_thoughts_that_are_not_kept_are_not_told(answer: list[Delta]) -> None:
    course = noted(answer, keep_reasoning=False)
    message = kept(course.draft, keep_reasoning=False)
    again = retold(course.whole(stored=message is not None), message, "stop")
    assert all(each.reasoning is None for each in again)
    assert "".join(each.text for each in again) == course.draft.text
    assert again[-1].finish_reason == "stop"


def test_a_token_costs_a_byte() -> None:
    course = noted([*[Delta("word ")] * 200, Delta(finish_reason="stop")])
    assert len(course.whole(stored=True)) == 201


def test_the_course_holds_no_words_that_are_stored() -> None:
    answer = [
        Delta("secret", "thought of it"),
        Delta(calls=(CallPiece(0, "c1", "f", '{"x": "hidden"}'),), extra={"refusal": "never"}),
        Delta(finish_reason="tool_calls"),
    ]
    course = noted(answer).whole(stored=True)
    assert not [each for each in (b"secret", b"thought", b"hidden", b"never", b"c1") if each in course]


def test_an_answer_that_broke_off_is_not_noted() -> None:
    assert noted([Delta("half")]).whole(stored=True) == b""


def test_calls_that_are_not_made_are_not_noted() -> None:
    """Whoever listened left between the last call and the end."""
    answer = [Delta(calls=(CallPiece(0, "c1", "f", "{}"),)), Delta(finish_reason="tool_calls")]
    course = noted(answer)
    course.draft.drop_calls()
    assert course.whole(stored=True) == b""


def test_words_that_are_gone_are_not_told() -> None:
    course = noted([Delta("one"), Delta(finish_reason="stop")])
    assert retold(course.whole(stored=True), None, "stop") == ()
    assert retold(b"", Message("assistant", ()), "stop") == ()


def test_a_call_that_is_gone_is_told_without_its_words() -> None:
    answer = [Delta(calls=(CallPiece(0, "c1", "f", "{}"),)), Delta(finish_reason="tool_calls")]
    again = retold(noted(answer).whole(stored=True), Message("assistant", ()), "tool_calls")
    assert [each.calls for each in again] == [(CallPiece(0),), ()]


def test_it_can_be_asked_for_twice() -> None:
    """An end that could not be stored is stored once more."""
    course = noted([Delta("one"), Delta(calls=(CallPiece(0, "c", "f", "{}"),)), Delta(finish_reason="stop")])
    assert course.whole(stored=True) == course.whole(stored=True)
