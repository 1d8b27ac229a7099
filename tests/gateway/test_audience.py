"""Several who hear one answer: the model is stopped with the last of them, and each is told how it ended."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self, cast

import pytest

from multiturn.conversations import Owner
from multiturn.gateway.audience import Audience, Audiences, mark_of
from multiturn.gateway.http.refusal import Refusal
from multiturn.reply import Delta
from multiturn.stream import AsyncStream

MARK = mark_of((Owner("shop"), "talk"), "key", b"posted")


class Answer:
    """An answer of two words, the second of which comes once it is ``let``."""

    def __init__(self) -> None:
        self.let = asyncio.Event()
        self.words = ["one", "two"]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is held."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Delta:
        if len(self.words) == 1:
            await self.let.wait()
        if not self.words:
            raise StopAsyncIteration
        return Delta(self.words.pop(0))


class Hall:
    """Audiences, and the answers that are made for them."""

    def __init__(self) -> None:
        self.tasks: list[asyncio.Task[None]] = []
        self.answer = Answer()
        self.audiences = Audiences(self.beside)

    def beside(self, work: Coroutine[Any, Any, None]) -> None:
        self.tasks.append(asyncio.create_task(work))

    def audience(self, *, detached: bool = False) -> Audience:
        return self.audiences.of(MARK, cast("AsyncStream", self.answer), {}, detached=detached)

    @property
    def heard(self) -> Audience | None:
        """Who hears the answer now."""
        return self.audiences.get(MARK)


async def test_the_model_goes_on_while_anybody_listens() -> None:
    hall = Hall()
    first = hall.audience().heard()
    assert (await anext(first)).text == "one"
    second = hall.audience().heard()
    assert (await anext(second)).text == "one"
    await first.aclose()
    hall.answer.let.set()
    assert [delta.text async for delta in second] == ["two"]
    await asyncio.wait(hall.tasks)
    assert hall.heard is None, "who asks later is told what is stored"


@pytest.mark.parametrize("detached", [False, True])
async def test_the_last_one_stops_the_model_unless_it_is_to_go_on(*, detached: bool) -> None:
    hall = Hall()
    alone = hall.audience(detached=detached).heard()
    assert (await anext(alone)).text == "one"
    await alone.aclose()
    assert (hall.heard is None) is not detached
    hall.answer.let.set()
    await asyncio.wait(hall.tasks)
    assert hall.tasks[0].cancelled() is not detached


async def test_an_answer_that_the_end_of_the_gateway_cut_off_is_no_whole_answer() -> None:
    hall = Hall()
    listening = hall.audience(detached=True).heard()
    assert (await anext(listening)).text == "one"
    hall.tasks[0].cancel()
    with pytest.raises(Refusal, match="stopping"):
        await anext(listening)
