"""Is one request told from another?"""

from __future__ import annotations

import tracemalloc

from multiturn.caching.past import digest_of, digest_to, head_of


def test_the_digest_of_tools_tells_them_apart() -> None:
    assert digest_of([]) == ""
    assert digest_of([{"a": 1}]) == digest_of([{"a": 1}]) != digest_of([{"a": 2}])


def test_long_requests_are_not_kept_in_memory() -> None:
    tracemalloc.start()
    try:
        for number in range(8):
            body = b'[{"role":"user","content":"%d%b"}]' % (number, b"a" * (2 << 20))
            assert head_of(body) == 1
            assert digest_to(body, len(body)) != digest_to(body, 9)
        del body
        assert tracemalloc.get_traced_memory()[0] < 1 << 20
    finally:
        tracemalloc.stop()
