"""What came back? Deltas in, the assistant's message out."""

from __future__ import annotations

import sys

from hypothesis import given
from hypothesis import strategies as st

from multiturn.messages import Message, Reasoning, Text, ToolCall
from multiturn.reply import CallPiece, Delta, Draft
from multiturn.usage import Usage


def draft(*deltas: Delta) -> Draft:
    made = Draft()
    for delta in deltas:
        made.add(delta)
    return made


# ---------------------------------------------------------------------------------------- words


@given(st.lists(st.text()))
def test_the_pieces_of_a_text_add_up(pieces: list[str]) -> None:
    made = draft(*(Delta(text=piece) for piece in pieces))
    assert made.text == "".join(pieces)
    assert made.empty == (not made.text.strip())


def test_words_that_came_one_by_one_take_little_more_than_they_say() -> None:
    words = [f"第{number}个字" for number in range(5_000)]
    made = draft(*(Delta(text=word, reasoning=word) for word in words))
    assert made.text == made.reasoning == "".join(words)
    for chunks in (made.texts, made.thoughts or []):
        assert sum(map(sys.getsizeof, chunks)) < 1.5 * sys.getsizeof("".join(words))


def test_blanks_are_nothing_to_keep_but_a_refusal_is() -> None:
    assert draft(Delta(text=" \n")).empty
    assert not draft(Delta(extra={"refusal": "no"})).empty
    assert not draft(Delta(calls=(CallPiece(0, "a", "f", ""),))).empty


@given(st.lists(st.none() | st.text()))
def test_reasoning_that_never_came_differs_from_reasoning_that_said_nothing(pieces: list[str | None]) -> None:
    made = draft(*(Delta(reasoning=piece) for piece in pieces))
    said = [piece for piece in pieces if piece is not None]
    assert made.reasoning == ("".join(said) if said else None)
    assert made.empty


@given(
    st.lists(
        st.builds(Delta, st.text(), st.none() | st.text(), finish_reason=st.sampled_from((None, "stop")))
    )
)
def test_deltas_that_are_added_first_come_to_the_same(pieces: list[Delta]) -> None:
    at_once = Delta()
    for piece in pieces:
        at_once += piece
    once, singly = draft(at_once), draft(*pieces)
    assert (once.text, once.reasoning) == (singly.text, singly.reasoning)
    assert once.finish_reason == singly.finish_reason


# ---------------------------------------------------------------------------------------- calls


def test_the_pieces_of_calls_add_up_by_index() -> None:
    made = draft(
        Delta(calls=(CallPiece(1, "b", "g", "{"),)),
        Delta(calls=(CallPiece(0, "a", "f", ""), CallPiece(1, arguments="}"))),
        Delta(calls=(CallPiece(0, "later", "other", "[1]"),)),
    )
    assert made.tool_calls == (ToolCall("a", "f", "[1]"), ToolCall("b", "g", "{}"))
    assert not made.empty


def test_a_call_without_an_id_is_named_by_its_place() -> None:
    assert draft(Delta(calls=(CallPiece(3, name="f"),))).tool_calls == (ToolCall("call_3", "f", ""),)


@given(st.lists(st.tuples(st.integers(0, 2), st.text()), min_size=1))
def test_arguments_are_joined_in_the_order_in_which_they_come(pieces: list[tuple[int, str]]) -> None:
    made = draft(*(Delta(calls=(CallPiece(index, f"id{index}", "f", piece),)) for index, piece in pieces))
    expected = {
        index: "".join(piece for at, piece in pieces if at == index)
        for index in sorted({i for i, _ in pieces})
    }
    assert made.tool_calls == tuple(ToolCall(f"id{i}", "f", text) for i, text in expected.items())


# ----------------------------------------------------------------------------------- what counts


def test_the_last_value_counts_and_silence_changes_nothing() -> None:
    made = draft(
        Delta(finish_reason="length", usage=Usage(1, 1), model="a", response_id="r1"),
        Delta(finish_reason="stop", usage=Usage(2, 2), model="b", response_id="r2"),
        Delta(),
    )
    assert (made.finish_reason, made.usage, made.model, made.response_id) == ("stop", Usage(2, 2), "b", "r2")


def test_fields_we_do_not_know_are_gathered() -> None:
    made = draft(Delta(extra={"a": 1, "b": 1}), Delta(extra={"b": 2}), Delta(extra={}))
    assert made.extra == {"a": 1, "b": 2}
    assert made.message().extra == {"a": 1, "b": 2}


# -------------------------------------------------------------------------------------- message


def test_the_message_holds_what_arrived_in_its_order() -> None:
    made = draft(
        Delta(calls=(CallPiece(0, "a", "f", "{}"),)), Delta(text="so"), Delta(reasoning="hm"), Delta(text="!")
    )
    assert made.message("qwen/plus") == Message(
        "assistant", (Reasoning("hm"), Text("so!"), ToolCall("a", "f", "{}")), model="qwen/plus"
    )


def test_an_answer_that_said_nothing_is_a_message_without_parts() -> None:
    assert draft().message() == Message("assistant", ())
    assert draft(Delta(reasoning="")).message().parts == (Reasoning(""),)


def test_a_message_can_be_taken_while_the_answer_grows() -> None:
    made = draft(Delta(text="a"))
    before = made.message()
    made.add(Delta(text="b"))
    assert (before.text, made.message().text) == ("a", "ab")
