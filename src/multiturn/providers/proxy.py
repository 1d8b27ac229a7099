"""Through which proxy does a call go? As ``HTTPS_PROXY``, ``HTTP_PROXY`` and ``NO_PROXY`` say."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from ..errors import SettingInvalid
from ..phrases import Reason

__all__ = ["proxy_of"]


def proxy_of(url: str) -> str | None:
    """The address of the proxy for ``url``; ``None``: it is called directly, as is everything on this
    machine. Raises `SettingInvalid` for a proxy that speaks something else than HTTP."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    proxy = getproxies().get(parts.scheme)
    if not proxy or _is_here(host) or proxy_bypass(f"{host}:{parts.port}" if parts.port else host):
        return None
    address = proxy if "://" in proxy else f"http://{proxy}"
    if not address.startswith(("http://", "https://")):
        kind = address.partition("://")[0]
        raise SettingInvalid(Reason("why.proxy_kind", kind=kind), name=f"{parts.scheme.upper()}_PROXY")
    return address


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:  # a name
        return False
