"""Is JSON read that is hardly any, and is the rest refused?"""

from __future__ import annotations

import pytest

from multiturn.providers.values import opened


def test_hostile_json() -> None:
    value, damaged = opened(b'{"a":"\\ud83d","b":NaN,"c":' + b"9" * 5000 + b',"d":Infinity,"e":"\x00"}')
    assert damaged
    assert (value["b"], value["d"], value["e"]) == (None, None, "\x00")
    for body in (b"[" * 100_000, b"", b"{", b"\xff", b'{"a":1'):
        with pytest.raises(ValueError):
            opened(body)
