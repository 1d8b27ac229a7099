"""What was said stays as it was said: imports, marks, bytes, search."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from multiturn.conversations import Address, Declared, Owner, TurnState
from multiturn.errors import ConversationNotFound, TurnNotFound
from multiturn.messages import Entry, Trait
from multiturn.storage import Reach, Start, Store

from .talk import ALICE, answer, ask, assistant, begin, call, entry, finish, held, result, said, system, user


async def test_whole_turns_are_added(store: Store) -> None:
    told = await store.add(ALICE, "c", [[user("u1"), assistant("a1")], [user("u2")]], Declared(model="demo"))
    assert [(t.row.turn, t.row.place, t.row.role) for t in told] == [
        (1, 0, "user"),
        (1, 1, "assistant"),
        (2, 0, "user"),
    ]
    assert list(told) == list(await store.history(ALICE, "c"))
    assert [turn.state for turn in await store.turns(ALICE, "c")] == [TurnState.COMPLETED] * 2
    assert (await store.conversation(ALICE, "c")).settings.model == "demo"


async def test_nothing_is_added(store: Store) -> None:
    assert list(await store.add(ALICE, "c", [])) == []
    assert list(await store.add(ALICE, "c", [[], []])) == []
    assert list(await store.history(ALICE, "c")) == []


async def test_an_answer_goes_on_with_the_newest_turn(store: Store) -> None:
    await store.add(ALICE, "c", [[user("u1")]])
    told = await store.add(ALICE, "c", [[assistant("a1")], [user("u2"), assistant("a2")]])
    assert [(t.row.turn, t.row.place) for t in told] == [(1, 1), (2, 0), (2, 1)]
    assert list(told) == list(await store.history(ALICE, "c"))[1:]
    assert [turn.traits for turn in await store.turns(ALICE, "c")] == [0, 0]
    assert (await store.conversation(ALICE, "c")).messages == 4


async def test_an_answer_without_any_turn_is_a_turn(store: Store) -> None:
    await store.add(ALICE, "c", [[assistant("welcome")]])
    assert [(turn.number, turn.messages) for turn in await store.turns(ALICE, "c")] == [(1, 1)]
    await store.add(ALICE, "c", [[assistant("and again")]])
    (turn,) = await store.turns(ALICE, "c")
    assert (turn.messages, turn.traits) == (2, Trait.IRREGULAR)


async def test_instructions_begin_a_turn(store: Store) -> None:
    await answer(store, 1)
    await store.add(ALICE, "c", [[system("s"), user("u2"), assistant("a2")]])
    turn = (await store.turns(ALICE, "c"))[1]
    assert turn.traits == Trait.INSTRUCTION | Trait.IRREGULAR


async def test_adding_completes_what_it_goes_on_with(store: Store) -> None:
    lease = await begin(store, "u1")
    await finish(store, lease, call("x"), state=TurnState.WAITING, open_calls=("x",))
    await store.add(ALICE, "c", [[result("x", "r"), assistant("a1")]])
    (turn,) = await store.turns(ALICE, "c")
    assert (turn.state, turn.open_calls, turn.messages) == (TurnState.COMPLETED, (), 4)
    assert not turn.traits & Trait.OPEN
    await finish(store, await begin(store, "u2"), state=TurnState.FAILED, error="rate_limited")
    await store.add(ALICE, "c", [[assistant("a2")]])
    turn = (await store.turns(ALICE, "c"))[1]
    assert (turn.state, turn.error, turn.traits) == (TurnState.COMPLETED, None, 0)


async def test_adding_completes_a_turn_that_waits_and_goes_on(store: Store) -> None:
    lease = await begin(store, "u1")
    await finish(store, lease, call("x"), state=TurnState.WAITING, open_calls=("x",))
    await store.add(ALICE, "c", [[result("x", "r"), assistant("a1")], [user("u2"), assistant("a2")]])
    assert [turn.state for turn in await store.turns(ALICE, "c")] == [TurnState.COMPLETED] * 2


async def test_adding_a_turn_closes_one_that_waits(store: Store) -> None:
    lease = await begin(store, "u1")
    await finish(store, lease, call("x"), state=TurnState.WAITING, open_calls=("x",))
    await answer(store, 2)
    first = (await store.turns(ALICE, "c"))[0]
    assert (first.state, first.open_calls) == (TurnState.INCOMPLETE, ())
    assert first.traits & Trait.STOPPED


async def test_calls_that_are_added_wait_for_their_results(store: Store) -> None:
    await store.add(ALICE, "c", [[user("u1"), call("z"), result("z", "0"), call("x", "y")]])
    [turn] = await store.turns(ALICE, "c")
    assert (turn.state, turn.open_calls) == (TurnState.WAITING, ("x", "y"))
    assert turn.traits & Trait.OPEN
    await store.add(ALICE, "c", [[result("x", "1")]])
    [turn] = await store.turns(ALICE, "c")
    assert (turn.state, turn.open_calls) == (TurnState.WAITING, ("y",))
    lease = held(await store.begin(ALICE, "c", Start([result("y", "2")], results=("y",))))
    assert lease.step == 2
    await finish(store, lease, assistant("a1"))
    [turn] = await store.turns(ALICE, "c")
    assert (turn.state, turn.messages) == (TurnState.COMPLETED, 7)
    assert not turn.traits & Trait.OPEN


async def test_calls_that_are_added_with_their_results_wait_for_nothing(store: Store) -> None:
    await store.add(ALICE, "c", [[user("u1"), call("x")], [user("u2"), call("y"), result("y", "1")]])
    assert [turn.state for turn in await store.turns(ALICE, "c")] == [TurnState.COMPLETED] * 2
    await store.add(ALICE, "d", [[user("u1"), call("x")]])
    await store.add(ALICE, "d", [[result("x", "1")]])
    assert [turn.state for turn in await store.turns(ALICE, "d")] == [TurnState.COMPLETED]


async def test_facts_come_back(store: Store) -> None:
    facts = orjson.dumps({"id": "msg-7", "created_at": 1700000000.25, "model": "kimi/k2"})
    only_model = orjson.dumps({"model": "kimi/k2"})
    plain = assistant("a")
    await store.add(
        ALICE,
        "c",
        [
            [user("u")._replace(facts=b'{"id":"own"}'), plain._replace(facts=facts)],
            [plain._replace(facts=only_model)],
        ],
    )
    told = await store.history(ALICE, "c")
    assert [t.row.model for t in told] == [None, "kimi/k2", "kimi/k2"]
    assert told[0].facts == b'{"id":"own"}'
    assert orjson.loads(told[1].facts or b"") == {"id": "msg-7", "created_at": 1700000000.25}
    assert told[2].facts is None
    assert (await store.turns(ALICE, "c"))[0].model == "kimi/k2"


async def test_a_message_is_found_by_the_id_it_brought(store: Store) -> None:
    await answer(store, 1)
    await store.add(
        ALICE,
        "c",
        [[user("u"), assistant("a")._replace(facts=b'{"id":"own"}')]],
    )
    ulid = (await store.conversation(ALICE, "c")).ulid
    assert await store.locate(ALICE, "c", "own") == Address(ulid, 0, 2, 1)
    await store.fork(ALICE, "c", 1)
    await store.switch(ALICE, "c", 1)
    await store.add(ALICE, "c", [[user("u")._replace(facts=b'{"id":"own"}')]])
    assert await store.locate(ALICE, "c", "own") == Address(ulid, 1, 2, 0)
    for owner, conversation, message in (
        (ALICE, "c", "other"),
        (ALICE, "c2", "own"),
        (Owner("shop", "bob"), "c", "own"),
    ):
        with pytest.raises((TurnNotFound, ConversationNotFound)):
            await store.locate(owner, conversation, message)


async def test_part_of_the_history(store: Store) -> None:
    await answer(store, 1, 2, 3, 4)
    await ask(store, "e4", "b4", after=3)

    async def turns(**which: object) -> list[int]:
        told = await store.history(ALICE, "c", **which)  # type: ignore[arg-type]  # by their names
        return sorted({t.row.turn for t in told})

    assert await turns() == [1, 2, 3, 4]
    assert await turns(after=2) == [3, 4]
    assert await turns(after=4) == []
    assert await turns(limit=2) == [1, 2]
    assert await turns(limit=0) == []
    assert await turns(after=1, limit=2) == [2, 3]
    assert await turns(after=2, limit=9) == [3, 4]
    newest = await store.turns(ALICE, "c", limit=2, newest=True)
    assert [(turn.branch, turn.number) for turn in newest] == [(0, 3), (1, 4)]
    assert [turn.number for turn in await store.turns(ALICE, "c", after=1, limit=2)] == [2, 3]
    assert [turn.number for turn in await store.turns(ALICE, "c", after=3, limit=9, newest=True)] == [4]
    assert list(await store.turns(ALICE, "c", after=9)) == []


# ------------------------------------------------------------------------------------------- bytes

BODIES = [
    b'{"role":"user","content":"\\u0000"}',
    '{"role":"user","content":"👩‍👩‍👧 \u2028 e\u0301"}'.encode(),
    b'{"role":"user","content":1.0e2, "x" :  [1e400,18446744073709551616],"x":2}',
    b"not even JSON \x00\xff\xfe",
    b"",
    b'{"role":"user","content":"' + b"x" * 4_000_000 + b'"}',
]


@pytest.mark.parametrize("body", BODIES, ids=["nul", "emoji", "odd json", "bytes", "empty", "4 MB"])
async def test_bytes_come_back_as_they_went_in(store: Store, body: bytes) -> None:
    answered = Entry("assistant", 0, 1, body)
    thinking = Entry("assistant", int(Trait.REASONING), 1, body, body, 1, b'{"created_at":1e3}')
    await store.add(ALICE, "c", [[Entry("user", 0, 1, body), answered]])
    path = await store.gather(ALICE, "c", Reach())
    assert list(path.bodies) == [body, body]
    begun = await store.begin(ALICE, "c", Start(entries=[Entry("user", 0, 1, body)]))
    await finish(store, held(begun), thinking)
    path = await store.gather(ALICE, "c", Reach())
    assert path.rows is not None
    assert [row.body for row in path.rows] == [body] * 4
    assert path.rows[3].reasoning == body
    told = await store.history(ALICE, "c")
    assert told[3].facts == b'{"created_at":1e3}'
    assert [row.body for row in (t.row for t in told)] == [body] * 4


async def test_no_reasoning_differs_from_empty_reasoning(store: Store) -> None:
    empty = assistant("a")._replace(traits=int(Trait.REASONING), reasoning=b"")
    await store.add(ALICE, "c", [[user("u"), assistant("a")], [user("u"), empty]])
    assert [t.row.reasoning for t in await store.history(ALICE, "c")] == [None, None, None, b""]


ENTRIES = st.builds(
    Entry,
    role=st.sampled_from(["user", "assistant", "tool", "system", "developer"]),
    traits=st.integers(0, (1 << 18) - 1),
    tokens=st.integers(0, 1 << 40),
    body=st.binary(max_size=300),
    reasoning=st.none() | st.binary(max_size=50),
    reasoning_tokens=st.integers(0, 1 << 40),
    facts=st.none(),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(groups=st.lists(st.lists(ENTRIES, min_size=1, max_size=6), min_size=1, max_size=6))
async def test_entries_come_back_as_they_went_in(store: Store, groups: list[list[Entry]]) -> None:
    await store.delete_user(ALICE)
    await store.add(ALICE, "c", groups)
    expected = [tuple(e[:6]) for group in groups for e in group]
    rows = [told.row for told in await store.history(ALICE, "c")]
    assert [(r.role, r.traits, r.tokens, r.body, r.reasoning, r.reasoning_tokens) for r in rows] == expected
    path = await store.gather(ALICE, "c", Reach())
    assert sum(turn.messages for turn in path.turns) == len(expected)
    if path.rows is None:
        assert list(path.bodies) == [entry[3] for entry in expected]
    else:
        assert list(path.rows) == rows


# ------------------------------------------------------------------------------------------- marks


async def test_marks_of_turns_and_messages(store: Store) -> None:
    await store.add(ALICE, "c", [[user("u1"), entry("assistant", "a1", int(Trait.EXTRA))]])
    await answer(store, 2)

    async def traits(turn: int) -> tuple[int, list[int]]:
        rows = [t.row for t in await store.history(ALICE, "c") if t.row.turn == turn]
        return (await store.turns(ALICE, "c"))[turn - 1].traits, [row.traits for row in rows]

    extra, excluded, pinned = int(Trait.EXTRA), int(Trait.EXCLUDED), int(Trait.PINNED)
    assert await traits(1) == (extra, [0, extra])
    await store.mark(ALICE, "c", 1, place=1, set=excluded)
    assert await traits(1) == (extra | excluded, [0, extra | excluded])
    await store.mark(ALICE, "c", 1, set=pinned)
    assert await traits(1) == (extra | excluded | pinned, [0, extra | excluded])
    await store.mark(ALICE, "c", 1, place=1, clear=excluded)
    assert await traits(1) == (extra | pinned, [0, extra])
    await store.mark(ALICE, "c", 1, set=excluded, clear=pinned)
    await store.mark(ALICE, "c", 1, place=0, clear=excluded)
    assert await traits(1) == (extra | excluded, [0, extra])
    await store.mark(ALICE, "c", 1, clear=excluded)
    assert await traits(1) == (extra, [0, extra])
    assert await traits(2) == (0, [0, 0])


async def test_a_reason_is_kept(store: Store) -> None:
    await answer(store, 1)
    await store.mark(ALICE, "c", 1, set=int(Trait.RETRACTED), reason="a slip")
    await store.mark(ALICE, "c", 1, set=int(Trait.PINNED))
    (turn,) = await store.turns(ALICE, "c")
    assert turn.reason == "a slip"
    assert turn.traits == Trait.RETRACTED | Trait.PINNED


async def test_marking_what_is_not_there(store: Store) -> None:
    await answer(store, 1)
    for turn, place in ((2, None), (0, None), (1, 2), (1, -1)):
        with pytest.raises(TurnNotFound):
            await store.mark(ALICE, "c", turn, place=place, set=1)
    with pytest.raises(ConversationNotFound):
        await store.mark(Owner("shop", "bob"), "c", 1, set=1)
    assert (await store.turns(ALICE, "c"))[0].traits == 0


async def test_a_mark_survives_the_end_of_its_turn(store: Store) -> None:
    lease = await begin(store, "u1")
    await store.mark(ALICE, "c", 1, set=int(Trait.PINNED))
    await store.mark(ALICE, "c", 1, place=0, set=int(Trait.EXCLUDED))
    turn = await finish(store, lease, assistant("a1"))
    assert turn.traits == Trait.PINNED | Trait.EXCLUDED


async def test_a_pin_survives_a_repetition(store: Store) -> None:
    await finish(store, await begin(store, "u1"), assistant("x"), state=TurnState.INCOMPLETE)
    await store.mark(ALICE, "c", 1, set=int(Trait.PINNED))
    await store.mark(ALICE, "c", 1, place=1, set=int(Trait.EXCLUDED))
    begun = await store.begin(ALICE, "c", Start(again=True))
    assert begun.turn.traits == Trait.PINNED | Trait.IRREGULAR
    assert (await finish(store, held(begun), assistant("y"))).traits == Trait.PINNED


# ------------------------------------------------------------------------------------------ search


async def test_words_are_found(store: Store) -> None:
    await ask(store, "Where is the Phone shop?", "in Main Street")
    await ask(store, "我想买手机", "好的", "d")
    await ask(store, "phone again", "yes, PHONES", "d")
    hits = await store.search(ALICE, "phone")
    assert [(hit.conversation, hit.told.row.turn, hit.told.row.place) for hit in hits] == [
        ("d", 2, 1),
        ("d", 2, 0),
        ("c", 1, 0),
    ]
    assert hits[2].told == (await store.history(ALICE, "c"))[0]
    assert [hit.conversation for hit in await store.search(ALICE, "手机")] == ["d"]
    assert [hit.conversation for hit in await store.search(ALICE, "phone", conversation="c")] == ["c"]
    assert len(await store.search(ALICE, "phone", limit=1)) == 1
    assert list(await store.search(ALICE, "nowhere")) == []
    assert list(await store.search(ALICE, "%")) == []
    assert list(await store.search(ALICE, "_hone")) == []


async def test_every_branch_is_searched(store: Store) -> None:
    await answer(store, 1, 2)
    await ask(store, "edited", "ok", after=1)
    hit = (await store.search(ALICE, "u2"))[0]
    parsed = Address.parse(hit.told.id)
    assert parsed is not None
    assert (parsed.branch, parsed.turn, parsed.place) == (0, 2, 0)
    assert len(await store.search(ALICE, "u1")) == 1
    assert await said(store) == ["u1", "a1", "edited", "ok"]


async def test_only_ones_own_is_searched(store: Store) -> None:
    await ask(store, "secret", "ok", "a", ALICE)
    await ask(store, "secret", "ok", "b", Owner("shop", "bob"))
    await ask(store, "secret", "ok", "a", Owner("other", "alice"))
    assert [hit.conversation for hit in await store.search(ALICE, "secret")] == ["a"]
    everybody = await store.search(Owner("shop", None), "secret")
    assert sorted(hit.conversation for hit in everybody) == ["a", "b"]
    with pytest.raises(ConversationNotFound):
        await store.search(ALICE, "secret", conversation="b")
