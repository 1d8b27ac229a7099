"""What was recalled for a turn is kept with its input, and goes when what it quotes is withdrawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from multiturn.conversations import Turn, TurnState
from multiturn.messages import Trait
from multiturn.path import MessageRow, Source
from multiturn.storage import Partial, Reach, Start, Store
from multiturn.window import Quotation

from .talk import ALICE, answer, ask, assistant, begin, call, finish, held, result, texts, user

QUOTED, EXCLUDED, RETRACTED = int(Trait.QUOTED), int(Trait.EXCLUDED), int(Trait.RETRACTED)
BLOCK = "「第一轮」 u1 \0 \U0001f600".encode()
TOKENS = 7


def quote(*sources: tuple[int, int], text: bytes = BLOCK) -> Quotation:
    return Quotation(text, TOKENS, tuple(Source(turn, place, 0.5) for turn, place in sources))


async def quoting(store: Store, text: str, *sources: tuple[int, int], **start: Any) -> Turn:
    """A turn for which these messages were recalled."""
    lease = await begin(store, text, **start)
    return await finish(store, lease, assistant("ok"), quote=quote(*sources))


async def rows(store: Store, branch: int | None = None) -> list[MessageRow]:
    """The messages of the path, as history tells them: gathering must agree."""
    told = [one.row for one in await store.history(ALICE, "c", branch=branch)]
    path = await store.gather(ALICE, "c", Reach(), branch)
    if path.rows is None:
        assert list(path.bodies) == [row.body for row in told]
        assert list(path.quotes) == [(at, row.quote) for at, row in enumerate(told) if row.quote]
        assert all(row.traits in (0, QUOTED) for row in told)
    else:
        assert list(path.rows) == told
    figures = {turn.number: turn.tokens for turn in path.turns}
    for turn in await store.turns(ALICE, "c", branch=branch):
        mine = [row for row in told if row.turn == turn.number]
        assert figures[turn.number] == turn.tokens == sum(row.tokens for row in mine)
        assert bool(turn.traits & QUOTED) == any(row.quote is not None for row in mine)
    for row in told:
        assert bool(row.traits & QUOTED) == (row.quote is not None)
    return told


async def quoted(store: Store, branch: int | None = None) -> list[int]:
    """The turns whose input quotes something."""
    return [row.turn for row in await rows(store, branch) if row.quote is not None]


# ----------------------------------------------------------------------------------------- keeping


async def test_it_is_kept_with_the_input_and_counted_with_it(store: Store) -> None:
    await answer(store, 1)
    turn = await quoting(store, "what was that?", (1, 0))
    asked = user("what was that?")
    assert turn.tokens == asked.tokens + TOKENS + assistant("ok").tokens
    assert turn.traits & QUOTED
    row = (await rows(store))[2]
    assert row == MessageRow(
        turn=2,
        place=0,
        role="user",
        traits=QUOTED,
        tokens=asked.tokens + TOKENS,
        reasoning_tokens=0,
        body=asked.body,
        reasoning=None,
        model=None,
        quote=BLOCK,
    )
    assert [one.quote for one in await rows(store)] == [None, None, BLOCK, None]


async def test_what_was_found_carries_it_too(store: Store) -> None:
    await answer(store, 1)
    await quoting(store, "needle", (1, 0))
    (hit,) = await store.search(ALICE, "needle")
    assert hit.told.row.quote == BLOCK
    assert await store.search(ALICE, "第一轮") == [], "what is quoted was said elsewhere"


async def test_the_turn_being_answered_is_read_with_it(store: Store) -> None:
    """Its first step ended with open calls; the second one sends the same block again."""
    await answer(store, 1)
    lease = await begin(store, "u2")
    await finish(store, lease, call("x"), state=TurnState.WAITING, open_calls=("x",), quote=quote((1, 0)))
    lease = held(await store.begin(ALICE, "c", Start(entries=[result("x", "r")], results=("x",))))
    path = await store.gather(ALICE, "c", Reach(before=2, current=2))
    assert [row.quote for row in path.current] == [BLOCK, None, None]
    turn = await finish(store, lease, assistant("a2"), quote=quote((1, 0)))
    assert [row.quote for row in await rows(store)][2:] == [BLOCK, None, None, None]
    assert turn.tokens == sum(row.tokens for row in await rows(store) if row.turn == 2)


async def test_pinned_turns_keep_theirs_where_they_stand_apart(store: Store) -> None:
    await answer(store, 1)
    await quoting(store, "u2", (1, 0))
    await answer(store, 3, 4)
    await store.mark(ALICE, "c", 2, set=int(Trait.PINNED))
    path = await store.gather(ALICE, "c", Reach(turns=0))
    assert [(row.turn, row.quote) for row in path.standing] == [(2, BLOCK), (2, None)]


async def test_the_last_input_carries_it(store: Store) -> None:
    await answer(store, 1)
    lease = held(await store.begin(ALICE, "c", Start(entries=[user("one"), user("two")])))
    await finish(store, lease, assistant("ok"), quote=quote((1, 0)))
    assert [row.quote for row in await rows(store)][2:] == [None, BLOCK, None]


async def test_nothing_found_is_nothing_kept(store: Store) -> None:
    await answer(store, 1)
    lease = await begin(store, "u2")
    below = Quotation(below=Source(1, 0, 0.1), margin=0.3)
    await finish(store, lease, assistant("ok"), quote=below)
    assert await quoted(store) == []


async def test_a_long_window_counts_it(store: Store) -> None:
    """The reading stops where the tokens end, those of quotes included."""
    await answer(store, 1)
    await quoting(store, "u2", (1, 0))
    await answer(store, 3)
    tokens = sum(turn.tokens for turn in (await store.turns(ALICE, "c"))[1:])
    path = await store.gather(ALICE, "c", Reach(tokens=tokens - 1))
    assert [turn.number for turn in path.turns] == [3, 2]
    path = await store.gather(ALICE, "c", Reach(tokens=tokens))
    assert [turn.number for turn in path.turns] == [3, 2, 1]


# --------------------------------------------------------------------------------------- withdrawing


@pytest.mark.parametrize("trait", [RETRACTED, EXCLUDED])
async def test_withdrawing_a_turn_withdraws_what_quotes_it(store: Store, trait: int) -> None:
    await answer(store, 1, 2)
    await quoting(store, "u3", (1, 0))
    await quoting(store, "u4", (2, 1))
    await quoting(store, "u5", (1, 1), (2, 0))
    await store.mark(ALICE, "c", 1, set=trait)
    assert await quoted(store) == [4]
    await store.mark(ALICE, "c", 1, clear=trait)
    assert await quoted(store) == [4], "what is gone is gone"
    await store.mark(ALICE, "c", 2, set=trait)
    assert await quoted(store) == []


async def test_an_excluded_input_takes_its_turn_along(store: Store) -> None:
    await answer(store, 1)
    await quoting(store, "u2", (1, 1))
    await store.mark(ALICE, "c", 1, place=0, set=EXCLUDED)
    assert await quoted(store) == []


async def test_an_excluded_answer_goes_alone(store: Store) -> None:
    await answer(store, 1)
    await quoting(store, "u2", (1, 0))
    await quoting(store, "u3", (1, 1))
    await store.mark(ALICE, "c", 1, place=1, set=EXCLUDED)
    assert await quoted(store) == [2]


@pytest.mark.parametrize("trait", [int(Trait.PINNED), int(Trait.MODERATED)])
async def test_other_marks_withdraw_nothing(store: Store, trait: int) -> None:
    await answer(store, 1)
    await quoting(store, "u2", (1, 0))
    await store.mark(ALICE, "c", 1, set=trait)
    assert await quoted(store) == [2]


async def test_marking_the_turn_that_quotes_leaves_its_quote(store: Store) -> None:
    await answer(store, 1)
    await quoting(store, "u2", (1, 0))
    await store.mark(ALICE, "c", 2, set=EXCLUDED)
    await store.mark(ALICE, "c", 2, place=0, set=EXCLUDED, clear=QUOTED)
    await store.mark(ALICE, "c", 2, clear=QUOTED | EXCLUDED)
    assert await quoted(store) == [2]


@pytest.mark.parametrize("place", [None, 0])
async def test_what_was_withdrawn_meanwhile_is_not_kept(store: Store, place: int | None) -> None:
    """It was sent, but is not sent again."""
    await answer(store, 1, 2)
    lease = await begin(store, "u3")
    await store.mark(ALICE, "c", 1, place=place, set=RETRACTED if place is None else EXCLUDED)
    turn = await finish(store, lease, assistant("ok"), quote=quote((2, 0), (1, 1)))
    assert await quoted(store) == []
    assert turn.tokens == user("u3").tokens + assistant("ok").tokens


async def test_the_answer_excluded_meanwhile_is_not_kept(store: Store) -> None:
    await answer(store, 1)
    lease = await begin(store, "u2")
    await store.mark(ALICE, "c", 1, place=1, set=EXCLUDED)
    await finish(store, lease, assistant("ok"), quote=quote((1, 1)))
    assert await quoted(store) == []


async def test_the_answer_excluded_meanwhile_leaves_its_question(store: Store) -> None:
    await answer(store, 1)
    lease = await begin(store, "u2")
    await store.mark(ALICE, "c", 1, place=1, set=EXCLUDED)
    await finish(store, lease, assistant("ok"), quote=quote((1, 0)))
    assert await quoted(store) == [2]


# ------------------------------------------------------------------------------ repeated, shared


async def test_a_turn_that_is_repeated_quotes_nothing(store: Store) -> None:
    await answer(store, 1)
    lease = await begin(store, "u2")
    await store.append(lease, Partial("half"))
    await finish(store, lease, assistant("half"), state=TurnState.INCOMPLETE, quote=quote((1, 0)))
    assert await quoted(store) == [2]
    lease = held(await store.begin(ALICE, "c", Start(again=True)))
    assert await quoted(store) == []
    turn = await finish(store, lease, assistant("a2"))
    assert turn.tokens == user("u2").tokens + assistant("a2").tokens
    await store.mark(ALICE, "c", 1, set=RETRACTED)
    assert texts(await rows(store)) == ["u1", "a1", "u2", "a2"]


async def test_branches_share_it(store: Store) -> None:
    await answer(store, 1)
    await quoting(store, "u2", (1, 0))
    await answer(store, 3)
    await ask(store, "edited", "ok", after=2)
    assert await quoted(store) == [2]
    await store.mark(ALICE, "c", 1, set=RETRACTED)
    assert await quoted(store) == []
    assert await quoted(store, 0) == []


async def test_a_shared_turn_that_goes_on_apart_keeps_it(store: Store) -> None:
    """Its input is repeated in the branch, with what was recalled for it and what that quotes."""
    await answer(store, 1)
    lease = await begin(store, "u2")
    await finish(store, lease, call("x"), state=TurnState.WAITING, open_calls=("x",), quote=quote((1, 0)))
    branch = await store.fork(ALICE, "c", 2)
    start = Start(entries=[result("x", "r")], results=("x",), branch=branch)
    await finish(store, held(await store.begin(ALICE, "c", start)), assistant("a2"))
    assert await quoted(store) == [2]
    assert await quoted(store, branch) == [2]
    await store.mark(ALICE, "c", 1, set=RETRACTED)
    assert await quoted(store) == []
    assert await quoted(store, branch) == []


async def test_of_a_branch_what_it_quotes_is_on_its_own_path(store: Store) -> None:
    """Turn 2 of the branch is quoted, not turn 2 of the other one."""
    await answer(store, 1, 2)
    await ask(store, "edited", "ok", after=1)
    await quoting(store, "u3", (2, 0))
    await store.mark(ALICE, "c", 2, set=RETRACTED, branch=0)
    assert await quoted(store) == [3]
    await store.mark(ALICE, "c", 2, set=RETRACTED, branch=1)
    assert await quoted(store) == []


async def test_the_own_conversation_may_be_named(store: Store) -> None:
    """It is the path of the branch that is meant, not of the one in use."""
    await answer(store, 1, 2, 3)
    branch = await store.fork(ALICE, "c", 1)
    for number in (2, 3):
        await ask(store, f"e{number}", "ok", branch=branch)
    lease = await begin(store, "e4", branch=branch)
    source = Source(2, 0, 0.5, "c")
    await finish(store, lease, assistant("ok"), quote=Quotation(BLOCK, TOKENS, (source,)))
    await store.mark(ALICE, "c", 2, set=RETRACTED, branch=0)
    assert await quoted(store, branch) == [4]
    await store.mark(ALICE, "c", 2, set=RETRACTED, branch=branch)
    assert await quoted(store, branch) == []


# ----------------------------------------------------------------------------------------- deletion


async def test_deleting_takes_it_along(store: Store) -> None:
    await answer(store, 1)
    await quoting(store, "u2", (1, 0))
    await store.delete(ALICE, "c")
    await answer(store, 1)
    await ask(store, "u2", "ok")
    assert await quoted(store) == []


# --------------------------------------------------------------------------------- in later steps


async def waiting(store: Store, *sources: Source) -> Turn:
    """A turn for which these were recalled waits for the result of its call."""
    lease = await begin(store, "what was that?")
    quotation = Quotation(BLOCK, TOKENS, sources)
    return await finish(store, lease, call("x"), state=TurnState.WAITING, open_calls=("x",), quote=quotation)


async def current(store: Store, turn: int, branch: int | None = None) -> Sequence[Source]:
    path = await store.gather(ALICE, "c", Reach(before=turn, current=turn), branch)
    return path.sources


async def test_what_the_turn_being_answered_quotes_comes_with_it(store: Store) -> None:
    await answer(store, 1, 2, conversation="d")
    await answer(store, 1, 2, 3)
    of_other = Source(2, 0, 0.25, "d")
    turn = await waiting(store, Source(2, 1, 0.75), Source(1, 0, 0.5), of_other)
    assert list(await current(store, turn.number)) == [
        Source(2, 0, 0.25, "d"),
        Source(1, 0, 0.5, None, 0),
        Source(2, 1, 0.75, None, 3),
    ]
    assert (await store.gather(ALICE, "c", Reach(before=turn.number))).sources == ()
    await store.mark(ALICE, "c", 1, set=RETRACTED)
    assert await current(store, turn.number) == ()


async def test_a_turn_that_goes_on_elsewhere_takes_along_what_it_quotes(store: Store) -> None:
    await answer(store, 1, 2)
    turn = await waiting(store, Source(2, 1, 0.75))
    number = await store.fork(ALICE, "c", turn.number)
    begun = await store.begin(ALICE, "c", Start([result("x", "r")], results=("x",), branch=number))
    assert held(begun).branch == number
    assert list(await current(store, turn.number, number)) == [Source(2, 1, 0.75, None, 3)]
