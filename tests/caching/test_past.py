"""Is one request told from another?"""

from __future__ import annotations

from multiturn.caching.past import digest_of


def test_the_digest_of_tools_tells_them_apart() -> None:
    assert digest_of([]) == ""
    assert digest_of([{"a": 1}]) == digest_of([{"a": 1}]) != digest_of([{"a": 2}])
