"""Images in a window are counted by the formula of the model that reads it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from tests.scene import Scene

from multiturn import ContextPolicy
from multiturn.images import GENERIC, ImageRule
from multiturn.messages import Entry, Trait
from multiturn.path import Path, sealed
from multiturn.pictures import pictured, surplus
from multiturn.sealing import seal
from multiturn.tokens import count_message
from multiturn.window import Material

DEAR = ImageRule("fixed", extra=5_000)
LINK = "https://example.com/cat.png"


def photo(words: str = "what is it?") -> list[dict[str, Any]]:
    return [{"type": "text", "text": words}, {"type": "image_url", "image_url": {"url": LINK}}]


def entry(content: Any) -> Entry:
    return seal({"role": "user", "content": content}, count_message)


def test_every_image_is_counted_and_nothing_else() -> None:
    rows = sealed([entry(photo()), entry("words")], 1)
    path = Path(rows=rows, standing=rows[:1], current=rows)
    material = Material(path=path, current=rows, context=[entry(photo()), entry("words")])
    found = pictured(material, DEAR)
    more = 5_000 - 1_024
    assert found.path.rows
    listed = [[*found.path.rows], [*found.path.current], [*found.current]]
    for counted in listed:
        assert [row.tokens - before.tokens for row, before in zip(counted, rows, strict=True)] == [more, 0]
    assert [each.tokens - row.tokens for each, row in zip(found.context, rows, strict=True)] == [more, 0]
    assert found.path.standing[0].tokens == rows[0].tokens + more
    assert pictured(material, None) is material


def test_without_images_nothing_is_touched() -> None:
    material = Material(path=Path(bodies=[b"{}"]), current=sealed([entry("words")], 1))
    assert pictured(material, DEAR) is material


def test_messages_that_changed_are_counted_by_the_same_formula() -> None:
    bodies = [orjson.dumps({"role": "user", "content": content}) for content in (photo(), "words")]
    assert surplus(bodies, DEAR) == 5_000 - 1_024
    assert surplus(bodies, GENERIC) == surplus(bodies, None) == 0


@pytest.mark.parametrize(("model", "tokens"), [("openai/gpt-4o", 765), ("kimi/kimi-k2.6", 1_024)])
async def test_a_window_counts_as_its_model_does(model: str, tokens: int) -> None:
    scene = Scene("a cat", "indeed", model=model, policy=ContextPolicy.full())
    async with scene.client as client:
        chat = client.conversation("c")
        first = await chat.send(photo("x"))
        text = await chat.window("x")
    plain = count_message({"role": "user", "content": [{"type": "text", "text": "x"}]})
    assert abs(first.window.counted - plain - tokens - 3) <= 1
    assert text.counted - first.window.counted < 30


async def test_dear_images_leave_the_window_before_it_is_too_large() -> None:
    scene = Scene("a", "b", "c", model="openai/gpt-4o-mini", policy=ContextPolicy(budget=50_000, recall=None))
    async with scene.client as client:
        chat = client.conversation("c")
        for words in ("one", "two", "three"):
            reply = await chat.send(photo(words))
            assert reply.window.tokens <= 50_000
    sent = [len(orjson.loads(request.body)) for request in scene.requests]
    assert sent == [1, 1, 1]
    assert Trait.IMAGE & scene.requests[-1].traits


async def test_images_that_are_left_out_cost_nothing() -> None:
    policy = ContextPolicy(budget=60_000, images="last", summarize=None, recall=None)
    scene = Scene("a", "b", "c", model="openai/gpt-4o-mini", policy=policy)
    async with scene.client as client:
        chat = client.conversation("c")
        for words in ("one", "two", "three"):
            reply = await chat.send(photo(words))
    assert 28_333 < reply.window.tokens <= 33_000
