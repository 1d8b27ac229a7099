"""Is each line of a pipe one input, however its bytes arrive?"""

from __future__ import annotations

import asyncio
import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiturn.cli.inputs import Lines
from multiturn.errors import MessageInvalid

TEXT = st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]), max_size=9)


def read(data: bytes, cut: int) -> list[str]:
    """All inputs that a pipe gives when its bytes come in two pieces."""
    taking, giving = os.pipe()

    def give() -> None:
        os.write(giving, data[:cut])
        os.write(giving, data[cut:])
        os.close(giving)

    async def take() -> list[str]:
        lines, found = Lines(taking), []
        while (line := await lines.next()) is not None:
            found.append(line)
        return found

    writer = threading.Thread(target=give)
    writer.start()
    try:
        return asyncio.run(take())
    finally:
        writer.join()
        os.close(taking)


@given(st.lists(TEXT, max_size=6), st.booleans(), st.integers(0, 40), st.sampled_from(["\n", "\r\n"]))
def test_each_line_that_says_something_is_one_input(
    lines: list[str], ended: bool, cut: int, end: str
) -> None:
    data = (end.join(lines) + (end if ended else "")).encode()
    said = [line for line in lines if line.encode().strip()]
    assert read(data, min(cut, len(data))) == [line.removeprefix("\ufeff") for line in said]


def test_a_long_line_stays_whole() -> None:
    assert read(("多轮" * 100_000 + "\nend").encode(), 7) == ["多轮" * 100_000, "end"]


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(MessageInvalid, match="UTF-8"):
        read(b"fine\n\xff\xfe\n", 3)


def test_a_closed_input_is_the_end() -> None:
    taking, giving = os.pipe()
    os.close(giving)
    os.close(taking)
    assert asyncio.run(Lines(taking).next()) is None
