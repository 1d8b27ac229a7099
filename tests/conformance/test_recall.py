"""Old messages are found by their words, and what may not be shown is never found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from multiturn.conversations import Declared, Owner, TurnState
from multiturn.errors import ConversationNotFound, TurnExpired
from multiturn.messages import Entry, Trait
from multiturn.search.terms import Query, query
from multiturn.storage import Found, Partial, Start, Store

from .talk import ALICE, ask, assistant, begin, call, entry, finish, held, result, system, user

BOB = Owner("shop", "bob")
NOW = 1.7e9


async def recall(
    store: Store, text: str, conversation: str = "c", owner: Owner = ALICE, **where: Any
) -> list[str]:
    return texts(await store.recall(owner, conversation, query(text, now=NOW), **where))


def texts(found: Sequence[Found]) -> list[str]:
    return [orjson.loads(one.told.row.body)["content"] for one in found]


def at(text: str, moment: float, role: str = "user", **fields: Any) -> Entry:
    facts = orjson.dumps({"created_at": moment})
    return entry(role, text, **fields)._replace(facts=facts)


async def chatter(store: Store, count: int = 8, conversation: str = "c") -> None:
    """Turns about nothing, which do not borrow the words before them."""
    groups = [[user(f"chatter {n}a"), assistant(f"chatter {n}b")] for n in range(count)]
    await store.add(ALICE, conversation, groups)


# ------------------------------------------------------------------------------------- what is found


async def test_a_turn_is_found_in_the_next_one(store: Store) -> None:
    await ask(store, "My dog is called Rex.", "What a nice name!")
    await chatter(store)
    found = await recall(store, "what is the name of my dog")
    assert set(found[:2]) == {"My dog is called Rex.", "What a nice name!"}


async def test_the_best_come_first_with_scores_up_to_one(store: Store) -> None:
    await store.add(ALICE, "c", [[at("red", 0)], [at("red green", 1e5)], [at("red green blue", 2e5)]])
    found = await store.recall(ALICE, "c", query("red green blue", now=NOW))
    assert texts(found) == ["red green blue", "red green", "red"]
    assert 1 >= found[0].score > found[1].score > found[2].score > 0
    assert {one.conversation for one in found} == {"c"}


async def test_a_find_is_the_stored_message(store: Store) -> None:
    stored = await store.add(ALICE, "c", [[at("八度空间是哪年的？", 1.6e9), assistant("2002年。")]])
    found = await store.recall(ALICE, "c", query("八度空间", now=NOW))
    assert {one.told for one in found} == set(stored)
    assert found[0].told == stored[0]


async def test_an_answer_is_found_by_what_it_answers(store: Store) -> None:
    await chatter(store)
    await ask(store, "首都图书馆的电话是多少？", "010-67358114")
    await chatter(store)
    assert "010-67358114" in (await recall(store, "首都图书馆"))[:2]


async def test_no_more_are_given_than_wanted(store: Store) -> None:
    await store.add(ALICE, "c", [[user(f"tea {number}")] for number in range(30)])
    assert len(await recall(store, "tea", limit=4)) == 4
    assert len(await recall(store, "tea")) == 10
    assert len(await recall(store, "tea", limit=100)) == 30


async def test_where_none_is_good_enough_only_the_best_is_given(store: Store) -> None:
    words = ["red", "red green", "red green blue", "red green blue"]
    await store.add(ALICE, "c", [[at(text, place * 1e5)] for place, text in enumerate(words)])
    asked = query("red green blue", now=NOW)
    whole = await store.recall(ALICE, "c", asked)
    assert texts(whole) == ["red green blue", "red green blue", "red green", "red"]
    assert await store.recall(ALICE, "c", asked, least=whole[0].score) == whole
    assert await store.recall(ALICE, "c", asked, least=1.1) == whole[:2]
    assert await store.recall(ALICE, "c", asked, least=1.1, limit=1) == whole[:1]
    for turn in (3, 4):
        await store.mark(ALICE, "c", turn, set=Trait.RETRACTED)
    assert await recall(store, "red green blue", least=1.1) == ["red green"]
    assert await recall(store, "unheard", least=1.1) == []


@pytest.mark.parametrize("text", ["", "？！", "unheard", "the of"])
async def test_nothing_fits_a_question_without_a_known_word(store: Store, text: str) -> None:
    await ask(store, "tea", "milk")
    assert await recall(store, text) == []


async def test_a_conversation_that_is_not_there_holds_nothing(store: Store) -> None:
    assert await recall(store, "tea", "nowhere") == []


async def test_somebody_elses_conversation_is_not_there(store: Store) -> None:
    await ask(store, "tea", "milk")
    with pytest.raises(ConversationNotFound):
        await recall(store, "tea", owner=BOB)
    assert await recall(store, "tea", owner=Owner("shop", None)) != []
    assert await recall(store, "tea", owner=Owner("bank", "alice")) == []


async def test_texts_in_parts_are_found_and_pictures_do_no_harm(store: Store) -> None:
    parts = [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,dGVh"}},
        {"type": "text", "text": "my cat"},
    ]
    body = orjson.dumps({"role": "user", "content": parts})
    await store.add(ALICE, "c", [[Entry("user", Trait.LISTED | Trait.IMAGE, 9, body)], [user("dog")]])
    (found,) = [
        one for one in await store.recall(ALICE, "c", query("cat", now=NOW)) if one.told.row.turn == 1
    ]
    assert orjson.loads(found.told.row.body)["content"] == parts
    assert await recall(store, "png") == []


async def test_a_speaker_is_found_by_name(store: Store) -> None:
    spoken = [at("I paint", 0, name="Caroline"), at("I paint", 1e5, name="Melanie")]
    await store.add(ALICE, "c", [[one] for one in spoken])
    for name in ("Caroline", "Melanie"):
        found = await store.recall(ALICE, "c", query(f"What does {name} paint?", now=NOW))
        assert orjson.loads(found[0].told.row.body)["name"] == name


# ------------------------------------------------------------------------------- times and dates


async def test_words_do_not_cross_half_an_hour_of_silence(store: Store) -> None:
    moments = [0.0, 60.0, 60 + 1799.0, 60 + 1799 + 1801.0]
    await store.add(ALICE, "c", [[at(f"word{n}", moment)] for n, moment in enumerate(moments)])
    assert set(await recall(store, "word0")) == {"word0", "word1", "word2"}
    assert await recall(store, "word3") == ["word3"]


async def test_a_date_in_the_question_lifts_what_was_said_then(store: Store) -> None:
    day = 1_683_504_000.0  # 2023-05-08, noon
    await store.add(
        ALICE,
        "c",
        [
            [at("the trip was long", day - 9e5)],
            [at("the trip was fun", day + 43_200)],
            [at("tea", day + 9e5)],
        ],
    )
    assert (await recall(store, "the trip on May 8, 2023"))[0] == "the trip was fun"
    assert (await recall(store, "2023-05-08"))[0] == "the trip was fun"


async def test_a_turn_that_was_spoken_here_has_its_time(store: Store) -> None:
    await ask(store, "tea", "milk")
    (turn,) = await store.turns(ALICE, "c")
    around = (turn.created_at - 60, turn.created_at + 60)
    assert len(await store.recall(ALICE, "c", Query("then", dates=(around,)))) == 2
    assert not await store.recall(ALICE, "c", Query("then", dates=((0.0, 60.0),)))


# --------------------------------------------------------------------------- what is not found


async def test_an_open_turn_is_not_found_until_it_ends(store: Store) -> None:
    await ask(store, "hello", "hello")
    lease = await begin(store, "strawberry")
    assert await recall(store, "strawberry") == []
    await finish(store, lease, assistant("jam"))
    assert set(await recall(store, "strawberry")) >= {"strawberry", "jam"}


async def test_a_failed_turn_is_not_found_but_its_repetition_is(store: Store) -> None:
    lease = await begin(store, "strawberry")
    await finish(store, lease, state=TurnState.FAILED, error="timeout")
    assert await recall(store, "strawberry") == []
    again = held(await store.begin(ALICE, "c", Start(again=True)))
    await finish(store, again, assistant("jam"))
    assert set(await recall(store, "strawberry")) == {"strawberry", "jam"}


async def test_a_stopped_turn_is_found_with_what_had_arrived_until_it_is_repeated(store: Store) -> None:
    lease = await begin(store, "strawberry")
    await finish(store, lease, assistant("half a pie"), state=TurnState.INCOMPLETE, traits=Trait.STOPPED)
    assert set(await recall(store, "strawberry")) == {"strawberry", "half a pie"}
    again = held(await store.begin(ALICE, "c", Start(again=True)))
    assert await recall(store, "strawberry pie") == []
    await finish(store, again, assistant("jam"))
    assert set(await recall(store, "strawberry pie")) == {"strawberry", "jam"}


async def test_a_dropped_reply_is_not_found_in_what_takes_its_place(store: Store) -> None:
    lease = await begin(store, "strawberry")
    await finish(store, lease, assistant("half a pie"), state=TurnState.INCOMPLETE, traits=Trait.STOPPED)
    again = held(await store.begin(ALICE, "c", Start(again=True)))
    await finish(store, again, state=TurnState.FAILED, error="timeout")
    await ask(store, "？！", "……")
    assert await recall(store, "strawberry pie") == []


async def test_a_crashed_turn_is_not_found(store: Store) -> None:
    lease = await begin(store, "strawberry", hold=0.0)
    del lease
    await ask(store, "tea", "milk")
    assert await recall(store, "strawberry") == []


async def test_a_turn_that_was_to_stop_when_its_holder_vanished_is_found(store: Store) -> None:
    lease = await begin(store, "strawberry", hold=0.2)
    await store.append(lease, Partial("jam and"))
    await store.cancel(ALICE, "c")
    held_again = await store.begin(ALICE, "c", Start(entries=[user("tea")]))
    await finish(store, held(held_again), assistant("milk"))
    assert {"strawberry", "jam and"} <= set(await recall(store, "strawberry"))


async def test_a_turn_with_tools_is_found_by_what_people_and_models_said(store: Store) -> None:
    lease = await begin(store, "strawberry stock?")
    await finish(store, lease, call("1"), state=TurnState.WAITING, open_calls=("1",))
    assert await recall(store, "strawberry") == []
    lease = held(await store.begin(ALICE, "c", Start(entries=[result("1", "seventeen")], results=("1",))))
    await finish(store, lease, assistant("There are 17."))
    assert set(await recall(store, "strawberry")) == {"strawberry stock?", "There are 17."}
    assert await recall(store, "seventeen") == []


async def test_a_waiting_turn_that_is_left_is_found(store: Store) -> None:
    lease = await begin(store, "strawberry stock?")
    await finish(store, lease, call("1"), state=TurnState.WAITING, open_calls=("1",))
    await ask(store, "never mind", "fine")
    assert "strawberry stock?" in await recall(store, "strawberry")


async def test_instructions_are_not_found(store: Store) -> None:
    await store.add(ALICE, "c", [[system("sell strawberries"), user("hello"), assistant("hello")]])
    assert await recall(store, "strawberries") == []


@pytest.mark.parametrize("trait", [Trait.RETRACTED, Trait.EXCLUDED])
async def test_a_turn_that_is_withdrawn_is_not_found_until_it_is_back(store: Store, trait: int) -> None:
    await ask(store, "strawberry", "jam")
    await store.mark(ALICE, "c", 1, set=trait)
    assert await recall(store, "strawberry jam") == []
    await store.mark(ALICE, "c", 1, clear=trait)
    assert set(await recall(store, "strawberry jam")) == {"strawberry", "jam"}


async def test_a_refused_turn_is_not_found(store: Store) -> None:
    lease = await begin(store, "strawberry")
    await finish(store, lease, assistant("jam"), traits=Trait.MODERATED)
    assert await recall(store, "strawberry") == []


async def test_a_message_left_out_by_hand_is_not_found_and_a_users_takes_its_turn_along(store: Store) -> None:
    await ask(store, "strawberry", "jam")
    await store.mark(ALICE, "c", 1, place=1, set=Trait.EXCLUDED)
    assert await recall(store, "strawberry jam") == ["strawberry"]
    await store.mark(ALICE, "c", 1, place=1, clear=Trait.EXCLUDED)
    await store.mark(ALICE, "c", 1, place=0, set=Trait.EXCLUDED)
    assert await recall(store, "strawberry jam") == []


async def test_what_is_not_shown_makes_room_for_the_next_best(store: Store) -> None:
    await store.add(ALICE, "c", [[user(f"tea {number}")] for number in range(150)])
    for turn in range(1, 149):
        await store.mark(ALICE, "c", turn, set=Trait.EXCLUDED)
    assert sorted(await recall(store, "tea")) == ["tea 148", "tea 149"]


async def test_what_is_deleted_is_gone_at_once(store: Store) -> None:
    await ask(store, "strawberry", "jam")
    await store.delete(ALICE, "c")
    assert await recall(store, "strawberry") == []
    await ask(store, "hello", "hello")
    assert await recall(store, "strawberry") == []


# --------------------------------------------------------------------------------------- paths


async def test_only_turns_before_a_number_are_found(store: Store) -> None:
    await store.add(ALICE, "c", [[user(f"tea {number}")] for number in range(1, 6)])
    assert sorted(await recall(store, "tea", before=3)) == ["tea 1", "tea 2"]
    assert await recall(store, "tea", before=1) == []


async def test_a_branch_finds_what_it_shares_and_its_own(store: Store) -> None:
    await ask(store, "tea one", "a")
    await ask(store, "tea two", "b")
    await ask(store, "tea three", "c", after=1)
    assert sorted(t for t in await recall(store, "tea") if "tea" in t) == ["tea one", "tea three"]
    assert sorted(t for t in await recall(store, "tea", branch=0) if "tea" in t) == ["tea one", "tea two"]
    found = await store.recall(ALICE, "c", query("tea", now=NOW), branch=1)
    assert {one.told.id.split("_")[2] for one in found} == {"0", "1"}


async def test_a_find_says_how_many_messages_of_the_path_stand_before_it(store: Store) -> None:
    turns = [[user("tea")], [user("milk"), call("1"), result("1", "cold"), assistant("tea")]]
    await store.add(ALICE, "c", [*turns, [user("rice"), assistant("tea")]], Declared(memory="kitchen"))
    await ask(store, "tea", "tea", after=2)
    await store.add(ALICE, "d", [[user("tea")]], Declared(memory="kitchen"))
    for branch in (0, 1):
        path = await store.history(ALICE, "c", branch=branch)
        found = await store.recall(ALICE, "c", query("tea", now=NOW), branch=branch, memory="kitchen")
        here = {(one.told.id, one.at) for one in found if one.conversation == "c"}
        assert here <= {(told.id, number) for number, told in enumerate(path)}
        assert {0, 4, 6 - branch} <= {number for _, number in here}
        assert [one.at for one in found if one.conversation == "d"] == [None]


async def test_going_on_with_an_imported_turn_finds_all_of_it(store: Store) -> None:
    await store.add(ALICE, "c", [[user("strawberry")]])
    await store.add(ALICE, "c", [[assistant("jam")], [user("tea")]])
    assert {"strawberry", "jam"} <= set(await recall(store, "strawberry"))
    assert await recall(store, "jam", before=2, limit=1) == ["jam"]


async def test_a_shared_turn_that_a_branch_goes_on_with_is_found_on_both(store: Store) -> None:
    lease = await begin(store, "strawberry stock?")
    await finish(store, lease, call("1"), state=TurnState.WAITING, open_calls=("1",))
    await store.fork(ALICE, "c", 1)
    await store.switch(ALICE, "c", 1)
    lease = held(await store.begin(ALICE, "c", Start(entries=[result("1", "17")], results=("1",))))
    await finish(store, lease, assistant("There are 17."))
    assert set(await recall(store, "strawberry")) == {"strawberry stock?", "There are 17."}
    assert await recall(store, "strawberry", branch=0) == []


# -------------------------------------------------------------------------------------- memories


async def remembered(store: Store, name: str, text: str, memory: str | None, owner: Owner = ALICE) -> None:
    await store.add(owner, name, [[user(text)]], Declared(memory=memory))


async def test_conversations_that_share_a_memory_are_searched_together(store: Store) -> None:
    await remembered(store, "a", "strawberry jam", "alice/daiyu")
    await remembered(store, "b", "strawberry pie", "alice/daiyu")
    await remembered(store, "c", "strawberry tea", "other")
    await remembered(store, "d", "strawberry ice", None)
    await remembered(store, "e", "strawberry cake", "alice/daiyu", BOB)
    found = await store.recall(ALICE, "a", query("strawberry", now=NOW), memory="alice/daiyu")
    assert {(one.conversation, text) for one, text in zip(found, texts(found), strict=True)} == {
        ("a", "strawberry jam"),
        ("b", "strawberry pie"),
    }
    assert await recall(store, "strawberry", "a") == ["strawberry jam"]
    assert await recall(store, "strawberry", "new", memory="alice/daiyu") != []
    assert await recall(store, "strawberry", "a", memory="other") != await recall(store, "strawberry", "a")


async def test_an_operators_view_stays_with_the_user_of_the_conversation(store: Store) -> None:
    await remembered(store, "a", "strawberry jam", "m")
    await remembered(store, "b", "strawberry pie", "m")
    await remembered(store, "c", "strawberry tea", "m", BOB)
    found = await recall(store, "strawberry", "a", Owner("shop", None), memory="m")
    assert sorted(found) == ["strawberry jam", "strawberry pie"]


async def test_the_bound_is_for_the_own_path_alone(store: Store) -> None:
    await remembered(store, "a", "strawberry jam", "m")
    await remembered(store, "b", "strawberry pie", "m")
    assert await recall(store, "strawberry", "a", before=1, memory="m") == ["strawberry pie"]


async def test_a_conversation_can_change_its_memory(store: Store) -> None:
    await remembered(store, "a", "strawberry jam", "m")
    await remembered(store, "b", "tea", "m")
    await store.declare(ALICE, "a", Declared(memory="n"))
    assert await recall(store, "strawberry", "b", memory="m") == []
    await store.declare(ALICE, "a", Declared(memory="m"))
    assert await recall(store, "strawberry", "b", memory="m") == ["strawberry jam"]
    await store.delete(ALICE, "a")
    assert await recall(store, "strawberry", "b", memory="m") == []


async def test_words_do_not_cross_from_one_conversation_to_another(store: Store) -> None:
    for name in "abc":
        await remembered(store, name, f"word{name}", "m")
    assert await recall(store, "wordb", "a", memory="m") == ["wordb"]


# ------------------------------------------------------------------------------ long conversations


async def test_every_message_of_a_long_conversation_is_found(store: Store) -> None:
    size = 1_500
    groups = [[user(f"ask{n} tea"), assistant(f"tell{n} 茶")] for n in range(size // 2)]
    await store.add(ALICE, "c", groups[:500])
    for group in groups[500:]:
        await store.add(ALICE, "c", [group])
    for number in (0, 1, 255, 256, 257, 400, 511, 512, 513, 600, 700, 748, 749):
        assert (await recall(store, f"ask{number}", limit=1)) == [f"ask{number} tea"]
        assert (await recall(store, f"tell{number}", limit=1)) == [f"tell{number} 茶"]
    assert sorted(await recall(store, "tea", before=300, limit=size)) == sorted(
        text
        for group in groups[:299]
        for text in (f"ask{groups.index(group)} tea", f"tell{groups.index(group)} 茶")
    )


async def test_a_branch_off_a_long_conversation_ends_where_it_forks(store: Store) -> None:
    groups = [[user(f"ask{n}"), assistant(f"tell{n}")] for n in range(500)]
    await store.add(ALICE, "c", groups)
    number = await store.fork(ALICE, "c", 100)
    assert await recall(store, "ask99", branch=number, limit=1) == ["ask99"]
    assert await recall(store, "ask120", branch=number) == []


async def test_long_conversations_that_share_a_memory_are_kept_apart(store: Store) -> None:
    for name in "ab":
        groups = [[user(f"{name}{n} tea")] for n in range(1_300)]
        await store.add(ALICE, name, groups, Declared(memory="m"))
    for number in (0, 511, 512, 1_100, 1_299):
        for name in "ab":
            found = await store.recall(ALICE, "a", query(f"{name}{number}", now=NOW), memory="m", limit=1)
            assert [(one.conversation, one.told.row.turn) for one in found] == [(name, number + 1)]


async def test_a_word_that_is_said_very_often_is_still_that_word(store: Store) -> None:
    names = [f"pearl{n}" for n in range(8)]
    await store.add(ALICE, "c", [[user(f"{name} " * 20)] for name in names])
    for name in names:
        assert await recall(store, name, limit=1) == [f"{name} " * 20]


async def test_odd_messages_are_stored_and_passed_over(store: Store) -> None:
    odd = [b"[]", b"7", b"{", b'{"role":"user","content":7}', b'{"role":"user","content":[1,{"text":[]}]}']
    await store.add(ALICE, "c", [[Entry("user", 0, 1, body)] for body in odd])
    huge = Entry("user", 0, 1, b'{"role":"user","content":"strawberry","x":1e999}')
    await store.add(ALICE, "c", [[huge]])
    found = await store.recall(ALICE, "c", query("strawberry", now=NOW))
    assert [one.told.row.body for one in found] == [huge.body]


async def test_what_a_holder_brings_too_late_is_not_found(store: Store) -> None:
    lease = await begin(store, "strawberry", hold=0.0)
    await ask(store, "tea", "milk")
    with pytest.raises(TurnExpired):
        await finish(store, lease, assistant("jam"))
    assert await recall(store, "strawberry jam") == []
