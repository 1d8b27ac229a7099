"""Providers: a request goes in, deltas come out. The door that opens the right one."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from ..catalog import Catalog, EmbeddingCard, Profile
from ..errors import CountingUnavailable, KeyMissing, ModelUnknown, SettingInvalid
from ..phrases import Reason
from .patience import Budget, Patience, Retry
from .provider import Provider

if TYPE_CHECKING:
    from .access import Access
    from .counting import Counting
    from .embeddings import Embeddings

__all__ = [
    "Budget",
    "Patience",
    "Provider",
    "Retry",
    "address_of",
    "open_counting",
    "open_embeddings",
    "open_provider",
    "proxy_for",
]

NO_OPTIONS: Mapping[str, str] = MappingProxyType({})
PATIENCE = Patience()
RETRY = Retry()


def open_provider(
    profile: Profile,
    *,
    key: str | None = None,
    base_url: str | None = None,
    patience: Patience = PATIENCE,
    retry: Retry = RETRY,
    options: Mapping[str, str] = NO_OPTIONS,
    budget: Budget | None = None,
) -> Provider:
    """The provider that ``profile`` describes; nothing is connected yet.

    ``base_url`` replaces the profile's; ``options`` are what stands behind a question mark in a
    model's name (`Card.options`); ``budget`` of repetitions is shared with other providers. A scripted
    provider is made with its script, not here.

    Raises `KeyMissing` where a key is needed and none given, `SettingInvalid` for an address, a key or
    an option that cannot be.

    >>> from multiturn.catalog import Catalog
    >>> open_provider(Catalog().profile("demo"), options={"fail": "429"}).name
    'demo'
    """
    if profile.protocol == "demo":
        from .demo import DemoProvider

        return DemoProvider(options)
    if profile.protocol == "scripted":
        raise SettingInvalid(Reason("why.scripted"), name="model")
    access = _access(profile, key, base_url, patience, retry, budget)
    if profile.protocol == "dashscope":
        from .dashscope import DashScope

        return DashScope(access)
    from .openai_chat import OpenAIChat

    return OpenAIChat(access)


def open_counting(
    profile: Profile,
    *,
    key: str | None = None,
    base_url: str | None = None,
    patience: Patience = PATIENCE,
    retry: Retry = RETRY,
    budget: Budget | None = None,
) -> Counting:
    """The endpoint of a provider that counts tokens; nothing is connected yet. Raises `CountingUnavailable`
    where it has none, else as `open_provider`."""
    if not profile.counting:
        known = ", ".join(each.id for each in Catalog().profiles() if each.counting)
        raise CountingUnavailable(provider=profile.id, known=known)
    from .counting import Counting

    return Counting(_access(profile, key, base_url, patience, retry, budget))


def open_embeddings(
    card: EmbeddingCard,
    profile: Profile,
    *,
    key: str | None = None,
    base_url: str | None = None,
    patience: Patience = PATIENCE,
    retry: Retry = RETRY,
    budget: Budget | None = None,
) -> Embeddings:
    """An embedding model at its provider; nothing is connected yet. Raises as `open_provider`, and
    `ModelUnknown` for a provider that embeds nothing."""
    if profile.protocol not in ("openai_chat", "dashscope"):
        raise ModelUnknown(model=card.name)
    from .embeddings import Embeddings

    return Embeddings(card, _access(profile, key, base_url, patience, retry, budget))


def proxy_for(address: str) -> str | None:
    """The proxy through which ``address`` is called; ``None``: directly. Raises `SettingInvalid`."""
    from .proxy import proxy_of

    return proxy_of(address)


def _access(
    profile: Profile,
    key: str | None,
    base_url: str | None,
    patience: Patience,
    retry: Retry,
    budget: Budget | None,
) -> Access:
    from .access import Access

    return Access(profile, _key(profile, key), address_of(profile, base_url), patience, retry, budget)


def _key(profile: Profile, key: str | None) -> str | None:
    key = (key or "").strip()
    if not key:
        if profile.key_required:
            raise KeyMissing(provider=profile.id, variable=profile.keys[0])
        return None
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise SettingInvalid(Reason("why.key_characters"), name=profile.keys[0])
    return key


def address_of(profile: Profile, base_url: str | None = None) -> str:
    """Where a provider is called: at ``base_url``, else where its profile says. Raises `SettingInvalid`."""
    address = (base_url or profile.base_url).strip().rstrip("/")
    name = f"providers.{profile.id}.base_url"
    if not address:
        raise SettingInvalid(Reason("why.not_set", variable=profile.base_url_variable), name=name)
    host = address.partition("://")[2].partition("/")[0]
    if not address.startswith(("http://", "https://")) or not host or "@" in host or " " in address:
        raise SettingInvalid(Reason("why.not_address"), name=name)
    return address
