"""The contract of a provider: a request goes in, deltas come out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from ..reply import Delta
from ..window import Request

__all__ = ["Provider"]


class Provider(Protocol):
    """One endpoint that answers requests. Implementations keep no conversation state.

    ``stream`` yields at least one delta or raises a `multiturn.errors.ProviderError`. Retries happen
    inside it and only before the first delta. A stream that ends without a finish reason raises
    `StreamCut` after the deltas that arrived. Closing the iterator early (``aclose``) closes the
    connection to the provider at once.
    """

    name: str
    """The provider's id in the catalogue, as it stands in errors."""

    def stream(self, request: Request) -> AsyncIterator[Delta]:
        """Answer ``request``; with ``request.stream`` false the whole answer is one delta."""
        ...

    async def close(self) -> None:
        """Close connections. A closed provider is not used again."""
        ...
