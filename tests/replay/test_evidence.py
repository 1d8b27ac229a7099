"""Which old turns did a reply use?"""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.replay.told import dialogue

from multiturn.messages import Trait
from multiturn.replay import Use, uses
from multiturn.replay.dialogue import Dialogue
from multiturn.replay.evidence import marks_of

SMALL_TALK = [(f"Tell me something about {word}.", "Gladly.") for word in ("rain", "tea", "trains", "ships")]


def found(*pairs: tuple[str, str]) -> tuple[Use, ...]:
    return uses(dialogue(*pairs).turns)[-1]


@pytest.mark.parametrize(
    ("told", "asked", "marks"),
    [
        ("My dog is called Rex.", "And what does Rex eat?", ("rex",)),
        ("The order has the number 20417.", "Where is 20417 now?", ("20417",)),
        (
            "My allergy is peanuts, terrible.",
            "Does it hold peanuts? I have an allergy!",
            ("allergy", "peanut"),
        ),
        ("我对花生酱过敏。", "里面有花生酱吗？", ("生酱", "花生")),
    ],
)
def test_a_rare_name_number_or_two_words_lead_back(told: str, asked: str, marks: tuple[str, ...]) -> None:
    assert found((told, "Noted."), *SMALL_TALK, (asked, "Let me see.")) == (Use(1, marks),)


def test_words_of_the_reply_lead_back_too() -> None:
    assert found(
        ("My dog is called Rex.", "Nice."), *SMALL_TALK, ("What is the name?", "Your dog? It is Rex.")
    ) == (Use(1, ("rex",)),)


def test_one_common_word_is_no_evidence() -> None:
    assert found(("I like allergy tests.", "Hm."), *SMALL_TALK, ("An allergy?", "Hm.")) == ()


def test_what_many_turns_hold_is_not_rare() -> None:
    between = [SMALL_TALK[number % 4] for number in range(12)]
    many = [pair for other in between for pair in (("How is Rex?", "Fine."), other)]
    assert all("rex" not in use.marks for each in uses(dialogue(*many).turns) for use in each)
    assert [use.marks[0] for use in found(*many[:5])] == ["rex"]


def test_the_newest_place_is_credited_and_the_turn_before_never() -> None:
    pairs = [("My dog is called Rex.", "Nice."), SMALL_TALK[0], ("Oh, and Rex barks.", "I see."), *SMALL_TALK]
    assert [use.turn for use in found(*pairs, ("So, what of Rex?", "Fine."))] == [3]
    assert found(*pairs[:3], ("So, what of Rex?", "Fine.")) == ()


def test_capitals_at_the_beginning_of_a_sentence_make_no_name() -> None:
    assert marks_of("Good. Great! I see Berlin") == {"good": 1, "great": 1, "berlin": 2}


@given(st.text(max_size=200))
def test_any_text_has_marks(text: str) -> None:
    assert all(weight in (1, 2) for weight in marks_of(text).values())


@given(st.lists(st.sampled_from(["Rex", "27 34", "peanuts allergy", "花生酱", "hm"]), max_size=12))
def test_only_old_turns_are_used(words: list[str]) -> None:
    told: Dialogue = dialogue(*[(f"so {word}", "well") for word in words])
    for number, used in enumerate(uses(told.turns), 1):
        assert all(use.turn < number - 1 for use in used)


@pytest.mark.parametrize("trait", [int(Trait.RETRACTED), int(Trait.MODERATED)])
def test_a_turn_that_is_never_sent_again_is_not_used(trait: int) -> None:
    told = dialogue(("My dog is called Rex.", "Nice."), *SMALL_TALK, ("So, what of Rex?", "Fine.")).turns
    gone = replace(told[0], turn=told[0].turn._replace(traits=trait))
    assert uses([gone, *told[1:]])[-1] == ()


def test_a_message_that_was_left_out_is_not_used() -> None:
    told = dialogue(("My dog is called Rex.", "Nice."), *SMALL_TALK, ("So, what of Rex?", "Fine.")).turns
    row = told[0].rows[0]
    rows = [row._replace(traits=int(Trait.EXCLUDED)), told[0].rows[1]]
    assert uses([replace(told[0], rows=rows), *told[1:]])[-1] == ()
