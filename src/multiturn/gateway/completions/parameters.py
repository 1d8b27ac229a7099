"""Which parameters of a chat completion does a model not know?"""

from __future__ import annotations

from collections.abc import Sequence

from ...catalog import Card, Profile

__all__ = ["refused_by"]

OPENAI_ONLY = frozenset(
    (
        "audio",
        "function_call",
        "functions",
        "modalities",
        "moderation",
        "prediction",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "safety_identifier",
        "service_tier",
        "verbosity",
        "web_search_options",
    )
)
"""Parameters that other providers' profiles do not know."""


def refused_by(models: Sequence[tuple[Card, Profile]]) -> set[str]:
    """The parameters that one of these models does not know."""
    refused: set[str] = set()
    for card, profile in models:
        refused |= {*profile.drop_params, *card.drop_params}
        if profile.id not in ("openai", "compatible"):
            refused |= OPENAI_ONLY - {profile.cache_key}
    return refused
