"""How our deltas look as chat completions."""

from __future__ import annotations

import orjson
from hypothesis import given
from hypothesis import strategies as st

from multiturn.gateway.completions.completions import Chunks, completion
from multiturn.gateway.completions.form import Named
from multiturn.reply import Delta, Draft

NAMED = Named("chatcmpl-1", "m", 7.5)


@given(st.text(st.characters(codec="utf-8"), min_size=1))
def test_a_chunk_of_words_is_written_as_any_other(text: str) -> None:
    chunks = Chunks(NAMED, usage=False)
    first = orjson.loads(chunks.of(Delta("Hello")).removeprefix(b"data: "))
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": "Hello"}
    plain, other = chunks.of(Delta(text)), chunks.of(Delta(text, extra={"name": "x"}))
    assert plain == other.replace(b',"name":"x"', b"", 1)


def test_thoughts_stand_apart_from_words() -> None:
    thought = Delta(reasoning="Hm.")
    told = orjson.loads(Chunks(NAMED, usage=False).of(thought).removeprefix(b"data: "))
    assert told["choices"][0]["delta"] == {"role": "assistant", "content": "", "reasoning_content": "Hm."}
    draft = Draft()
    draft.add(thought)
    message = orjson.loads(completion(NAMED, draft, None))["choices"][0]["message"]
    assert (message["reasoning_content"], message["content"]) == ("Hm.", "")
    assert "reasoning_content" not in completion(NAMED, Draft(), None).decode()
