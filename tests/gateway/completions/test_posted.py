"""What of a posted array is new?"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiturn.gateway.completions.posted import divide, messages_in
from multiturn.gateway.http.refusal import Refusal


def roles(*names: str) -> list[dict[str, str]]:
    return [{"role": name, "content": str(place)} for place, name in enumerate(names)]


@pytest.mark.parametrize(
    ("posted", "instructions", "earlier", "new"),
    [
        ("user", 0, 0, 1),
        ("system user", 1, 0, 1),
        ("system developer user user", 2, 0, 2),
        ("user assistant user", 0, 2, 1),
        ("assistant user", 0, 1, 1),
        ("system user assistant system user", 1, 2, 2),
        ("user assistant tool", 0, 2, 1),
        ("user assistant tool tool", 0, 2, 2),
        ("user assistant tool user", 0, 3, 1),
        ("user assistant tool assistant user", 0, 4, 1),
    ],
)
def test_a_posted_array_is_divided(posted: str, instructions: int, earlier: int, new: int) -> None:
    told = divide(roles(*posted.split()))
    assert (len(told.instructions or ()), len(told.earlier), len(told.new)) == (instructions, earlier, new)


@given(st.lists(st.sampled_from(["system", "user", "assistant", "tool"]), max_size=8))
def test_every_message_has_one_place_and_the_newest_is_new(names: list[str]) -> None:
    messages: list[Any] = roles(*names)
    try:
        told = divide(messages)
    except Refusal:
        assert not names or names[-1] == "assistant" or set(names) == {"system"}
    else:
        assert [*(told.instructions or ()), *told.earlier, *told.new] == messages
        assert told.new[-1] == messages[-1]
        assert not any(each["role"] == "assistant" for each in told.new)


def test_what_only_items_have_is_no_part_of_a_message() -> None:
    said = {"role": "user", "content": "hi", "name": "ada"}
    own = {"id": "mine", "item_ids": ["other"], "response_items": [{"type": "of_the_future"}]}
    assert divide([{**said, **own}]).new == [said]


def test_so_many_messages_are_taken_and_no_more() -> None:
    assert len(messages_in(roles(*["user"] * 2048))) == 2048
    with pytest.raises(Refusal, match="too_many_messages"):
        messages_in(roles(*["user"] * 2049))
