"""The client: handles, lists, search, usage, import and export, whose conversations they are."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.scene import Make, Scene, said, states

from multiturn import (
    AsyncMultiTurn,
    ContextPolicy,
    ConversationNotFound,
    Delta,
    Error,
    InputInvalid,
    KeyMissing,
    ModelUnknown,
    MultiTurn,
    ParameterInvalid,
    SettingInvalid,
    Usage,
)
from multiturn.catalog import Card
from multiturn.config import Config
from multiturn.providers.scripted import ScriptedProvider
from multiturn.settings import load

NOTHING = {"HOME": "/nowhere"}


# ------------------------------------------------------------------------------------- making


async def test_a_client_without_anything_configured_talks_to_the_demo(tmp_path: Path) -> None:
    async with AsyncMultiTurn(store=":memory:", environment={"HOME": str(tmp_path)}) as client:
        assert client.model == "demo"
        chat = client.conversation()
        assert chat.id.startswith("conv_")
        await chat.send("我今年 27 岁。")
        assert "27" in (await chat.send("我几岁？")).text


def test_what_is_stated_wins_over_a_whole_configuration(tmp_path: Path) -> None:
    config = load({"model": "demo", "user": "ada", "store": "sqlite:///theirs.db"}, NOTHING, tmp_path)
    policy = ContextPolicy(budget=500)
    client = AsyncMultiTurn(
        "qwen/qwen-plus", "sqlite:///mine.db", policy, user="bob", config=config, environment=NOTHING
    )
    assert client.model == "qwen/qwen-plus"
    assert (client.config.user, client.config.store) == ("bob", "sqlite:///mine.db")
    assert client.config.policy == policy
    assert AsyncMultiTurn(config=config, environment=NOTHING).config == config


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({"model": "nobody/x"}, ModelUnknown),
        ({"store": "postgres://x"}, SettingInvalid),
        ({"policy": {"budget": 5}}, ParameterInvalid),
        ({"config": Config(store=":memory:", model="nobody/x")}, ModelUnknown),
    ],
)
def test_a_client_that_cannot_be_is_not_made(given: dict[str, Any], kind: type[Exception]) -> None:
    for make in (AsyncMultiTurn, MultiTurn):
        with pytest.raises(kind):
            make(**{"store": ":memory:", "environment": NOTHING, **given})


NAMES = ["", " ", "x" * 513, 5, b"x", "half \ud83d"]


@pytest.mark.parametrize("name", NAMES)
async def test_an_id_is_text_that_can_be_stored(scene: Make, name: Any) -> None:
    with pytest.raises(ParameterInvalid, match="id"):
        scene().client.conversation(name)


@pytest.mark.parametrize("field", ["user", "memory", "opening", "model"])
async def test_other_names_are_text_too(scene: Make, field: str) -> None:
    for wrong in (5, "half \ud83d"):
        given: dict[str, Any] = {field: wrong}
        with pytest.raises(ParameterInvalid, match=field):
            scene().client.conversation("c", **given)


@pytest.mark.parametrize(
    "system",
    [5, {"role": "system", "content": "x"}, [{"role": "user", "content": "x"}], [5], ["half \ud83d"]],
)
async def test_instructions_are_text_or_messages(scene: Make, system: Any) -> None:
    with pytest.raises(InputInvalid):
        scene().client.conversation("c", system=system)


async def test_instructions_come_in_several_forms(scene: Make) -> None:
    it = scene("A", "B", "C", model="openai/gpt-5.4-mini")
    await it.client.conversation("a", system=["One.", {"role": "developer", "content": "Two."}]).send("x")
    await it.client.conversation("b", system=" ").send("x")
    await it.client.conversation("a", system="").send("y")
    assert said(it.requests[0]) == ["One.", "Two.", "x"]
    assert said(it.requests[1]) == ["x"]
    assert said(it.requests[2]) == ["x", "A", "y"]


async def test_any_text_is_an_id(scene: Make) -> None:
    it = scene(*"ABC")
    for name in ("nul \0 inside", "👩‍👩‍👧", "' OR 1=1 --"):
        assert (await it.client.conversation(name).send("x")).turn.number == 1
        assert len(await it.client.conversation(name).history()) == 2
    assert len(await it.client.conversations()) == 3


async def test_a_key_is_needed_where_the_provider_wants_one() -> None:
    async with AsyncMultiTurn("qwen/qwen-plus", ":memory:", environment=NOTHING) as client:
        with pytest.raises(KeyMissing, match="DASHSCOPE_API_KEY") as raised:
            await client.conversation("c").send("x")
        assert raised.value.turn is None
        assert await client.conversations() == []
        with pytest.raises(KeyMissing):
            await client.conversation("c").stream("x").__aenter__()
        async with client.conversation("c").prepare("x") as turn:
            assert (await turn.commit("somebody else's key")).text


async def test_a_given_key_is_for_that_models_provider_only() -> None:
    async with AsyncMultiTurn("qwen/qwen-plus", ":memory:", api_key="sk-1", environment=NOTHING) as client:
        with pytest.raises(KeyMissing, match="MOONSHOT"):
            await client.conversation("c", model="kimi/kimi-k2.6").send("x")


async def test_each_provider_is_opened_once(scene: Make) -> None:
    client = AsyncMultiTurn("demo", ":memory:", environment=NOTHING)
    cards: list[Card] = [client.catalog.card(name) for name in ("demo", "demo", "demo?slow=1ms")]
    first, second, third = [client.endpoints.provider(card) for card in cards]
    assert first is second
    assert third is not first
    await client.close()
    await client.close()


# --------------------------------------------------------------------------------- whose they are


async def test_conversations_are_listed_newest_first_and_page_by_page(scene: Make) -> None:
    it = scene(*"ABCDE")
    for name in ("a", "b", "c"):
        await it.client.conversation(name, user="ada").send(f"hello {name}")
    await it.client.conversation("d", user="bob").send("hello d")
    await it.client.conversation("a", user="ada").send("again")
    listed = await it.client.conversations(user="ada")
    assert [(c.id, c.user, c.turns, c.messages, c.title) for c in listed] == [
        ("a", "ada", 2, 4, "hello a"),
        ("c", "ada", 1, 2, "hello c"),
        ("b", "ada", 1, 2, "hello b"),
    ]
    first = await it.client.conversations(user="ada", limit=2)
    assert [c.id for c in await it.client.conversations(user="ada", limit=2, before=first[-1].id)] == ["b"]
    assert await it.client.conversations() == []
    with pytest.raises(ConversationNotFound):
        await it.client.conversations(user="bob", before="a")


async def test_the_clients_user_is_meant_where_nobody_is_named(scene: Make) -> None:
    it = scene("A", user="ada")
    await it.client.conversation("a").send("x")
    assert [c.user for c in await it.client.conversations()] == ["ada"]
    with pytest.raises(ConversationNotFound):
        await it.client.conversation("a", user="bob").history()


async def test_tenants_do_not_see_each_other(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'chats.db'}"
    shop = Scene("A", store=store, tenant="shop", user="ada")
    bank = Scene("B", store=store, tenant="bank", user="ada")
    await shop.client.conversation("c").send("secret of the shop")
    assert await bank.client.search("secret") == []
    assert await bank.client.conversations() == []
    assert (await bank.client.usage())[:1] == [] or (await bank.client.usage())[0].calls == 0
    await bank.client.conversation("c").send("mine")
    assert said(bank.requests[0]) == ["mine"]
    await shop.client.close()
    await bank.client.close()


async def test_a_view_sees_another_tenant_through_the_same_store(scene: Make) -> None:
    it = scene("A", "B")
    shop = it.client.within("shop")
    await it.client.conversation("c").send("mine")
    await shop.conversation("c").send("secret of the shop")
    assert said(it.requests[1]) == ["secret of the shop"]
    assert [hit.message.text for hit in await shop.search("secret")] == ["secret of the shop"]
    assert await it.client.search("secret") == []
    assert [one.calls for one in await shop.within("").usage()] == [1]
    await shop.close()
    assert (await shop.conversation("c").history())[0].text == "secret of the shop"
    assert (await it.client.conversation("c").history())[0].text == "mine"


async def test_a_view_bound_to_a_user_sees_nobody_else(scene: Make) -> None:
    it = scene("A", "B")
    await it.client.conversation("a", user="ada").send("hers")
    bob = it.client.within("", user="bob")
    await bob.conversation("b").send("his")
    assert [one.id for one in await bob.conversations(everybody=True)] == ["b"]
    assert [one.id for one in await bob.conversations(user="bob")] == ["b"]
    assert await bob.search("hers", everybody=True) == []
    assert [one.group for one in await bob.usage(by="user")] == ["bob"]
    with pytest.raises(ConversationNotFound):
        await bob.conversation("a").history()
    for refused in (bob.conversations, bob.delete_user, bob.export_user, bob.usage):
        with pytest.raises(ParameterInvalid):
            await refused(user="ada")
    with pytest.raises(ParameterInvalid):
        bob.conversation("a", user="ada")
    assert [one.id for one in await it.client.conversations(everybody=True)] == ["b", "a"]


# ------------------------------------------------------------------------------- search and usage


async def test_messages_are_found_by_their_words(scene: Make) -> None:
    it = scene("Lisbon is fine.", "Oh.", "Ah.")
    await it.client.conversation("a", user="ada").send('I live in "Lisbon" now.')
    await it.client.conversation("b", user="ada").send("里斯本 👩‍👩‍👧")
    await it.client.conversation("c", user="bob").send("Lisbon, too.")
    hits = await it.client.search("lisbon", user="ada")
    assert [(hit.conversation, hit.turn, hit.message.role) for hit in hits] == [
        ("a", 1, "assistant"),
        ("a", 1, "user"),
    ]
    assert [hit.message.text for hit in await it.client.search('"Lisbon"', user="ada")] == [
        'I live in "Lisbon" now.'
    ]
    assert len(await it.client.search("👩‍👩‍👧", user="ada")) == 1
    assert len(await it.client.search("lisbon", user="ada", limit=1)) == 1
    assert await it.client.search("nowhere", user="ada") == []
    for nothing in ("", None, 5):
        with pytest.raises(ParameterInvalid):
            await it.client.search(nothing, user="ada")  # type: ignore[arg-type]  # wrong on purpose


async def test_everybodys_conversations_are_listed_and_searched_where_that_is_asked_for(scene: Make) -> None:
    it = scene("A", "B")
    await it.client.conversation("one", user="ada").send("tea for Ada")
    await it.client.conversation("two", user="bob").send("tea for Bob")
    listed = await it.client.conversations(everybody=True)
    assert [(one.id, one.user) for one in listed] == [("two", "bob"), ("one", "ada")]
    assert [one.id for one in await it.client.conversations(user="ada")] == ["one"]
    assert await it.client.conversations() == []
    assert [hit.conversation for hit in await it.client.search("tea", everybody=True)] == ["two", "one"]
    assert await it.client.search("tea") == []
    assert [group.calls for group in await it.client.usage()] == [2]
    assert [group.calls for group in await it.client.usage(user="ada")] == [1]
    for ask in (
        it.client.conversations(everybody=True, user="ada"),
        it.client.search("x", everybody=True, user=""),
    ):
        with pytest.raises(ParameterInvalid, match="not both"):
            await ask


@pytest.mark.parametrize("limit", [0, -1, True, 2.0, None])
async def test_a_limit_is_at_least_one(scene: Make, limit: Any) -> None:
    it = scene()
    for ask in (it.client.conversations(limit=limit), it.client.search("x", limit=limit)):
        with pytest.raises(ParameterInvalid, match="limit is wrong: it is a whole number of at least 1"):
            await ask


async def test_usage_is_added_up_by_what_one_wants_to_know(scene: Make) -> None:
    answer = Delta("x", finish_reason="stop", usage=Usage(1_000_000, 0, cached=0))
    it = scene(answer, answer, answer)
    await it.client.conversation("a", user="ada").send("x")
    await it.client.conversation("a", user="ada", model="openai/gpt-5.4-mini").send("x")
    await it.client.conversation("b", user="bob", model="compatible/llama").send("x")
    (total,) = await it.client.usage()
    assert (total.calls, total.turns, total.usage.input) == (3, 3, 3_000_000)
    by_user = {spent.group: spent for spent in await it.client.usage(by="user")}
    assert by_user["ada"].calls == 2
    assert by_user["bob"].costs == ()
    by_model = {spent.group: spent for spent in await it.client.usage(by="model", user="ada")}
    assert set(by_model) == {"qwen/qwen-plus", "openai/gpt-5.4-mini"}
    assert all(cost.amount > Decimal(0) for spent in by_model.values() for cost in spent.costs)
    assert {s.group for s in await it.client.usage(by="conversation")} == {"a", "b"}
    assert len(await it.client.usage(by="day")) == 1
    of_one = {spent.group: spent.calls for spent in await it.client.usage(by="model", conversation="a")}
    assert of_one == {"qwen/qwen-plus": 1, "openai/gpt-5.4-mini": 1}
    assert [spent.calls for spent in await it.client.usage(conversation="a", user="ada")] == [2]
    for nobody in ({"conversation": "c"}, {"conversation": "a", "user": "bob"}):
        with pytest.raises(ConversationNotFound):
            await it.client.usage(**nobody)  # type: ignore[arg-type]  # names of arguments
    with pytest.raises(ParameterInvalid, match="day"):
        await it.client.usage(by="week")  # type: ignore[arg-type]  # wrong on purpose


# ------------------------------------------------------------------------------ files and people


async def test_what_was_exported_is_imported_as_it_was(scene: Make, tmp_path: Path) -> None:
    it, there = scene("Noted.", "And now?"), scene("later")
    chat = it.client.conversation(
        "c", system="Be brief.", opening="Hello!", policy=ContextPolicy(max_turns=9), memory="ada/m"
    )
    await chat.send("I am 27. 👩‍👩‍👧")
    await chat.add(
        [{"role": "user", "content": [{"type": "text", "text": "parts"}], "name": "ada", "x_y": [1.5, None]}]
    )
    file = tmp_path / "any name.jsonl"
    file.write_text(await chat.export(), "utf-8")
    (copy,) = await there.client.load(file, user="bob")
    assert copy.id == "c"
    was, now = await chat.info(), await copy.info()
    assert (now.user, now.settings.opening, now.settings.memory) == ("bob", "Hello!", "ada/m")
    assert (now.settings.instructions, now.settings.policy) == (
        was.settings.instructions,
        was.settings.policy,
    )
    assert [(m.id, m.role, m.text, m.created_at) for m in await copy.history()] == [
        (m.id, m.role, m.text, m.created_at) for m in await chat.history()
    ]
    assert (await copy.window("x")).body == (await chat.window("x")).body
    assert (await copy.export()).splitlines()[1:] == (await chat.export()).splitlines()[1:]
    await copy.exclude((await copy.history())[1])
    assert "27" not in str((await copy.window("x")).messages)


async def test_a_list_of_messages_is_imported_under_the_name_of_its_file(scene: Make, tmp_path: Path) -> None:
    it = scene()
    file = tmp_path / "support.json"
    file.write_text(
        '[{"role": "system", "content": "S"}, {"role": "user", "content": "a"},'
        ' {"role": "assistant", "content": "b"}]'
    )
    (chat,) = await it.client.load(str(file))
    assert chat.id == "support"
    assert [m.text for m in await chat.history()] == ["a", "b"]
    lines = tmp_path / "lines.jsonl"
    lines.write_text('{"role": "user", "content": "a"}\n\n{"role": "assistant", "content": "b"}\n')
    (chat,) = await it.client.load(lines)
    assert chat.id == "lines"
    assert await states(chat) == ["COMPLETED"]


HEAD = '{"format": "multiturn/1", "id": "%s"}\n'
TWO = HEAD % "x" + '{"role": "user", "content": "x"}\n' + HEAD % "y" + '{"role": "nobody"}'
"""The second conversation is wrong: the first one must not be stored either."""


@pytest.mark.parametrize(
    "content",
    [
        "dear diary",
        "[1, 2]",
        "5",
        '"text"',
        '{"role": "user"',
        '{"format": "multiturn/99", "id": "x"}',
        '{"format": "multiturn/1", "id": "x", "policy": {"nonsense": 1}}',
        '{"format": "multiturn/1", "id": "x", "model": "nobody/x"}',
        '{"format": "multiturn/1", "id": "x"}\n{"role": "nobody", "content": "x"}',
        TWO,
        '{"format": "multiturn/1", "id": "x", "policy": 5}',
        '{"format": "multiturn/1", "id": "x", "instructions": 5}',
        b"\xff\xfe\x00",
    ],
)
async def test_a_file_of_something_else_is_refused(scene: Make, tmp_path: Path, content: str | bytes) -> None:
    it = scene()
    file = tmp_path / "f.jsonl"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(Error):
        await it.client.load(file)
    assert await it.client.conversations() == []


async def test_what_is_stored_already_is_not_imported_twice(scene: Make, tmp_path: Path) -> None:
    it, there = scene(*"ABC"), scene("D", "E")
    chat = it.client.conversation("c")
    file = tmp_path / "c.jsonl"

    async def exported() -> None:
        file.write_text(await chat.export(), "utf-8")

    async def texts(of: Scene) -> list[str]:
        return [message.text for message in await of.client.conversation("c").history()]

    await chat.send("a")
    await exported()
    for _ in range(2):
        await there.client.load(file)
        assert await texts(there) == ["a", "A"]
    await it.client.load(file)
    assert await texts(it) == ["a", "A"], "also not where it comes from"
    await chat.send("b")
    await exported()
    await there.client.load(file)
    assert await texts(there) == ["a", "A", "b", "B"], "what came since is added"
    await there.client.conversation("c").send("d")
    await there.client.load(file)
    assert await texts(there) == ["a", "A", "b", "B", "d", "D"]
    await chat.send("c")
    await exported()
    with pytest.raises(InputInvalid, match="conversation c is there already"):
        await there.client.load(file)
    assert await texts(there) == ["a", "A", "b", "B", "d", "D"]


async def test_another_conversation_of_the_same_id_is_not_mixed_in(scene: Make, tmp_path: Path) -> None:
    it = scene()
    file = tmp_path / "c.json"
    file.write_text('[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]')
    other = tmp_path / "d.jsonl"
    other.write_text(
        '{"format": "multiturn/1", "id": "new"}\n{"role": "user", "content": "x"}\n'
        + HEAD % "c"
        + '{"role": "user", "content": "x"}'
    )
    await it.client.load(file)
    for path in (file, other):
        with pytest.raises(InputInvalid, match="holds something else"):
            await it.client.load(path)
    assert [m.text for m in await it.client.conversation("c").history()] == ["a", "b"]
    assert len(await it.client.conversations()) == 1, "all of a file or nothing"


async def test_branches_come_back_with_what_they_share(scene: Make, tmp_path: Path) -> None:
    it, there = scene(*"ABCDEFG"), scene()
    chat = it.client.conversation("c", user="ada")
    await chat.send("one")
    await chat.send("two")
    await chat.send("three")
    await chat.edit(2, "other two")
    await chat.send("other three")
    await chat.edit(3, "another three")
    await chat.edit(1, "first")
    text = await it.client.export_user("ada")
    file = tmp_path / "ada.jsonl"
    file.write_text(text)

    async def paths(of: Scene, user: str) -> list[list[str]]:
        found = of.client.conversation("c", user=user)
        branches = await found.branches()
        said = []
        for branch in branches:
            await found.switch(branch)
            said.append([m.text for m in await found.history() if m.role == "user"])
        await found.switch(next(branch for branch in branches if branch.in_use))
        return sorted(said)

    wanted = [
        ["first"],
        ["one", "other two", "another three"],
        ["one", "other two", "other three"],
        ["one", "two", "three"],
    ]
    assert await paths(it, "ada") == wanted
    for _ in range(2):
        (loaded,) = await there.client.load(file, user="bob")
        assert [m.text for m in await loaded.history()] == ["first", "G"]
        assert await paths(there, "bob") == wanted
        assert text.count('"role"') == (await there.client.export_user("bob")).count('"role"')
    await it.client.load(file, user="ada")
    assert await paths(it, "ada") == wanted


async def test_a_branch_goes_on_with_a_message_of_any_id(scene: Make, tmp_path: Path) -> None:
    it = scene("A", "B")
    chat = it.client.conversation("c")
    await chat.add([{"role": "user", "content": "own", "id": "m-1"}, {"role": "user", "content": "later"}])
    await chat.send("ours")
    ours = (await chat.history())[2].id
    aside = '{"format": "multiturn/1", "id": "c", "branch": 9, "after": "%s"}\n'
    aside += '{"role": "user", "content": "x", "id": "%s"}\n'
    (tmp_path / "f.jsonl").write_text(await chat.export() + aside % ("m-1", "n-1") + aside % (ours, "n-2"))
    await it.client.load(tmp_path / "f.jsonl")
    said = []
    for branch in await chat.branches():
        await chat.switch(branch)
        said.append([m.text for m in await chat.history()])
    assert said == [["own", "later", "ours", "A"], ["own", "x"], ["own", "later", "ours", "A", "x"]]


@pytest.mark.parametrize(
    "lines",
    [
        '{"format": "multiturn/1", "id": "c", "branch": 1, "after": null}',
        HEAD % "c" + '{"format": "multiturn/1", "id": "d", "branch": 1, "after": null}',
        HEAD % "c" + '{"format": "multiturn/1", "id": "c", "branch": 1, "after": 7}',
        HEAD % "c" + '{"format": "multiturn/1", "id": "c", "branch": 1}',
        HEAD % "c"
        + '{"format": "multiturn/1", "id": "c", "branch": 1, "after": "m"}\n{"role": "user", "content": "x"}',
    ],
)
async def test_a_branch_of_nothing_is_refused(scene: Make, tmp_path: Path, lines: str) -> None:
    it = scene()
    (tmp_path / "f.jsonl").write_text(lines)
    with pytest.raises(InputInvalid, match="branch"):
        await it.client.load(tmp_path / "f.jsonl")
    assert await it.client.conversations() == []


async def test_a_file_that_is_not_there_is_named(scene: Make, tmp_path: Path) -> None:
    for path in (tmp_path / "missing.jsonl", tmp_path):
        with pytest.raises(InputInvalid, match="cannot be read"):
            await scene().client.load(path)


async def test_everything_of_a_person_is_handed_out_and_removed(scene: Make, tmp_path: Path) -> None:
    it = scene(*"ABCD")
    await it.client.conversation("a", user="ada", opening="Hello!").send("one")
    await it.client.conversation("b", user="ada").send("two")
    await it.client.conversation("b", user="ada").edit(1, "other")
    await it.client.conversation("c", user="bob").send("three")
    text = await it.client.export_user("ada")
    lines = [orjson.loads(line) for line in text.splitlines()]
    assert {line["id"] for line in lines if "format" in line} == {"a", "b"}
    assert {line["content"] for line in lines if "role" in line} >= {"one", "two", "other", "A", "B", "C"}
    assert "three" not in text
    assert text.count('"two"') == text.count('"other"') == 1
    file = tmp_path / "ada.jsonl"
    file.write_text(text)
    loaded = await scene().client.load(file)
    assert [[m.text for m in await chat.history()] for chat in loaded] == [
        ["other", "C"],
        ["Hello!", "one", "A"],
    ]
    assert await it.client.export_user("nobody") == ""
    assert await it.client.delete_user("ada") == 2
    assert await it.client.delete_user("ada") == 0
    assert await it.client.export_user("ada") == ""
    assert await it.client.search("one", user="ada") == []
    assert len(await it.client.conversations(user="bob")) == 1


async def test_what_branches_share_is_handed_out_once(scene: Make) -> None:
    it = scene(*"ABCDEF")
    chat = it.client.conversation("c", user="ada")
    first = await chat.send("a")
    await chat.edit(1, "b")
    await chat.send("shared")
    await chat.send("c")
    await chat.edit(3, "d")
    await chat.switch(first.turn)
    lines = [orjson.loads(line) for line in (await it.client.export_user("ada")).splitlines()]
    assert [line["content"] for line in lines if line.get("role") == "user"] == ["a", "b", "shared", "c", "d"]
    assert [line.get("branch") for line in lines if "format" in line] == [None, 1, 2]


async def test_many_conversations_are_exported_page_by_page(scene: Make) -> None:
    it = scene()
    for number in range(230):
        await it.client.conversation(f"c{number}", user="ada").add([f"text {number}"])
    lines = (await it.client.export_user("ada")).splitlines()
    assert len({orjson.loads(line)["content"] for line in lines if '"role"' in line}) == 230


def test_the_script_of_a_blocking_client_is_read_too() -> None:
    with MultiTurn("qwen/qwen-plus", ":memory:", provider=ScriptedProvider(["A"]), environment={}) as client:
        assert client.conversation().send("x").text == "A"
