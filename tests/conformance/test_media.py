"""Pictures come back byte for byte, whoever else sent the same, and wherever they are read."""

from __future__ import annotations

import base64
import random

import orjson
import pytest

from multiturn.conversations import Owner, TurnState
from multiturn.messages import Entry, Trait
from multiturn.storage import Reach, Start, Store

from .talk import ALICE, answer, ask, assistant, begin, call, entry, finish, held, result, user

IMAGE = int(Trait.IMAGE | Trait.LISTED)
BOB = Owner("shop", "bob")
STRANGER = Owner("other", "alice")


def url(seed: int, size: int = 5_000) -> str:
    return "data:image/png;base64," + base64.b64encode(random.Random(seed).randbytes(size)).decode()


def picture(*urls: str, text: str = "look") -> Entry:
    parts = [{"type": "image_url", "image_url": {"url": one}} for one in urls]
    body = orjson.dumps({"role": "user", "content": [{"type": "text", "text": text}, *parts]})
    return Entry("user", IMAGE, 10, body)


async def show(store: Store, *entries: Entry, owner: Owner = ALICE, conversation: str = "c") -> None:
    begun = await store.begin(owner, conversation, Start(entries=entries))
    await finish(store, held(begun), assistant("nice"))


async def read(store: Store, owner: Owner = ALICE, conversation: str = "c") -> list[bytes]:
    """The bodies of the path, read in both ways."""
    told = [one.row.body for one in await store.history(owner, conversation)]
    path = await store.gather(owner, conversation, Reach())
    gathered = path.bodies if path.rows is None else [row.body for row in path.rows]
    assert list(gathered) == told
    return told


async def test_a_picture_comes_back_as_it_was(store: Store) -> None:
    sent = picture(url(1), url(2), url(1), "https://example.com/x.png", url(3, 10))
    await show(store, sent)
    assert await read(store) == [sent.body, assistant("nice").body]


async def test_wherever_it_is_read(store: Store) -> None:
    sent = picture(url(1), text="needle")
    (told, _) = await store.add(ALICE, "c", [[sent, assistant("nice")]])
    assert told.row.body == sent.body
    (hit,) = await store.search(ALICE, "needle")
    assert hit.told.row.body == sent.body
    await store.mark(ALICE, "c", 1, set=int(Trait.PINNED))
    await answer(store, 2, 3)
    path = await store.gather(ALICE, "c", Reach(turns=0))
    assert path.standing[0].body == sent.body
    lease = held(await store.begin(ALICE, "c", Start(entries=[picture(url(2))])))
    path = await store.gather(ALICE, "c", Reach(before=4, current=4))
    assert [row.body for row in path.current] == [picture(url(2)).body]
    await finish(store, lease, assistant("ok"))


@pytest.mark.parametrize(
    "body",
    [
        b'{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"%s","format":"wav"}}]}'
        % base64.b64encode(bytes(9_000)),
        b'{ "content" : [{"type":"image_url","image_url":{"url":"data:;base64,%s"}}], "role":"user" }\n'
        % (b"A" * 8_000),
        b'{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image\\/png,%s"}}]}'
        % (b"A" * 8_000),
        b'{"role":"user","content":[{"type":"text","text":"%s"},{"type":"image","image":"x"}]}'
        % (b"a" * 9_000),
        b'"' * 9_001,
        b"",
        '{"role":"user","content":"\\ud83d\\ude00 你好"}'.encode() * 2_000,
    ],
)
async def test_whatever_else_a_body_holds(store: Store, body: bytes) -> None:
    await show(store, Entry("user", IMAGE, 3, body), Entry("user", 0, 3, body))
    assert (await read(store))[:2] == [body, body]


async def test_nothing_a_user_writes_is_taken_for_a_picture(store: Store) -> None:
    """The same words with a picture and without, with marks such as a store might use itself."""
    for words in ("", "blob:1", "\0" * 40, "1" * 64, '{"$ref":"blob/1"}', "multiturn:blob:0"):
        await show(store, picture(url(1), text=words), entry("user", words, int(Trait.IMAGE)))
    bodies = await read(store)
    assert bodies[::3] == [picture(url(1), text=w).body for w in _words(bodies[1::3])]


def _words(bodies: list[bytes]) -> list[str]:
    return [orjson.loads(body)["content"] for body in bodies]


async def test_a_mark_does_not_hide_that_a_message_holds_one(store: Store) -> None:
    await show(store, picture(url(1)))
    everything = (1 << 30) - 1
    await store.mark(ALICE, "c", 1, place=0, clear=everything)
    await store.mark(ALICE, "c", 1, clear=everything)
    assert (await read(store))[0] == picture(url(1)).body


async def test_branches_and_their_own_copies(store: Store) -> None:
    sent = picture(url(1))
    lease = held(await store.begin(ALICE, "c", Start(entries=[sent])))
    await finish(store, lease, call("x"), state=TurnState.WAITING, open_calls=("x",))
    branch = await store.fork(ALICE, "c", 1)
    start = Start(entries=[result("x", "r")], results=("x",), branch=branch)
    await finish(store, held(await store.begin(ALICE, "c", start)), assistant("a"))
    for number in (0, branch):
        assert (await store.history(ALICE, "c", branch=number))[0].row.body == sent.body


async def test_a_repeated_turn_keeps_the_input_and_drops_the_rest(store: Store) -> None:
    drawn = Entry("assistant", IMAGE, 3, picture(url(2)).body)
    lease = held(await store.begin(ALICE, "c", Start(entries=[picture(url(1))])))
    await finish(store, lease, drawn, state=TurnState.INCOMPLETE)
    lease = held(await store.begin(ALICE, "c", Start(again=True)))
    await finish(store, lease, drawn)
    assert await read(store) == [picture(url(1)).body, drawn.body]


async def test_the_same_picture_of_several_outlives_one(store: Store) -> None:
    sent = picture(url(1))
    places = [(ALICE, "c"), (ALICE, "d"), (BOB, "e"), (STRANGER, "c")]
    for owner, name in places:
        await show(store, sent, sent, owner=owner, conversation=name)
    await store.delete(ALICE, "c")
    assert (await read(store, ALICE, "d"))[:2] == [sent.body, sent.body]
    await store.delete_user(ALICE)
    assert (await read(store, BOB, "e"))[:2] == [sent.body, sent.body]
    await store.delete_user(BOB)
    assert (await read(store, STRANGER, "c"))[:2] == [sent.body, sent.body]
    await show(store, sent, conversation="new")
    assert (await read(store, ALICE, "new"))[0] == sent.body


async def test_beside_ordinary_turns(store: Store) -> None:
    await ask(store, "u1", "a1")
    await show(store, picture(url(1)))
    await ask(store, "u3", "a3")
    expected = [user("u1").body, assistant("a1").body, picture(url(1)).body, assistant("nice").body]
    assert (await read(store))[:4] == expected
    lease = await begin(store, "u4")
    assert (await read(store))[2] == picture(url(1)).body
    await finish(store, lease, assistant("a4"))
