"""Is a window that is built while its turn is being stored the one that is built without any haste?"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from contextlib import suppress
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.scene import Scene
from tests.simulators import simulate

from multiturn import AsyncConversation, ContextPolicy, Error, Recall, StoreFull
from multiturn.ahead import Ahead
from multiturn.storage import Begun
from multiturn.storage.sqlite import SQLiteStore
from multiturn.terms import Input, Terms
from multiturn.window import Window

POLICY = ContextPolicy(max_messages=6, summarize=None)
WORDS = (
    "water",
    "garden",
    "tree",
    "locker",
    "code 48213",
    "我喜欢花园",
    "what was the code?",
    "我的密码是多少",
)
DEEDS = st.one_of(
    st.tuples(st.just("say"), st.integers(0, 63)),
    st.tuples(st.sampled_from(("pin", "retract", "exclude", "erase", "branch")), st.integers(0, 12)),
)


def words(number: int) -> str:
    return f"{WORDS[number % 8]} {WORDS[number // 8]}"


async def do(chat: AsyncConversation, deed: str, number: int) -> None:
    """What somebody else does to the conversation meanwhile; what is refused is none."""
    turns = await chat.turns()
    turn = 1 + number % max(1, len(turns))
    if deed == "branch":
        await chat.branch(turn)
        await chat.switch((await chat.branches())[-1])
    else:
        await getattr(chat, deed)(turn)


@given(st.lists(DEEDS, min_size=4, max_size=12))
@settings(max_examples=30, deadline=None)
def test_it_is_the_window_of_who_looks_for_the_first_time(deeds: list[tuple[str, int]]) -> None:
    async def tried(file: str) -> None:
        warm = Scene(*repeat("Noted.", 40), store=file, policy=POLICY)
        chat = warm.client.conversation("c")
        for number in range(10):
            await chat.send(f"{words(number)} {number}")
        for deed, number in deeds:
            cold = Scene(store=file, policy=POLICY)
            other = cold.client.conversation("c")
            if deed == "say":
                expected = await other.window(words(number))
                window = (await chat.send(words(number))).window
                assert window.body == expected.body
                assert list(window.spans) == list(expected.spans)
                assert (window.tokens, window.recalled) == (expected.tokens, expected.recalled)
            else:
                with suppress(Error):
                    await do(other, deed, number)
            await cold.client.close()
        await warm.client.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(tried(f"sqlite:///{Path(folder) / 'store.db'}"))


async def _long(scene: Scene) -> AsyncConversation:
    chat = scene.client.conversation("c")
    for number in range(10):
        await chat.send(words(number))
    return chat


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each window was built ahead."""
    found: list[bool] = []
    take = Ahead.take

    def noted(self: Ahead, terms: Terms, given: Input) -> asyncio.Task[Window] | None:
        task = take(self, terms, given)
        found.append(task is not None)
        return task

    monkeypatch.setattr(Ahead, "take", noted)
    return found


async def test_what_lies_outside_is_searched_while_the_turn_is_stored(built: list[bool]) -> None:
    scene = Scene(*repeat("Noted.", 20), policy=POLICY)
    await _long(scene)
    assert built[:3] == [False] * 3
    assert built[-3:] == [True] * 3
    await scene.client.close()


async def test_nothing_is_built_ahead_where_nothing_is_recalled(built: list[bool]) -> None:
    scene = Scene(*repeat("Noted.", 20), policy=ContextPolicy(max_messages=6, summarize=None, recall=None))
    await _long(scene)
    assert not any(built)
    await scene.client.close()


async def test_nobody_is_asked_for_a_vector_before_the_turn_is_stored(built: list[bool]) -> None:
    recall = Recall(embedding="qwen/text-embedding-v4")
    policy = ContextPolicy(max_messages=6, summarize=None, recall=recall)
    async with simulate("qwen") as server:
        reached = {"DASHSCOPE_API_KEY": server.key, "DASHSCOPE_BASE_URL": server.base_url}
        scene = Scene(*repeat("Noted.", 20), policy=policy, environment=reached)
        await _long(scene)
        await scene.client.close()
    assert not any(built)


async def test_settings_that_changed_meanwhile_count(built: list[bool], tmp_path: Path) -> None:
    """What was built under the old ones is not sent."""
    file = f"sqlite:///{tmp_path / 'store.db'}"
    scene, other = Scene(*repeat("Noted.", 20), store=file, policy=POLICY), Scene(store=file)
    chat = await _long(scene)
    await other.client.conversation("c", system="Be brief.").add([{"role": "user", "content": "hello"}])
    window = (await chat.send("water")).window
    assert window.messages[0] == {"role": "system", "content": "Be brief."}
    assert not built[-1]
    await scene.client.close()
    await other.client.close()


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From when it is called, no turn can be stored."""
    begin = SQLiteStore.begin

    async def fails(self: SQLiteStore, *given: Any) -> Begun:
        await begin(self, *given)
        await asyncio.sleep(0)  # the window has begun to be built
        raise StoreFull(path="x")

    return lambda: monkeypatch.setattr(SQLiteStore, "begin", fails)


async def test_nobody_is_asked_where_the_turn_cannot_be_stored(full: Callable[[], None]) -> None:
    scene = Scene(*repeat("Noted.", 20), policy=POLICY)
    chat = await _long(scene)
    full()
    asked = len(scene.requests)
    with pytest.raises(StoreFull):
        await chat.send("water")
    await asyncio.sleep(0)
    assert len(scene.requests) == asked
    await scene.client.close()


async def test_a_window_that_nobody_wants_any_more_is_not_built_to_its_end(
    monkeypatch: pytest.MonkeyPatch, full: Callable[[], None]
) -> None:
    scene = Scene(*repeat("Noted.", 20), policy=POLICY)
    chat, ended = await _long(scene), asyncio.Event()

    async def searches(*_: object) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    monkeypatch.setattr("multiturn.ahead.window_of", searches)
    full()
    with pytest.raises(StoreFull):
        await chat.send("water")
    await asyncio.wait_for(ended.wait(), 20)
    await scene.client.close()
