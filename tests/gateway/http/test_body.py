"""What nobody interprets stays as it was written."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiturn.gateway.http.body import Body
from multiturn.gateway.http.refusal import Refusal

NAMES = st.text(st.characters(codec="utf-8"), max_size=5)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(NAMES, JSON, max_size=5)


@given(OBJECTS, OBJECTS, st.sampled_from([None, 1]), st.booleans())
def test_changed_fields_are_changed_and_all_others_are_as_they_were(
    value: dict[str, Any], changes: dict[str, Any], indent: int | None, plain: bool
) -> None:
    raw = json.dumps(value, indent=indent, ensure_ascii=plain).encode()
    body = Body(raw)
    assert body.fields == value
    assert json.loads(body.rewritten(changes)) == {**value, **changes}
    assert body.rewritten({}) == raw.strip()
    assert {name: json.loads(body.written(name)) for name in value} == value


def test_a_number_keeps_the_form_in_which_it_was_written() -> None:
    body = Body(b' { "x" : 1.0e2 , "model":"a","y":[1.50] } ')
    assert body.rewritten({"model": "b"}) == b' { "x" : 1.0e2 , "model":"b","y":[1.50] }'
    assert body.rewritten({"z": 1}) == b' { "x" : 1.0e2 , "model":"a","y":[1.50] ,"z":1}'


@given(st.binary(max_size=40))
def test_bytes_are_opened_or_refused(raw: bytes) -> None:
    with contextlib.suppress(Refusal):
        assert Body(raw).fields == orjson.loads(raw)


def test_sixty_four_levels_are_enough_and_no_more_are_taken() -> None:
    assert Body(b'{"a":' + b"[" * 63 + b"]" * 63 + b"}").fields["a"]
    with pytest.raises(Refusal):
        _ = Body(b'{"a":' + b"[" * 64 + b"]" * 64 + b"}").fields


def test_the_levels_of_an_object_are_counted_and_not_its_brackets() -> None:
    assert Body(b'{"a":[' + b"{}," * 200 + b"{}]}").fields
    with pytest.raises(Refusal) as refused:
        _ = Body(b'{"b":[' + b"[]," * 99 + b"[]]," + b'"a":' + b'{"a":' * 64 + b"1" + b"}" * 65).fields
    assert (refused.value.code, refused.value.figures) == ("too_deep", {"limit": 64})


@pytest.mark.parametrize("written", ["18446744073709551615", "-9223372036854775808"])
def test_integers_of_sixty_four_bits_are_taken_and_no_others(written: str) -> None:
    assert Body(b'{"a":%b}' % written.encode()).fields == {"a": int(written)}
    further = int(written) + (1 if int(written) > 0 else -1)
    with pytest.raises(Refusal) as refused:
        _ = Body(b'{"a":%d}' % further).fields
    assert refused.value.code == "integer_too_large"
