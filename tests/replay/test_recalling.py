"""Would the same old turns have been quoted? Beside the search of a real store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from tests.replay.told import dialogue, said
from tests.scene import Make

from multiturn.conversations import Owner
from multiturn.messages import Trait
from multiturn.path import MessageRow, Path
from multiturn.recall import Present
from multiturn.replay import Said, read
from multiturn.replay.recalling import Index
from multiturn.search.terms import query
from multiturn.window import Limits, Quotation

LIMITS = Limits(4000, 4000, 2000, recall_tokens=200, recall_turns=3)
PAIRS = [
    ("My dog Rex is allergic to peanuts.", "Poor Rex."),
    *((f"Tell me about subject number {number}, will you?", "It is a long story.") for number in range(20)),
]
QUESTION = "Do you remember what Rex is allergic to?"


def index_of(turns: Sequence[Said]) -> Index:
    index = Index()
    for turn in turns:
        index.add(turn)
    return index


def found(turns: Sequence[Said], path: Path = Path(), before: int = 21) -> Quotation | None:  # noqa: B008  (a frozen record)
    return index_of(turns).quoted(QUESTION, 1e9, before, path, LIMITS)


def turns_of(quotation: Quotation | None) -> list[int]:
    return [] if quotation is None else [source.turn for source in quotation.sources]


def marked(turn: Said, traits: int, place: int | None = None) -> Said:
    rows = [
        row._replace(traits=row.traits | traits) if place in (None, row.place) else row for row in turn.rows
    ]
    return replace(turn, rows=rows, turn=turn.turn._replace(traits=turn.turn.traits | traits))


async def test_scores_are_those_of_the_store(scene: Make) -> None:
    it = scene()
    chat = it.client.conversation("c")
    messages = [
        {"role": role, "content": text, "created_at": 1e9 + 60 * number}
        for number, pair in enumerate(PAIRS)
        for role, text in zip(("user", "assistant"), pair, strict=True)
    ]
    await chat.add(messages)
    store = it.client._store
    told = await read(store, await store.conversation(Owner(), "c"))
    asked = query(QUESTION, now=1e9)
    for before in (2, 9, 21):
        stored = await store.recall(Owner(), "c", asked, before=before, limit=24)
        index = index_of(told.turns)
        end = sum(turn < before for turn in index.turns)
        here = index._found(asked, end, Present.of(Path(), before))
        places = {(index.turns[at], index.said[at][1].place): score for at, score in here.items()}
        assert places == pytest.approx({(f.told.row.turn, f.told.row.place): f.score for f in stored})


def test_what_fits_is_quoted_with_its_answer() -> None:
    quotation = found(dialogue(*PAIRS).turns)
    assert 1 in turns_of(quotation)
    assert quotation is not None
    assert b"allergic to peanuts" in quotation.text
    assert b"Poor Rex." in quotation.text


def test_only_turns_before_the_window_are_looked_through() -> None:
    assert found(dialogue(*PAIRS).turns, before=1) is None
    assert turns_of(found(dialogue(("Hm.", "Hm."), *PAIRS).turns, before=2)) == []


def test_a_blank_question_finds_nothing() -> None:
    assert index_of(dialogue(*PAIRS).turns).quoted("  ", 1e9, 21, Path(), LIMITS) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda turn: marked(turn, int(Trait.RETRACTED)),
        lambda turn: marked(turn, int(Trait.MODERATED)),
        lambda turn: marked(turn, int(Trait.EXCLUDED), place=0),
        lambda turn: replace(turn, turn=turn.turn._replace(state=5)),
        lambda turn: replace(turn, turn=turn.turn._replace(state=4)),
    ],
    ids=["retracted", "moderated", "excluded", "failed", "crashed"],
)
def test_what_is_never_sent_is_never_quoted(change: object) -> None:
    told = dialogue(*PAIRS)
    assert 1 not in turns_of(found([change(told.turns[0]), *told.turns[1:]]))  # type: ignore[operator]


def test_a_stopped_turn_is_quoted() -> None:
    told = dialogue(*PAIRS)
    stopped = marked(told.turns[0], int(Trait.STOPPED), place=9)
    stopped = replace(stopped, turn=stopped.turn._replace(state=4))
    assert 1 in turns_of(found([stopped, *told.turns[1:]]))


def test_an_excluded_answer_is_not_told_with_its_question() -> None:
    told = dialogue(*PAIRS)
    quotation = found([marked(told.turns[0], int(Trait.EXCLUDED), place=1), *told.turns[1:]])
    assert quotation is not None
    assert b"allergic" in quotation.text
    assert b"Poor Rex." not in quotation.text


def test_what_the_window_holds_is_not_quoted_again() -> None:
    told = dialogue(*PAIRS)
    row: MessageRow = told.turns[0].rows[0]
    assert 1 not in turns_of(found(told.turns, Path(standing=[row])))
    rule = row._replace(role="system", traits=int(Trait.INSTRUCTION))
    assert 1 in turns_of(found(told.turns, Path(standing=[rule])))
    quoting = row._replace(turn=20, quote=b"user: My dog Rex is allergic to peanuts.\nassistant: Poor Rex.")
    assert 1 not in turns_of(found(told.turns, Path(rows=[quoting])))
    half = row._replace(turn=20, quote=b"user: My dog Rex is allergic to peanuts.\n~~~")
    quotation = found(told.turns, Path(rows=[half]))
    assert quotation is not None
    assert b"allergic to peanuts" not in quotation.text
    assert b"Poor Rex." in quotation.text


@pytest.mark.parametrize(
    ("early", "fits"),
    [
        ("Rex is a dog, big and brown and rather lazy in the mornings.", False),
        ("Rex is allergic to milk and to very much else.", True),
    ],
)
def test_beside_the_best_in_the_window_only_what_fits_nearly_as_well_is_quoted(
    early: str, fits: bool
) -> None:
    pairs = [(early, "Oh."), *PAIRS[1:]]
    assert turns_of(found(dialogue(*pairs).turns, before=18))[:1] == [1]
    told = dialogue(*pairs, PAIRS[0]).turns
    assert (1 in turns_of(found(told, before=18))) is fits
    assert 22 not in turns_of(found(told, before=18))


def test_a_speaker_is_found_by_name() -> None:
    named = {"role": "user", "content": "I love the sea, and the wide sky.", "name": "Ophelia"}
    turns = [said(1, named, {"role": "assistant", "content": "Nice."}, at=1e9)]
    turns += [replace(turn, at=1e9) for turn in dialogue(*PAIRS).turns[1:]]
    question = "What did Ophelia say she loves about the sea?"
    quotation = index_of(turns).quoted(question, 1e9, 22, Path(), LIMITS)
    assert quotation is not None
    assert b"Ophelia" in quotation.text
