"""Pictures lie in the file once for each tenant, and no longer than somebody refers to them."""

from __future__ import annotations

import base64
import random
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conformance.talk import ALICE, answer, assistant, begin, call, finish, held, result, user

from multiturn.conversations import Owner, TurnState
from multiturn.errors import ConversationBusy
from multiturn.messages import Entry, Trait
from multiturn.storage import Start
from multiturn.storage.connections import connect
from multiturn.storage.sqlite import SQLiteStore
from multiturn.storage.sqlite_media import put_back, take_out

from .files import contents

IMAGE = int(Trait.IMAGE | Trait.LISTED)
BOB = Owner("shop", "bob")
STRANGER = Owner("other", "alice")


def picture(seed: int, size: int = 30_000) -> Entry:
    data = base64.b64encode(random.Random(seed).randbytes(size)).decode()
    body = f'{{"role":"user","content":[{{"image_url":{{"url":"data:image/png;base64,{data}"}}}}]}}'
    return Entry("user", IMAGE, 3, body.encode())


async def kept(store: SQLiteStore) -> tuple[int, int]:
    """How many pictures lie in the file, and how many places refer to one."""

    def count(db: sqlite3.Connection) -> tuple[int, int]:
        query = "SELECT (SELECT COUNT(*) FROM blobs), (SELECT COUNT(*) FROM media)"
        row: tuple[int, int] = db.execute(query).fetchone()
        return row

    return await store._writer.run(count)


async def show(store: SQLiteStore, *entries: Entry, owner: Owner = ALICE, conversation: str = "c") -> None:
    await store.add(owner, conversation, [[*entries, assistant("nice")]])


async def test_a_picture_that_is_sent_again_takes_no_more_room(path: Path, store: SQLiteStore) -> None:
    await show(store, picture(1))
    await store.close()
    before = len(contents(path))
    again = SQLiteStore(str(path))
    for name in ("c", "c", "d", "e"):
        await show(again, picture(1), conversation=name)
    await show(again, picture(1), owner=BOB, conversation="f")
    assert await kept(again) == (1, 6)
    await again.close()
    assert len(contents(path)) < before + 30_000


async def test_two_tenants_share_nothing(store: SQLiteStore) -> None:
    await show(store, picture(1))
    await show(store, picture(1), owner=STRANGER)
    assert await kept(store) == (2, 2)
    await store.delete(ALICE, "c")
    assert await kept(store) == (1, 1)


async def test_short_ones_and_ordinary_words_stay_where_they_are(store: SQLiteStore) -> None:
    await show(store, picture(1, 2_000), user("x" * 90_000))
    assert await kept(store) == (0, 0)


async def test_what_nobody_refers_to_is_removed(store: SQLiteStore) -> None:
    await show(store, picture(1), picture(2))
    await show(store, picture(2), picture(3), conversation="d")
    await store.delete(ALICE, "c")
    assert await kept(store) == (2, 2)
    await store.delete_user(ALICE)
    assert await kept(store) == (0, 0)


async def test_a_reply_that_is_dropped_takes_its_pictures_along(store: SQLiteStore) -> None:
    lease = held(await store.begin(ALICE, "c", Start(entries=[picture(1)])))
    drawn = picture(2)._replace(role="assistant")
    await finish(store, lease, drawn, state=TurnState.INCOMPLETE)
    assert await kept(store) == (2, 2)
    await finish(store, held(await store.begin(ALICE, "c", Start(again=True))), assistant("x"))
    assert await kept(store) == (1, 1)


async def test_a_turn_that_is_repeated_in_a_branch_refers_to_the_same(store: SQLiteStore) -> None:
    lease = held(await store.begin(ALICE, "c", Start(entries=[picture(1)])))
    await finish(store, lease, call("x"), state=TurnState.WAITING, open_calls=("x",))
    branch = await store.fork(ALICE, "c", 1)
    start = Start(entries=[result("x", "r")], results=("x",), branch=branch)
    await finish(store, held(await store.begin(ALICE, "c", start)), assistant("a"))
    assert await kept(store) == (1, 2)
    await store.delete(ALICE, "c")
    assert await kept(store) == (0, 0)


async def test_what_is_refused_leaves_no_picture(store: SQLiteStore) -> None:
    lease = await begin(store, "u1")
    with pytest.raises(ConversationBusy):
        await store.add(ALICE, "c", [[picture(1)]], wait=0)
    await finish(store, lease, assistant("a1"))
    assert await kept(store) == (0, 0)
    await answer(store, 2)


PIECES = st.one_of(
    st.binary(max_size=30),
    st.sampled_from([b'"', b'\\"', b'"data:image/png;base64,', b" ", b'","']),
    st.integers(4_080, 4_110).map(lambda size: b"A" * size),
)


@settings(max_examples=200, deadline=None)
@given(bodies=st.lists(st.lists(PIECES, max_size=8).map(b"".join), min_size=1, max_size=4))
def test_any_bytes_come_back(bodies: list[bytes]) -> None:
    db = connect(":memory:", 1)
    try:
        db.execute(
            "INSERT INTO conversations (id, tenant, name, user, ulid, created_at, updated_at)"
            " VALUES (1, 't', 'c', 'u', '0', 0, 0)"
        )
        stored = [take_out(db, 1, number, body) for number, body in enumerate(bodies)]
        assert [put_back(db, number, body) for number, body in enumerate(stored)] == bodies
    finally:
        db.close()
