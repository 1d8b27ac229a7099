"""Which endpoints does a client talk to? Chat, embeddings, counting: each opened when it is first asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from .catalog import Card, Catalog
from .config import Config
from .credentials import Key, api_keys
from .embedding import Embedder
from .errors import KeyMissing, SettingInvalid
from .phrases import Reason
from .providers import Budget, Patience, Provider, open_counting, open_embeddings, open_provider
from .routing import Routing
from .storage import Store
from .vocabulary import Counter, counter

if TYPE_CHECKING:
    from .cards import EmbeddingCard
    from .providers.counting import Counting
    from .providers.embeddings import Embeddings

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
    routing: Routing = field(init=False)
    """Chooses who is asked: among the targets of a route, and the keys of a provider."""
    _budget: Budget = field(default_factory=Budget)
    _keys: dict[str, Mapping[str, Key | None]] = field(default_factory=dict)
    _providers: dict[tuple[str, str], Provider] = field(default_factory=dict)
    _counting: dict[str, Counting] = field(default_factory=dict)
    _embedders: dict[str, Embedder | None] = field(default_factory=dict)
    _embeddings: dict[str, Embeddings] = field(default_factory=dict)
    _counters: dict[str, Counter] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.routing = Routing(self.catalog, self.labels)

    def provider(self, card: Card, key: str = "") -> Provider:
        """The provider that answers for a model, with its first key or the one of this label; raises
        `KeyMissing` where none is set."""
        if self.own is not None:
            return self.own
        name = (card.name if card.options else card.provider, key)
        if name not in self._providers:
            profile = self.catalog.profile(card.provider)
            access = self._access(card.provider, key)
            self._providers[name] = open_provider(profile, **access, options=card.options)
        return self._providers[name]

    def labels(self, provider: str) -> tuple[str, ...]:
        """The labels of a provider's keys: one that is empty where there is no choice, none where a key is
        missing."""
        if self.own is not None:
            return ("",)
        return tuple(self._keys_of(provider))

    def counting(self, card: Card) -> Counting:
        """The endpoint of a model's provider that counts tokens; raises `CountingUnavailable` where it has
        none."""
        if card.provider not in self._counting:
            profile = self.catalog.profile(card.provider)
            access = self._access(card.provider, total=BESIDE) if profile.counting else {}
            self._counting[card.provider] = open_counting(profile, **access)
        return self._counting[card.provider]

    def embeddings(self, card: EmbeddingCard) -> Embeddings:
        """An embedding model at its provider, for whoever wants its vectors. Raises `KeyMissing`, and
        `ModelUnknown` for a provider that embeds nothing."""
        if card.name not in self._embeddings:
            access = self._access(card.provider, total=BESIDE)
            profile = self.catalog.profile(card.provider)
            self._embeddings[card.name] = open_embeddings(card, profile, **access)
        return self._embeddings[card.name]

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
        embeddings, self._embeddings = self._embeddings, {}
        for provider in providers.values():
            await provider.close()
        for each in embeddings.values():
            await each.close()
        for endpoint in counting.values():
            await endpoint.close()
        for embedder in embedders.values():
            if embedder is not None:
                await embedder.close()

    def _keys_of(self, provider: str) -> Mapping[str, Key | None]:
        """The keys of a provider by their labels, in order."""
        if provider not in self._keys:
            profile, configured = self.catalog.profile(provider), self._configured(provider)
            keys = api_keys(profile.keys, self.environment)
            if self.key is not None and configured:
                keys = [Key(self.key, "")]
            if len(keys) > 1:
                self._keys[provider] = {_label(key): key for key in keys}
            elif keys or not profile.key_required:
                self._keys[provider] = {"": keys[0] if keys else None}
            else:
                self._keys[provider] = {}
        return self._keys[provider]

    def _configured(self, provider: str) -> bool:
        """Whether key and address that were given are for this provider."""
        return provider == self.catalog.card(self.model).provider

    def _access(self, provider: str, label: str = "", total: float | None = None) -> dict[str, Any]:
        """Key, address, time limits and repetitions of a provider; raises `KeyMissing`."""
        profile, keys = self.catalog.profile(provider), self._keys_of(provider)
        if not keys:
            raise KeyMissing(provider=profile.id, variable=profile.keys[0])
        key = keys[label] if label in keys else next(iter(keys.values()))
        base_url = self.base_url if self._configured(provider) else None
        base_url = base_url or self.environment.get(profile.base_url_variable or "\0") or None
        timing = self.config.timing
        patience = Patience(timing.connect, timing.first_token, timing.idle, total or timing.total)
        return {
            "key": key.value if key else None,
            "base_url": base_url,
            "patience": patience,
            "budget": self._budget,
        }


def _label(key: Key) -> str:
    """A name for a key from which the key cannot be told, and which stays the same when others come or go."""
    return blake2b(key.value.encode(), digest_size=6).hexdigest()
