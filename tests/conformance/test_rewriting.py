"""What is deleted is gone for good, from windows, searches, quotations and summaries; no number changes."""

from __future__ import annotations

import asyncio

import orjson
import pytest

from multiturn.conversations import Owner, Step, Summary, TurnState
from multiturn.errors import ConversationNotFound, ToolCallUnknown, TurnNotFound
from multiturn.messages import Entry, Trait
from multiturn.path import Source
from multiturn.search.terms import query
from multiturn.storage import Ending, Reach, Start, Store
from multiturn.window import Quotation

from .talk import ALICE, answer, ask, assistant, begin, call, entry, finish, held, result, said, texts, user

BOB = Owner("shop", "bob")
GONE = int(Trait.EXCLUDED | Trait.DELETED | Trait.BARE)


def blank(role: str, **fields: object) -> Entry:
    return entry(role, None, GONE, **fields)._replace(tokens=0)


async def test_a_message_is_replaced_in_its_place(store: Store) -> None:
    await answer(store, 1, 2)
    before = await store.history(ALICE, "c")
    await store.rewrite(ALICE, "c", 1, {1: assistant("other")})
    after = await store.history(ALICE, "c")
    assert texts([told.row for told in after]) == ["u1", "other", "u2", "a2"]
    assert [told.id for told in after] == [told.id for told in before]
    assert await said(store) == ["u1", "other", "u2", "a2"]
    assert [turn.tokens for turn in await store.turns(ALICE, "c")] == [3 + 6, 6]
    await store.rewrite(ALICE, "c", 1, {0: blank("user"), 1: blank("assistant")})
    assert await said(store) == [None, None, "u2", "a2"]
    [first, second] = await store.turns(ALICE, "c")
    assert (first.tokens, first.messages, second.tokens) == (0, 2, 6)
    assert first.traits & Trait.EXCLUDED
    assert not second.traits


async def test_reasoning_facts_and_traits_are_those_of_what_is_left(store: Store) -> None:
    whole = Entry("assistant", int(Trait.REASONING), 5, b'{"role":"assistant","content":"a"}', b"hm", 3)
    named = whole._replace(facts=orjson.dumps({"id": "own", "model": "m", "item_ids": ["one", None]}))
    await store.add(ALICE, "c", [[user("u"), named]])
    left = assistant("a")._replace(facts=b'{"item_ids":["two"]}')
    await store.rewrite(ALICE, "c", 1, {1: left})
    told = (await store.history(ALICE, "c"))[1]
    assert (told.row.reasoning, told.row.reasoning_tokens, told.row.traits) == (None, 0, 0)
    assert (told.facts, told.row.model) == (b'{"item_ids":["two"]}', "m")
    assert (await store.locate(ALICE, "c", "two")).place == 1
    assert (await store.turns(ALICE, "c"))[0].traits == 0


async def test_what_a_user_marked_by_hand_stays_marked(store: Store) -> None:
    await answer(store, 1)
    await store.mark(ALICE, "c", 1, set=int(Trait.PINNED))
    await store.mark(ALICE, "c", 1, place=1, set=int(Trait.EXCLUDED))
    await store.rewrite(ALICE, "c", 1, {1: assistant("x")})
    assert (await store.history(ALICE, "c"))[1].row.traits == Trait.EXCLUDED
    assert (await store.turns(ALICE, "c"))[0].traits == Trait.PINNED | Trait.EXCLUDED


async def test_it_is_found_no_more(store: Store) -> None:
    await store.add(ALICE, "c", [[user("my zebra is called Zoe"), assistant("noted")]])
    await answer(store, *range(2, 60))
    found = await store.recall(ALICE, "c", query("zebra Zoe", now=0))
    assert found[0].told.row.turn == 1
    await store.rewrite(ALICE, "c", 1, {0: blank("user")})
    found = await store.recall(ALICE, "c", query("zebra Zoe", now=0))
    assert 1 not in [one.told.row.turn for one in found]
    assert await store.search(ALICE, "zebra") == []
    assert (await store.conversation(ALICE, "c")).title == ""


async def test_it_is_found_by_what_it_says_now(store: Store) -> None:
    await store.add(ALICE, "c", [[user("my zebra is called Zoe"), assistant("noted")]])
    await answer(store, *range(2, 60))
    await store.rewrite(ALICE, "c", 1, {0: user("my walrus is called Wim")})
    turns = [
        [one.told.row.turn for one in await store.recall(ALICE, "c", query(words, now=0))]
        for words in ("zebra Zoe", "walrus Wim")
    ]
    assert (1 in turns[0], turns[1][0]) == (False, 1)


async def test_a_title_of_other_words_stays(store: Store) -> None:
    await answer(store, 1, 2)
    await store.rewrite(ALICE, "c", 2, {0: blank("user")})
    assert (await store.conversation(ALICE, "c")).title == "u1"


async def quoted(store: Store, *places: int) -> None:
    """Turn 2 quotes turn 1."""
    await ask(store, "u1", "a1")
    lease = await begin(store, "u2")
    quote = Quotation(b"[quoted u1]", 7, tuple(Source(1, place, 0.9) for place in places))
    await finish(store, lease, assistant("a2"), quote=quote)
    assert (await store.history(ALICE, "c"))[2].row.quote == b"[quoted u1]"


@pytest.mark.parametrize(("places", "place"), [((0, 1), 0), ((0, 1), 1), ((1,), 0)])
async def test_nothing_quotes_it_any_more(store: Store, places: tuple[int, ...], place: int) -> None:
    await quoted(store, *places)
    await store.rewrite(ALICE, "c", 1, {place: blank(("user", "assistant")[place])})
    row = (await store.history(ALICE, "c"))[2].row
    assert (row.quote, row.tokens) == (None, 3)
    assert (await store.turns(ALICE, "c"))[1].tokens == 6


async def test_an_answer_that_is_gone_leaves_its_question_quoted(store: Store) -> None:
    await quoted(store, 0)
    await store.rewrite(ALICE, "c", 1, {1: blank("assistant")})
    assert (await store.history(ALICE, "c"))[2].row.quote == b"[quoted u1]"


async def test_a_question_in_other_words_leaves_its_answer_quoted(store: Store) -> None:
    await quoted(store, 1)
    await store.rewrite(ALICE, "c", 1, {0: user("other")})
    assert (await store.history(ALICE, "c"))[2].row.quote == b"[quoted u1]"


async def test_what_quotes_other_turns_stays(store: Store) -> None:
    """Also those right beside the one that goes."""
    await ask(store, "u1", "a1")
    await ask(store, "u2", "a2")
    for number, source in ((3, Source(2, 0, 0.9)), (4, Source(3, 0, 0.9))):
        lease = await begin(store, f"u{number}")
        await finish(store, lease, assistant("a"), quote=Quotation(b"[quoted]", 7, (source,)))
    await store.rewrite(ALICE, "c", 1, {0: blank("user")})
    assert [told.row.quote for told in await store.history(ALICE, "c")][4::2] == [b"[quoted]"] * 2


async def test_what_quotes_keeps_its_quotation_until_it_goes(store: Store) -> None:
    await quoted(store, 0, 1)
    await store.rewrite(ALICE, "c", 2, {0: user("x2")})
    row = (await store.history(ALICE, "c"))[2].row
    assert (row.quote, row.tokens) == (b"[quoted u1]", 3 + 7)
    await store.rewrite(ALICE, "c", 2, {0: blank("user")})
    row = (await store.history(ALICE, "c"))[2].row
    assert (row.quote, row.tokens, row.traits & Trait.QUOTED) == (None, 0, 0)
    assert (await store.turns(ALICE, "c"))[1].tokens == 3


async def test_no_summary_stands_for_it_any_more(store: Store) -> None:
    await answer(store, 1, 2, 3)
    await store.write_summary(ALICE, "c", Summary(0, 1, "u1 said", 3), None)
    await store.write_summary(ALICE, "c", Summary(0, 2, "u1 and u2 said", 5), 1)
    await store.rewrite(ALICE, "c", 2, {1: blank("assistant")})
    path = await store.gather(ALICE, "c", Reach())
    assert path.summary is not None
    assert path.summary.upto == 1


async def test_no_branch_has_it_summarised_any_more(store: Store) -> None:
    await answer(store, 1, 2)
    await store.write_summary(ALICE, "c", Summary(0, 2, "u1 and u2 said", 5), None)
    branch = await store.fork(ALICE, "c", 1)
    await store.add(ALICE, "c", [[user("aside")]], branch=branch)
    await store.rewrite(ALICE, "c", 1, {0: blank("user")}, branch)
    assert (await store.gather(ALICE, "c", Reach(), 0)).summary is None


async def test_words_that_look_like_a_picture_stay_as_they_are(store: Store) -> None:
    await answer(store, 1)
    words = user("data:image/png;base64," + "QUJD" * 4000)
    await store.rewrite(ALICE, "c", 1, {0: words})
    assert (await store.history(ALICE, "c"))[0].row.body == words.body


async def test_a_picture_is_gone_with_its_message(store: Store) -> None:
    url = "data:image/png;base64," + "QUJD" * 2000
    parts = [{"type": "image_url", "image_url": {"url": url}}]
    body = orjson.dumps({"role": "user", "content": parts})
    await store.add(ALICE, "c", [[Entry("user", int(Trait.IMAGE | Trait.LISTED), 9, body)]])
    await store.rewrite(ALICE, "c", 1, {0: Entry("user", int(Trait.IMAGE | Trait.LISTED), 9, body)})
    assert (await store.history(ALICE, "c"))[0].row.body == body
    await store.rewrite(ALICE, "c", 1, {0: blank("user")})
    told = (await store.history(ALICE, "c"))[0]
    assert (told.row.body, told.row.traits & Trait.MEDIA) == (blank("user").body, 0)


async def test_a_turn_waits_no_more_for_calls_that_are_gone(store: Store) -> None:
    lease = await begin(store, "u")
    await finish(store, lease, call("x", "y"), state=TurnState.WAITING, open_calls=("x", "y"))
    await store.rewrite(ALICE, "c", 1, {1: call("y")})
    [turn] = await store.turns(ALICE, "c")
    assert (turn.state, turn.open_calls) == (TurnState.WAITING, ("y",))
    with pytest.raises(ToolCallUnknown):
        await store.begin(ALICE, "c", Start([result("x", "1")], results=("x",)))
    held(await store.begin(ALICE, "c", Start([result("y", "1")], results=("y",))))


async def test_a_turn_whose_calls_are_all_gone_is_over(store: Store) -> None:
    lease = await begin(store, "u")
    await finish(store, lease, call("x"), state=TurnState.WAITING, open_calls=("x",))
    await store.rewrite(ALICE, "c", 1, {1: blank("assistant")})
    [turn] = await store.turns(ALICE, "c")
    assert (turn.state, turn.open_calls) == (TurnState.INCOMPLETE, ())
    assert turn.traits & Trait.STOPPED
    await ask(store, "next", "ok")
    assert await said(store) == ["u", None, "next", "ok"]


async def test_every_branch_that_shares_it_sees_it_so(store: Store) -> None:
    await answer(store, 1, 2)
    branch = await store.fork(ALICE, "c", 1)
    await store.add(ALICE, "c", [[user("aside")]], branch=branch)
    await store.rewrite(ALICE, "c", 1, {0: user("new")}, branch)
    assert await said(store) == ["new", "a1", "u2", "a2"]
    assert await said(store, branch=branch) == ["new", "a1", "aside"]


async def test_ids_go_with_a_turn_that_is_repeated_on_a_branch(store: Store) -> None:
    await store.add(ALICE, "c", [[user("u"), assistant("a")._replace(facts=b'{"id":"own"}')]])
    branch = await store.fork(ALICE, "c", 1)
    await store.add(ALICE, "c", [[assistant("more")]], branch=branch)
    address = await store.locate(ALICE, "c", "own")
    assert (address.branch, address.turn, address.place) == (branch, 1, 1)


async def test_only_what_is_there_can_be_replaced(store: Store) -> None:
    await answer(store, 1)
    for turn, place in ((1, 2), (1, -1), (2, 0), (0, 0)):
        with pytest.raises(TurnNotFound):
            await store.rewrite(ALICE, "c", turn, {0: user("x"), place: user("x")})
    assert await said(store) == ["u1", "a1"]
    for owner, name in ((BOB, "c"), (ALICE, "d")):
        with pytest.raises(ConversationNotFound):
            await store.rewrite(owner, name, 1, {0: user("x")})


async def test_two_who_delete_at_once_do_not_undo_each_other(store: Store) -> None:
    await store.add(ALICE, "c", [[user("u"), call("x", "y")]])
    seen = await store.history(ALICE, "c")
    assert await store.rewrite(ALICE, "c", 1, {1: call("y")}, seen=seen)
    assert not await store.rewrite(ALICE, "c", 1, {1: call("x")}, seen=seen)
    assert (await store.history(ALICE, "c"))[1].row.body == call("y").body
    assert await store.rewrite(ALICE, "c", 1, {0: user("v")}, seen=await store.history(ALICE, "c"))


async def test_what_was_dropped_in_the_meantime_is_not_rewritten(store: Store) -> None:
    lease = await begin(store, "hi")
    await store.finish(lease, Ending(TurnState.INCOMPLETE, Step("m", b"", error="x"), [assistant("half")]))
    seen = await store.history(ALICE, "c")
    lease = held(await store.begin(ALICE, "c", Start(again=True)))
    assert not await store.rewrite(ALICE, "c", 1, {0: user("x")}, seen=seen)
    await finish(store, lease, assistant("whole"))
    assert await said(store) == ["hi", "whole"]


async def test_a_running_turn_goes_on(store: Store) -> None:
    await answer(store, 1)
    lease = await begin(store, "u2")
    await asyncio.gather(
        store.rewrite(ALICE, "c", 1, {0: blank("user")}), store.rewrite(ALICE, "c", 2, {0: user("x")})
    )
    await finish(store, lease, assistant("a2"))
    assert await said(store) == [None, "a1", "x", "a2"]
