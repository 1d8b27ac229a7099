"""Summaries and marks come back with their conversations, and nothing taken back comes back as said."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.scene import Make, Scene

from multiturn import AsyncConversation, AsyncMultiTurn, ContextPolicy, Summary
from multiturn.conversations import Owner
from multiturn.errors import InputInvalid, StoreFull
from multiturn.loading import load
from multiturn.messages import Trait
from multiturn.storage.writer import Writer

NOBODY = Owner("", "")
QUIET = ContextPolicy(recall=None)


async def spoken(it: Scene, turns: int = 4) -> AsyncConversation:
    chat = it.client.conversation("c", policy=QUIET)
    for turn in range(turns):
        await chat.send(f"question {turn + 1}")
    return chat


async def folded(
    it: Scene, upto: int, text: str, model: str | None = "m", branch: int | None = None
) -> Summary:
    """Put a summary in force."""
    there = await it.client._store.summaries(NOBODY, "c", branch)
    written = await it.client._store.write_summary(
        NOBODY, "c", Summary(0, upto, text, 5, model), there[0].version if there else None, branch
    )
    assert written is not None
    return written


async def told(chat: AsyncConversation) -> list[tuple[int, str, str | None]]:
    return [(one.upto, one.text, one.model) for one in await chat.summaries()]


async def test_a_file_that_is_taken_in_several_times_at_once_is_stored_once(
    scene: Make, tmp_path: Path
) -> None:
    it, there = scene(*"ABCD"), scene()
    file = tmp_path / "c.jsonl"
    file.write_text(await (await spoken(it)).export("jsonl"), "utf-8")
    await asyncio.gather(*(there.client.load(file) for _ in range(3)))
    assert len(await there.client.conversation("c").history()) == 8


async def test_two_processes_that_take_in_a_file_at_once_store_it_once(scene: Make, tmp_path: Path) -> None:
    it, file, db = scene(*"ABCDEFGH"), tmp_path / "c.jsonl", f"sqlite:///{tmp_path}/chats.db"
    chat = await spoken(it)
    await chat.edit(3, "another question")
    await chat.pin(2)
    file.write_text(await it.client.export_user(""), "utf-8")
    first, second = (AsyncMultiTurn(model="demo", store=db, environment={}) for _ in "ab")
    async with first, second:
        for client in (first, second):
            await client.conversation("else").add([{"role": "user", "content": "hi"}])
        loads = [
            load(c.engine.store, file.read_bytes(), "f", c.conversation, asyncio.Lock())
            for c in (first, second)
        ]
        await asyncio.gather(*loads)
        found = first.conversation("c")
        assert [each.text for each in await found.history()] == [each.text for each in await chat.history()]
        assert len(await found.branches()) == 2
        assert [bool(turn.traits & Trait.PINNED) for turn in await found.turns()] == [False, True, False]


@pytest.mark.parametrize("when", ["path", "branch"])
async def test_what_somebody_else_takes_in_between_is_passed_over(
    scene: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    it, there, file = scene(*"ABCDEFGH"), scene(), tmp_path / "c.jsonl"
    chat = await spoken(it)
    await chat.edit(3, "another question")
    await chat.pin(2)
    file.write_text(await it.client.export_user(""), "utf-8")
    store, client = there.client.engine.store, there.client
    take_in, calls = store.take_in, 0

    async def overtaken(*given: Any, **more: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == (1 if when == "path" else 2):
            await load(store, file.read_bytes(), "f", client.conversation, asyncio.Lock())
        return await take_in(*given, **more)

    monkeypatch.setattr(store, "take_in", overtaken)
    await client.load(file)
    found = client.conversation("c")
    assert [each.text for each in await found.history()] == [each.text for each in await chat.history()]
    assert len(await found.branches()) == 2
    assert [bool(turn.traits & Trait.PINNED) for turn in await found.turns()] == [False, True, False]


async def test_what_the_store_refuses_is_told(
    scene: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    it, there, file = scene(*"ABCD"), scene(), tmp_path / "c.jsonl"
    file.write_text(await (await spoken(it)).export("jsonl"), "utf-8")

    async def full(*_: Any, **__: Any) -> None:
        raise StoreFull(path="chats.db")

    monkeypatch.setattr(there.client.engine.store, "take_in", full)
    with pytest.raises(StoreFull):
        await there.client.load(file)


async def test_many_conversations_share_their_commits(
    scene: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, commits = tmp_path / "many.jsonl", 0
    head = await (await spoken(scene(*"ABCD"))).export("jsonl")
    file.write_text("".join(head.replace('"c"', f'"c{n}"', 1) for n in range(200)), "utf-8")
    commit = Writer._commit

    def counted(self: Writer, jobs: Sequence[Any]) -> Any:
        nonlocal commits
        commits += 1
        return commit(self, jobs)

    monkeypatch.setattr(Writer, "_commit", counted)
    async with AsyncMultiTurn(model="demo", store=f"sqlite:///{tmp_path}/chats.db", environment={}) as client:
        assert len(await client.load(file)) == 200
        assert commits < 40
        assert len(await client.conversation("c199").history()) == 8


async def test_summaries_come_back_and_can_be_undone(scene: Make, tmp_path: Path) -> None:
    it, there = scene(*"ABCD"), scene()
    chat = await spoken(it)
    await folded(it, 1, "old")
    await folded(it, 3, "newer")
    await chat.undo_summary()
    await folded(it, 2, "new")
    await chat.edit_summary("mine")
    file = tmp_path / "c.jsonl"
    file.write_text(await chat.export(), "utf-8")
    for _ in range(2):
        (copy,) = await there.client.load(file)
        assert await told(copy) == [(2, "mine", None), (2, "new", "m"), (1, "old", "m")]
    in_force = await copy.summary()
    assert in_force is not None
    assert in_force.edited
    assert in_force.tokens == (await chat.summaries())[0].tokens
    assert (await copy.window("x")).body == (await chat.window("x")).body
    assert "mine" in str((await copy.window("x")).messages)
    undone = await copy.undo_summary()
    assert undone is not None
    assert undone.text == "new"
    await there.client.load(file)
    assert await told(copy) == [(2, "new", "m"), (1, "old", "m")], "undone stays undone"
    await it.client.load(file)
    assert len(await chat.summaries()) == 3, "also not where it comes from"


async def test_every_branch_gets_its_own_summaries_back(scene: Make, tmp_path: Path) -> None:
    it, there = scene(*"ABCDEF"), scene()
    chat = await spoken(it)
    await chat.edit(4, "without any")
    await folded(it, 2, "of the second")
    await chat.edit(4, "shares it")
    await folded(it, 3, "of the third")
    await folded(it, 1, "of the first", branch=0)
    await folded(it, 2, "by hand", None, branch=0)

    async def everywhere(of: Scene) -> dict[str, list[tuple[int, str, str | None]]]:
        handle, found = of.client.conversation("c"), {}
        branches = await handle.branches()
        (used,) = [branch for branch in branches if branch.in_use]
        for branch in (*branches, used):
            await handle.switch(branch)
            found[(await handle.history())[-2].text] = await told(handle)
        return found

    wanted = await everywhere(it)
    assert wanted == {
        "question 4": [(2, "by hand", None), (1, "of the first", "m")],
        "without any": [(2, "of the second", "m")],
        "shares it": [(3, "of the third", "m"), (2, "of the second", "m")],
    }
    file = tmp_path / "all.jsonl"
    file.write_text(await it.client.export_user(""), "utf-8")
    for _ in range(2):
        await there.client.load(file)
        assert await everywhere(there) == wanted


async def test_a_branch_without_a_summary_gets_none(scene: Make, tmp_path: Path) -> None:
    it, there = scene(*"ABCDE"), scene()
    chat = await spoken(it)
    await chat.edit(4, "used")
    await folded(it, 2, "of the branch in use")
    file = tmp_path / "all.jsonl"
    file.write_text(await it.client.export_user(""), "utf-8")
    (copy,) = await there.client.load(file)
    assert len(await copy.summaries()) == 1
    (aside,) = [branch for branch in await copy.branches() if not branch.in_use]
    await copy.switch(aside)
    assert (await copy.history())[-2].text == "question 4"
    assert await copy.summaries() == []


async def test_with_new_messages_come_the_summaries_that_follow(scene: Make, tmp_path: Path) -> None:
    it, kept, edited, bare = scene(*"ABCDE"), scene(), scene(), scene()
    chat = await spoken(it)
    first, grown = tmp_path / "first.jsonl", tmp_path / "grown.jsonl"
    first.write_text(await chat.export(), "utf-8")
    await bare.client.load(first)
    await folded(it, 2, "first")
    first.write_text(await chat.export(), "utf-8")
    for one in (kept, edited):
        await one.client.load(first)
    await edited.client.conversation("c").edit_summary("edited here")
    await chat.send("question 5")
    await folded(it, 3, "second")
    await folded(it, 4, "third")
    grown.write_text(await chat.export(), "utf-8")
    for one, wanted in (
        (kept, ["third", "second", "first"]),
        (edited, ["edited here", "first"]),
        (bare, ["third", "second", "first"]),
    ):
        (copy,) = await one.client.load(grown)
        assert len(await copy.turns()) == 5
        assert [text for _, text, _ in await told(copy)] == wanted


async def test_whoever_writes_a_summary_meanwhile_wins(
    scene: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    it, there = scene(*"ABCD"), scene()
    chat = await spoken(it)
    await folded(it, 1, "one")
    await folded(it, 2, "two")
    file = tmp_path / "c.jsonl"
    file.write_text(await chat.export(), "utf-8")
    store = there.client._store
    write = store.write_summary

    async def overtaken(*given: Any) -> Summary | None:
        monkeypatch.undo()
        await folded(there, 3, "quicker")
        return await write(*given)

    monkeypatch.setattr(store, "write_summary", overtaken)
    (copy,) = await there.client.load(file)
    assert await told(copy) == [(3, "quicker", "m")]
    assert len(await copy.turns()) == 4


@pytest.mark.parametrize("way", ["retract", "exclude"])
async def test_no_summary_comes_back_that_stands_for_a_withdrawn_turn(
    scene: Make, tmp_path: Path, way: str
) -> None:
    it, there = scene(*"ABCDE"), scene()
    chat = await spoken(it)
    await folded(it, 1, "one")
    await folded(it, 2, "one and two")
    file = tmp_path / "c.jsonl"
    file.write_text(await chat.export(), "utf-8")
    (copy,) = await there.client.load(file)
    await getattr(copy, way)((await copy.turns())[1])
    assert [text for _, text, _ in await told(copy)] == ["one"]
    await chat.send("question 5")
    await folded(it, 3, "one, two and three")
    file.write_text(await chat.export(), "utf-8")
    await there.client.load(file)
    assert [text for _, text, _ in await told(copy)] == ["one"]


@pytest.mark.parametrize(("fold", "wanted"), [(3, 2), (2, 1), (1, 1)])
async def test_a_summary_stands_for_the_same_messages_where_turns_are_counted_otherwise(
    scene: Make, tmp_path: Path, fold: int, wanted: int
) -> None:
    it, there = scene(*"AB"), scene()
    chat = await spoken(it, 1)
    await chat.add([{"role": "system", "content": "From now on in rhymes."}])
    await chat.send("last")
    assert len(await chat.turns()) == 3
    await folded(it, fold, "so far")
    file = tmp_path / "c.jsonl"
    file.write_text(await chat.export(), "utf-8")
    (copy,) = await there.client.load(file)
    assert len(await copy.turns()) == 2
    assert await told(copy) == [(wanted, "so far", "m")]


@pytest.mark.parametrize("messages", [-1, 0, 1, 9])
async def test_a_summary_of_no_turn_that_is_there_is_left_out(
    scene: Make, tmp_path: Path, messages: int
) -> None:
    there = scene()
    head = {
        "format": "multiturn/1",
        "id": "c",
        "summaries": [
            {"messages": messages, "text": "odd", "model": None},
            {"messages": 2, "text": "fine", "model": None},
        ],
    }
    lines = [head, *({"role": role, "content": "x"} for role in ("user", "assistant") * 2)]
    file = tmp_path / "c.jsonl"
    file.write_bytes(b"\n".join(map(orjson.dumps, lines)))
    (copy,) = await there.client.load(file)
    assert await told(copy) == [(1, "fine", None)]
    assert len(await copy.history()) == 4


async def test_what_was_quoted_is_no_part_of_the_message_that_comes_back(scene: Make, tmp_path: Path) -> None:
    it, there = scene(*["Noted."] * 14, policy=ContextPolicy(budget=700, summarize=None)), scene()
    chat = it.client.conversation("c")
    await chat.send("The locker code is 48213, remember it.")
    for day in range(12):
        await chat.send(f"Day {day}: " + "water garden tree " * 14)
    assert (await chat.send("What was the locker code?")).window.recalled
    file = tmp_path / "c.jsonl"
    file.write_text(await chat.export(), "utf-8")
    assert orjson.loads(file.read_bytes().splitlines()[0])["quotations"]
    (copy,) = await there.client.load(file)
    assert await copy.export("openai") == await chat.export("openai")
    assert "quotations" not in await copy.export()


async def test_what_was_noted_and_erased_comes_back_so(scene: Make, tmp_path: Path) -> None:
    it, there = scene(*"AB"), scene()
    chat = it.client.conversation("c", metadata={"order": "7"}, expires_after=60)
    await chat.send("my code is 4711")
    await chat.send("hello")
    await chat.erase(1)
    file = tmp_path / "c.jsonl"
    file.write_text(await chat.export(), "utf-8")
    (loaded,) = await there.client.load(file)
    info = await loaded.info()
    assert (info.metadata, info.expires_after) == ({"order": "7"}, 60)
    assert [message["content"] for message in (await loaded.window("x")).messages] == ["hello", "B", "x"]
    await it.client.conversation("d").add(["a"])
    assert "metadata" not in await it.client.conversation("d").export()


async def test_what_was_marked_comes_back_marked(scene: Make, tmp_path: Path) -> None:
    it, there = scene(*"ABCDEF"), scene()
    chat = await spoken(it, 5)
    await chat.pin(1)
    await chat.retract(2, "not so")
    await chat.exclude(3)
    await chat.exclude((await chat.history())[-1])
    file = tmp_path / "c.jsonl"
    file.write_text(await chat.export(), "utf-8")
    (copy,) = await there.client.load(file)
    assert [(turn.traits, turn.reason) for turn in await copy.turns()] == [
        (turn.traits, turn.reason) for turn in await chat.turns()
    ]
    assert (await copy.window("x")).body == (await chat.window("x")).body
    assert "question 2" not in (await copy.window("x")).body.decode()


async def test_a_mark_that_was_taken_away_here_stays_away(scene: Make, tmp_path: Path) -> None:
    it, there = scene(*"ABCDEF"), scene()
    chat = await spoken(it, 2)
    await chat.pin(1)
    file = tmp_path / "c.jsonl"
    file.write_text(await chat.export(), "utf-8")
    (copy,) = await there.client.load(file)
    await copy.unpin(1)
    await chat.send("question 3")
    await chat.retract(3)
    file.write_text(await chat.export(), "utf-8")
    (copy,) = await there.client.load(file)
    first, _, third = await copy.turns()
    assert not first.traits & Trait.PINNED
    assert third.traits & Trait.RETRACTED


async def test_branches_bring_their_marks_along(scene: Make, tmp_path: Path) -> None:
    it, there = scene(*"ABCDEF"), scene()
    chat = await spoken(it, 2)
    await chat.retract(2, "left")
    await chat.edit(2, "question 2, better said")
    file = tmp_path / "c.jsonl"
    file.write_text(await it.client.export_user(""), "utf-8")
    (copy,) = await there.client.load(file)
    assert not (await copy.turns())[1].traits & Trait.RETRACTED
    (other,) = [branch for branch in await copy.branches() if not branch.in_use]
    withdrawn = await there.client._store.turns(NOBODY, "c", branch=other.number)
    assert withdrawn[1].reason == "left"


async def test_a_summary_behind_a_withdrawn_turn_comes_back_with_it(scene: Make, tmp_path: Path) -> None:
    it, there = scene(*"ABCDEF"), scene()
    chat = await spoken(it)
    await chat.retract(1, "taken back")
    await folded(it, 3, "without the first")
    file = tmp_path / "c.jsonl"
    file.write_text(await chat.export(), "utf-8")
    (copy,) = await there.client.load(file)
    assert await told(copy) == [(3, "without the first", "m")]


@pytest.mark.parametrize("marks", [3, ["x"], [{"message": "m", "mark": "loved"}], [{"mark": "pinned"}]])
async def test_what_is_no_mark_is_refused(scene: Make, tmp_path: Path, marks: Any) -> None:
    file = tmp_path / "c.jsonl"
    head = {"format": "multiturn/1", "id": "c", "marks": marks}
    file.write_bytes(orjson.dumps(head) + b'\n{"role":"user","content":"a"}\n')
    client = scene().client
    with pytest.raises(InputInvalid, match="marks something"):
        await client.load(file)
    assert await client.conversations() == []
