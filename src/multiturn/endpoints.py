"""Which endpoints does a client talk to? Chat, embeddings, counting: each opened when it is first asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .catalog import Card, Catalog
from .credentials import api_key
from .embedding import Embedder
from .errors import KeyMissing, SettingInvalid
from .phrases import Reason
from .providers import Patience, Provider, open_counting, open_embeddings, open_provider
from .settings import Config
from .storage import Store
from .vocabulary import Counter, counter

if TYPE_CHECKING:
    from .providers.counting import Counting

__all__ = ["Endpoints"]

BESIDE = 60.0
"""Seconds a question beside the chat may take, all repetitions together: nobody waits for it that long."""


@dataclass(slots=True)
class Endpoints:
    """The open connections of a client. ``key`` and ``base_url`` are for the provider of ``model``; by
    default both come from the environment. ``own`` answers every chat instead of the model's own provider.
    """

    catalog: Catalog
    config: Config
    environment: Mapping[str, str]
    store: Store
    model: str
    key: str | None = None
    base_url: str | None = None
    own: Provider | None = None
    _providers: dict[str, Provider] = field(default_factory=dict)
    _counting: dict[str, Counting] = field(default_factory=dict)
    _embedders: dict[str, Embedder | None] = field(default_factory=dict)
    _counters: dict[str, Counter] = field(default_factory=dict)

    def provider(self, card: Card) -> Provider:
        """The provider that answers for a model; raises `KeyMissing` where its key is not set."""
        if self.own is not None:
            return self.own
        name = card.name if card.options else card.provider
        if name not in self._providers:
            profile = self.catalog.profile(card.provider)
            access = self._access(card.provider)
            self._providers[name] = open_provider(profile, **access, options=card.options)
        return self._providers[name]

    def counting(self, card: Card) -> Counting:
        """The endpoint of a model's provider that counts tokens; raises `CountingUnavailable` where it has
        none."""
        if card.provider not in self._counting:
            profile = self.catalog.profile(card.provider)
            access = self._access(card.provider, total=BESIDE) if profile.counting else {}
            self._counting[card.provider] = open_counting(profile, **access)
        return self._counting[card.provider]

    def embedder(self, name: str) -> Embedder | None:
        """What recalls by an embedding model; ``None`` where the store keeps no vectors. Raises
        `ModelUnknown` and `KeyMissing`."""
        card = self.catalog.embedding(name)
        if card.name not in self._embedders:
            self._embedders[card.name] = None
            vectors = getattr(self.store, "vectors", None)
            if vectors is not None:
                access = self._access(card.provider, total=BESIDE)
                opened = open_embeddings(card, self.catalog.profile(card.provider), **access)
                everything = self.config.search_vectors
                self._embedders[card.name] = Embedder(opened, self.store, vectors, everything)
        return self._embedders[card.name]

    def counter(self, card: Card) -> Counter | None:
        """What counts for a model by its vocabulary, where the operator wants exact counts (``None``: they
        are estimated). Raises `SettingInvalid` where there is no vocabulary."""
        if self.config.tokenizer == "estimate":
            return None
        if card.tokenizer not in self._counters:
            found = counter(
                card.name,
                path=self.config.vocabulary or None,
                environment=self.environment,
                catalog=self.catalog,
            )
            if found is None:
                raise SettingInvalid(Reason("why.vocabulary_absent", model=card.name), name="tokenizer")
            self._counters[card.tokenizer] = found
        return self._counters[card.tokenizer]

    async def close(self) -> None:
        """Close all connections."""
        providers, self._providers = self._providers, {}
        counting, self._counting = self._counting, {}
        embedders, self._embedders = self._embedders, {}
        for provider in providers.values():
            await provider.close()
        for endpoint in counting.values():
            await endpoint.close()
        for embedder in embedders.values():
            if embedder is not None:
                await embedder.close()

    def _access(self, provider: str, total: float | None = None) -> dict[str, Any]:
        """Key, address and time limits of a provider; raises `KeyMissing`."""
        profile = self.catalog.profile(provider)
        configured = provider == self.catalog.card(self.model).provider
        key = self.key if configured else None
        if key is None:
            found = api_key(profile.keys, self.environment)
            key = found[0] if found else None
        if key is None and profile.key_required:
            raise KeyMissing(provider=profile.id, variable=profile.keys[0])
        base_url = self.base_url if configured else None
        base_url = base_url or self.environment.get(profile.base_url_variable or "\0") or None
        timing = self.config.timing
        patience = Patience(timing.connect, timing.first_token, timing.idle, total or timing.total)
        return {"key": key, "base_url": base_url, "patience": patience}
