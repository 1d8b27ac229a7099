"""What a window may be built from: bounds, cuts, and what stands before the range."""

from __future__ import annotations

import pytest

from multiturn.conversations import DECLARABLE, Declared, Owner, Settings, TurnState
from multiturn.errors import ConversationError, ConversationNotFound, TurnNotFound
from multiturn.messages import Entry, Trait
from multiturn.path import Cut, Path
from multiturn.storage import Reach, Start, Store

from .talk import (
    ALICE,
    answer,
    ask,
    assistant,
    begin,
    bodies,
    call,
    entry,
    finish,
    result,
    system,
    texts,
    user,
)


def numbers(path: Path) -> list[int]:
    return [turn.number for turn in path.turns]


async def test_nothing_is_there_yet(store: Store) -> None:
    assert await store.gather(ALICE, "c", Reach()) == Path()
    await store.declare(ALICE, "c", Declared(model="m"))
    path = await store.gather(ALICE, "c", Reach())
    assert path.settings == Settings(model="m", version=1)
    assert (len(path.turns), len(path.bodies), path.rows) == (0, 0, None)
    assert (path.earlier_turns, path.earlier_messages) == (0, 0)


async def test_ordinary_turns_come_as_bodies(store: Store) -> None:
    await answer(store, 1, 2)
    path = await store.gather(ALICE, "c", Reach())
    assert path.rows is None
    assert bodies(path.bodies) == ["u1", "a1", "u2", "a2"]
    assert [tuple(turn) for turn in path.turns] == [(2, 3, 0, 6, 0, 2), (1, 3, 0, 6, 0, 2)]
    assert path.turns[0].number == 2
    assert (path.earlier_turns, path.earlier_messages, path.branch) == (0, 0, 0)


@pytest.mark.parametrize(
    ("reach", "read"),
    [
        (Reach(), [6, 5, 4, 3, 2, 1]),
        (Reach(turns=2), [6, 5, 4]),
        (Reach(turns=0), [6]),
        (Reach(turns=5), [6, 5, 4, 3, 2, 1]),
        (Reach(turns=9), [6, 5, 4, 3, 2, 1]),
        (Reach(messages=4), [6, 5, 4]),
        (Reach(messages=3), [6, 5]),
        (Reach(messages=0), [6]),
        (Reach(tokens=12), [6, 5, 4]),
        (Reach(tokens=11), [6, 5]),
        (Reach(tokens=0), [6]),
        (Reach(tokens=11, messages=2, turns=4), [6, 5]),
        (Reach(before=4), [3, 2, 1]),
        (Reach(before=4, turns=1), [3, 2]),
        (Reach(before=1), []),
        (Reach(before=99, turns=0), [6]),
    ],
)
@pytest.mark.parametrize("odd", [None, 1, 3, 6])
async def test_whole_turns_until_one_passes_a_bound(
    store: Store, reach: Reach, read: list[int], odd: int | None
) -> None:
    await answer(store, 1, 2, 3, 4, 5, 6)
    if odd:
        await store.mark(ALICE, "c", odd, set=int(Trait.STOPPED))
    path = await store.gather(ALICE, "c", reach)
    assert numbers(path) == read
    words = [word for number in reversed(read) for word in (f"u{number}", f"a{number}")]
    assert (texts(path.rows) if path.rows is not None else bodies(path.bodies)) == words
    assert (path.rows is None) is (odd not in read)
    last = read[-1] - 1 if read else 0
    assert (path.earlier_turns, path.earlier_messages) == (last, 2 * last)


async def test_reasoning_counts_towards_the_bound(store: Store) -> None:
    thinking = Entry("assistant", int(Trait.REASONING), 3, assistant("a").body, b"hm", 50)
    await store.add(ALICE, "c", [[user("u"), assistant("a")], [user("u"), thinking], [user("u"), thinking]])
    assert numbers(await store.gather(ALICE, "c", Reach(tokens=60))) == [3, 2]
    assert numbers(await store.gather(ALICE, "c", Reach(tokens=200))) == [3, 2, 1]
    path = await store.gather(ALICE, "c", Reach(turns=0))
    assert path.rows is not None
    assert (path.rows[1].reasoning, path.rows[1].reasoning_tokens) == (b"hm", 50)
    assert path.turns[0].reasoning_tokens == 50


async def test_anything_unusual_comes_as_rows(store: Store) -> None:
    await answer(store, 1)
    await store.add(ALICE, "c", [[user("u2"), call("x"), result("x", "r"), assistant("a2")]])
    await answer(store, 3)
    path = await store.gather(ALICE, "c", Reach())
    assert path.rows is not None
    assert [(row.turn, row.place, row.role) for row in path.rows] == [
        (1, 0, "user"),
        (1, 1, "assistant"),
        (2, 0, "user"),
        (2, 1, "assistant"),
        (2, 2, "tool"),
        (2, 3, "assistant"),
        (3, 0, "user"),
        (3, 1, "assistant"),
    ]
    newest = await store.gather(ALICE, "c", Reach(turns=0))
    assert newest.rows is None
    assert newest.earlier_messages == 6


async def test_a_turn_that_did_not_complete_comes_as_rows(store: Store) -> None:
    await answer(store, 1)
    await finish(store, await begin(store, "u2"), assistant("a2"), state=TurnState.INCOMPLETE)
    path = await store.gather(ALICE, "c", Reach())
    assert path.rows is not None
    assert path.turns[0].state == TurnState.INCOMPLETE


async def test_the_turn_being_answered_is_apart(store: Store) -> None:
    await answer(store, 1, 2)
    lease = await begin(store, "new")
    path = await store.gather(ALICE, "c", Reach(before=lease.turn, current=lease.turn), lease.branch)
    assert path.rows is None
    assert numbers(path) == [2, 1]
    assert texts(path.current) == ["new"]
    with pytest.raises(TurnNotFound):
        await store.gather(ALICE, "c", Reach(current=9))
    with pytest.raises(TurnNotFound):
        await store.gather(ALICE, "c", Reach(current=0))


async def test_settings_come_along(store: Store) -> None:
    declared = Declared(
        instructions=(b'{"role":"system","content":"\\u0000 \xf0\x9f\x98\x80"}', b'{"role":"developer"}'),
        opening="Hi!",
        policy={"budget": 8000, "summarize": None, "low": 0.5},
        model="qwen/qwen-plus",
        memory="alice/daiyu",
    )
    await store.begin(ALICE, "c", Start(entries=[user("a")], declared=declared))
    settings = (await store.gather(ALICE, "c", Reach())).settings
    for name in DECLARABLE:
        assert getattr(settings, name) == getattr(declared, name), name
        assert getattr(declared, name) is not None, f"{name} is not tried here"
    assert settings.version == 1


async def test_somebody_elses_is_refused(store: Store) -> None:
    await answer(store, 1)
    with pytest.raises(ConversationNotFound):
        await store.gather(Owner("shop", "bob"), "c", Reach())
    assert await store.gather(Owner("other", "alice"), "c", Reach()) == Path()
    assert numbers(await store.gather(Owner("shop", None), "c", Reach())) == [1]
    with pytest.raises(ConversationError):
        await store.gather(ALICE, "c", Reach(), 5)


# -------------------------------------------------------------------------------------------- cuts


async def cut_at(store: Store, turn: int, key: str = "k") -> None:
    await finish(store, await begin(store, "cut"), assistant("ok"), cut=Cut(turn, key))


async def test_nothing_before_a_cut_is_read(store: Store) -> None:
    await answer(store, 1, 2, 3, 4)
    await cut_at(store, 3)
    path = await store.gather(ALICE, "c", Reach(key="k"))
    assert path.cut == Cut(3, "k")
    assert numbers(path) == [5, 4, 3]
    assert (path.earlier_turns, path.earlier_messages) == (2, 4)
    assert numbers(await store.gather(ALICE, "c", Reach(key="k", turns=0))) == [5]


async def test_a_cut_of_another_policy_does_not_hold(store: Store) -> None:
    await answer(store, 1, 2)
    await cut_at(store, 2)
    path = await store.gather(ALICE, "c", Reach(key="other"))
    assert path.cut == Cut(2, "k")
    assert numbers(path) == [3, 2, 1]


async def test_a_cut_is_kept_until_another_comes(store: Store) -> None:
    await answer(store, 1, 2)
    await cut_at(store, 2)
    await ask(store, "a", "b")
    assert (await store.gather(ALICE, "c", Reach())).cut == Cut(2, "k")
    await cut_at(store, 4, "k2")
    assert (await store.gather(ALICE, "c", Reach())).cut == Cut(4, "k2")


async def test_a_cut_at_the_turn_being_answered_leaves_nothing_to_read(store: Store) -> None:
    await answer(store, 1, 2)
    await cut_at(store, 4)
    lease = await begin(store, "new")
    path = await store.gather(ALICE, "c", Reach(key="k", before=lease.turn, current=lease.turn))
    assert numbers(path) == []
    assert bodies(path.bodies) == []
    assert texts(path.current) == ["new"]
    assert (path.earlier_turns, path.earlier_messages) == (3, 6)


async def test_a_branch_keeps_a_cut_on_the_part_it_shares(store: Store) -> None:
    await answer(store, 1, 2, 3)
    await cut_at(store, 3)
    await ask(store, "edited", "x", after=3)
    path = await store.gather(ALICE, "c", Reach(key="k"))
    assert path.cut == Cut(3, "k")
    assert numbers(path) == [4, 3]
    assert (path.earlier_turns, path.earlier_messages) == (2, 4)
    await ask(store, "edited", "x", after=1, branch=0)
    path = await store.gather(ALICE, "c", Reach(key="k"))
    assert path.cut is None
    assert numbers(path) == [2, 1]


# ---------------------------------------------------------------------------- what stands before


async def test_pins_and_instructions_before_the_range(store: Store) -> None:
    await answer(store, 1)
    await store.add(ALICE, "c", [[system("be brief"), user("u2"), assistant("a2")]])
    await answer(store, 3, 4, 5)
    await store.mark(ALICE, "c", 3, set=int(Trait.PINNED))
    path = await store.gather(ALICE, "c", Reach(turns=0))
    assert numbers(path) == [5]
    assert path.rows is None
    assert texts(path.standing) == ["be brief", "u3", "a3"]
    assert [(row.turn, row.place) for row in path.standing] == [(2, 0), (3, 0), (3, 1)]
    assert list(path.standing_at) == [2, 5, 6]
    assert (path.earlier_turns, path.earlier_messages) == (4, 9)
    whole = await store.gather(ALICE, "c", Reach())
    assert list(whole.standing) == []
    await store.mark(ALICE, "c", 3, clear=int(Trait.PINNED))
    assert texts((await store.gather(ALICE, "c", Reach(turns=0))).standing) == ["be brief"]


async def test_a_pinned_turn_that_may_not_be_sent_does_not_stand(store: Store) -> None:
    await answer(store, 1, 2, 3)
    await finish(store, await begin(store, "u4"), state=TurnState.FAILED)
    await finish(store, await begin(store, "u5"), assistant("a5"), state=TurnState.INCOMPLETE)
    stopped = await begin(store, "u6")
    await finish(store, stopped, assistant("a6"), state=TurnState.INCOMPLETE, traits=int(Trait.STOPPED))
    await store.add(ALICE, "c", [[system("stay"), user("u7"), assistant("a7")]])
    await answer(store, 8, 9)
    for turn in range(1, 9):
        await store.mark(ALICE, "c", turn, set=int(Trait.PINNED))
    await store.mark(ALICE, "c", 1, set=int(Trait.RETRACTED))
    await store.mark(ALICE, "c", 2, place=0, set=int(Trait.EXCLUDED))
    await store.mark(ALICE, "c", 3, place=1, set=int(Trait.EXCLUDED))
    await store.mark(ALICE, "c", 7, set=int(Trait.MODERATED))
    path = await store.gather(ALICE, "c", Reach(turns=0))
    assert texts(path.standing) == ["u3", "a3", "u6", "a6", "stay", "u8", "a8"]
    await store.mark(ALICE, "c", 8, set=int(Trait.EXCLUDED))
    path = await store.gather(ALICE, "c", Reach(turns=0))
    assert texts(path.standing) == ["u3", "a3", "u6", "a6", "stay"]


async def test_what_stands_on_a_shared_part_stands_on_the_branch(store: Store) -> None:
    await answer(store, 1, 2, 3)
    await store.mark(ALICE, "c", 1, set=int(Trait.PINNED))
    await store.mark(ALICE, "c", 3, set=int(Trait.PINNED))
    await ask(store, "edited", "x", after=2)
    await answer(store, 4)
    path = await store.gather(ALICE, "c", Reach(turns=0))
    assert texts(path.standing) == ["u1", "a1"]
    await store.mark(ALICE, "c", 3, set=int(Trait.PINNED))
    path = await store.gather(ALICE, "c", Reach(turns=0))
    assert texts(path.standing) == ["u1", "a1", "edited", "x"]
    assert list(path.standing_at) == [0, 1, 4, 5]


async def test_instructions_of_the_running_turn_count(store: Store) -> None:
    await store.begin(ALICE, "c", Start(entries=[system("s"), user("u")], hold=0.01))
    await answer(store, 2)
    await answer(store, 3)
    path = await store.gather(ALICE, "c", Reach(turns=0))
    assert texts(path.standing) == ["s"]


async def test_many_turns(store: Store) -> None:
    await store.add(ALICE, "c", [[user(f"u{n}"), assistant(f"a{n}")] for n in range(1, 1001)])
    path = await store.gather(ALICE, "c", Reach(messages=160))
    assert numbers(path) == list(range(1000, 919, -1))
    assert bodies(path.bodies)[0] == "u920"
    assert (path.earlier_turns, path.earlier_messages) == (919, 1838)
    odd = entry("assistant", "a", int(Trait.EXTRA))
    await store.add(ALICE, "c", [[user("u"), odd]])
    path = await store.gather(ALICE, "c", Reach(messages=160))
    assert path.rows is not None
    assert len(path.rows) == 162
