"""Is JSON read that is hardly any, and is the rest refused?"""

from __future__ import annotations

import orjson
import pytest

from multiturn.providers.values import keepable, opened


def test_hostile_json() -> None:
    value, damaged = opened(b'{"a":"\\ud83d","b":NaN,"c":' + b"9" * 5000 + b',"d":Infinity,"e":"\x00"}')
    assert damaged
    assert (value["b"], value["d"], value["e"]) == (None, None, "\x00")
    for body in (b"[" * 100_000, b"", b"{", b"\xff", b'{"a":1'):
        with pytest.raises(ValueError):
            opened(body)


@pytest.mark.parametrize("number", [-(1 << 63), (1 << 64) - 1])
def test_a_number_is_kept_as_long_as_it_can_be_written(number: int) -> None:
    assert keepable({"seed": number})
    assert orjson.loads(orjson.dumps(number)) == number
    beyond = number + (1 if number > 0 else -1)
    assert not keepable({"seed": beyond})
    with pytest.raises(TypeError):
        orjson.dumps(beyond)


def test_what_is_nested_beyond_measure_is_not_kept() -> None:
    nested: object = 1
    for _ in range(100):
        nested = [{"in": nested}]
    assert not keepable(nested)
