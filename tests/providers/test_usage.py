"""Is usage read under every name a provider may give it?"""

from __future__ import annotations

from typing import Any

import pytest

from multiturn.providers.usage import usage_of
from multiturn.usage import Usage


@pytest.mark.parametrize(
    ("raw", "usage"),
    [
        ({"prompt_tokens": 8, "completion_tokens": 11}, Usage(8, 11)),
        ({"input_tokens": 8, "output_tokens": 11}, Usage(8, 11)),
        (
            {"prompt_tokens": 100, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 64}},
            Usage(100, 5, cached=64),
        ),
        ({"prompt_tokens": 100, "completion_tokens": 5, "cached_tokens": 8}, Usage(100, 5, cached=8)),
        ({"prompt_tokens": 100, "completion_tokens": 5, "cached_token": 8}, Usage(100, 5, cached=8)),
        (
            {
                "prompt_tokens": 100,
                "completion_tokens": 5,
                "prompt_cache_hit_tokens": 64,
                "prompt_cache_miss_tokens": 36,
                "completion_tokens_details": {"reasoning_tokens": 3},
            },
            Usage(100, 5, cached=64, reasoning=3),
        ),
        (
            {
                "prompt_tokens": 100,
                "completion_tokens": 5,
                "prompt_tokens_details": {"cached_tokens": 0, "cache_creation_input_tokens": 90},
            },
            Usage(100, 5, cached=0, cache_write=90),
        ),
        (
            {
                "prompt_tokens": 100,
                "completion_tokens": 5,
                "prompt_tokens_details": {"cache_creation": {"ephemeral_5m_input_tokens": 90}},
            },
            Usage(100, 5, cache_write=90),
        ),
        (
            {
                "prompt_tokens": 100,
                "completion_tokens": 5,
                "prompt_tokens_details": {"cached_tokens": 20, "cache_write_tokens": 30},
            },
            Usage(100, 5, cached=20, cache_write=30),
        ),
        (
            {"input_tokens": 7, "output_tokens": 3, "output_tokens_details": {"reasoning_tokens": 2}},
            Usage(7, 3, reasoning=2),
        ),
        ({"prompt_tokens": 8}, Usage(8, 0)),
        # what cannot be is not believed
        (
            {
                "prompt_tokens": 8,
                "completion_tokens": 2,
                "cached_tokens": 80,
                "prompt_tokens_details": {"cache_write_tokens": 5},
                "completion_tokens_details": {"reasoning_tokens": 9},
            },
            Usage(8, 2, cached=8, cache_write=0, reasoning=2),
        ),
        ({"prompt_tokens": "8", "completion_tokens": True}, None),
        ({"prompt_tokens": -8, "completion_tokens": 1e3}, None),
        ({"total_tokens": 5}, None),
        ({}, None),
        (None, None),
        ([1], None),
    ],
)
def test_usage_under_every_name(raw: Any, usage: Usage | None) -> None:
    found = usage_of(raw)
    if usage is None:
        assert found is None
    else:
        assert found is not None
        assert found.raw == raw
        assert (found.input, found.output, found.cached, found.cache_write, found.reasoning) == (
            usage.input,
            usage.output,
            usage.cached,
            usage.cache_write,
            usage.reasoning,
        )
