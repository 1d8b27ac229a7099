"""English words find each other whatever their ending."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiturn.search.stems import stem

# The examples of Porter's paper, step by step.
PAIRS = re.findall(
    r"\w+",
    """
    caresses caress ponies poni ties ti cats cat feed feed agreed agre plastered plaster bled bled
    motoring motor sing sing conflated conflat troubled troubl sized size hopping hop tanned tan
    falling fall hissing hiss fizzed fizz failing fail filing file happy happi sky sky relational
    relat conditional condit rational ration valenci valenc hesitanci hesit digitizer digit
    conformabli conform radicalli radic differentli differ vileli vile analogousli analog
    vietnamization vietnam predication predic operator oper feudalism feudal decisiveness decis
    hopefulness hope callousness callous formaliti formal sensitiviti sensit sensibiliti sensibl
    triplicate triplic formative form formalize formal electriciti electr electrical electr hopeful
    hope goodness good revival reviv allowance allow inference infer airliner airlin gyroscopic
    gyroscop adjustable adjust defensible defens irritant irrit replacement replac adjustment
    adjust dependent depend adoption adopt homologou homolog communism commun activate activ
    angulariti angular homologous homolog effective effect bowdlerize bowdler probate probat rate
    rate cease ceas controll control roll roll activated activ enabling enabl digitized digit
    """,
)


@pytest.mark.parametrize(("word", "expected"), list(zip(PAIRS[::2], PAIRS[1::2], strict=True)))
def test_words_have_the_stems_of_the_paper(word: str, expected: str) -> None:
    assert stem(word) == expected


@pytest.mark.parametrize("word", ["is", "2023", "naïve", "手机", "r2d2", "кошки"])
def test_short_words_numbers_and_other_scripts_stay(word: str) -> None:
    assert stem(word) == word


@given(st.from_regex(r"[a-z]{1,20}", fullmatch=True))
def test_every_word_has_a_stem_that_begins_like_it(word: str) -> None:
    found = stem(word)
    assert found
    assert found[0] == word[0] or word[0] == "y"
    assert len(found) <= len(word) + 1
