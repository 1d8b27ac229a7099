"""Providers: a request goes in, deltas come out. The door that opens the right one."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ..catalog import Profile
from ..errors import KeyMissing, SettingInvalid
from .patience import Patience, Retry
from .provider import Provider

__all__ = ["Patience", "Provider", "Retry", "open_provider"]

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
) -> Provider:
    """The provider that ``profile`` describes; nothing is connected yet.

    ``base_url`` replaces the profile's; ``options`` are what stands behind a question mark in a
    model's name (`Card.options`). A scripted provider is made with its script, not here.

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
        raise SettingInvalid("a scripted provider is made with its script", name="model")
    key, address = _key(profile, key), _address(profile, base_url)
    if profile.protocol == "dashscope":
        from .dashscope import DashScope

        return DashScope(profile, key, address, patience, retry)
    from .openai_chat import OpenAIChat

    return OpenAIChat(profile, key, address, patience, retry)


def _key(profile: Profile, key: str | None) -> str | None:
    key = (key or "").strip()
    if not key:
        if profile.key_required:
            raise KeyMissing(provider=profile.id, variable=profile.keys[0])
        return None
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise SettingInvalid("the key holds characters no key can have", name=profile.keys[0])
    return key


def _address(profile: Profile, base_url: str | None) -> str:
    address = (base_url or profile.base_url).strip().rstrip("/")
    name = f"providers.{profile.id}.base_url"
    if not address:
        raise SettingInvalid(
            f"it is not set; {profile.base_url_variable} in the environment sets it", name=name
        )
    host = address.partition("://")[2].partition("/")[0]
    if not address.startswith(("http://", "https://")) or not host or "@" in host or " " in address:
        raise SettingInvalid("it is not an address that begins with http:// or https://", name=name)
    return address
