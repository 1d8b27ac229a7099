"""How our deltas look as chat completions."""

from __future__ import annotations

import orjson
from hypothesis import given
from hypothesis import strategies as st

from multiturn.gateway.completions.completions import Chunks
from multiturn.gateway.completions.form import Named
from multiturn.reply import Delta


@given(st.text(st.characters(codec="utf-8"), min_size=1))
def test_a_chunk_of_words_is_written_as_any_other(text: str) -> None:
    chunks = Chunks(Named("chatcmpl-1", "m", 7.5), usage=False)
    first = orjson.loads(chunks.of(Delta("Hello")).removeprefix(b"data: "))
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": "Hello"}
    plain, other = chunks.of(Delta(text)), chunks.of(Delta(text, extra={"name": "x"}))
    assert plain == other.replace(b',"name":"x"', b"", 1)
