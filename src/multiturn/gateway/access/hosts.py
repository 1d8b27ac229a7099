"""Which names may a request call us by? A page of somebody else's may send requests here from a browser: it
names a foreign host (its own name, which it lets lead here) or a foreign origin."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.types import Scope

from ..http.refusal import Refusal

__all__ = ["Hosts", "is_loopback"]

KNOWN = 256
"""How many names are not looked at again: nearly all requests give the same one."""
PROBES = ("/healthz", "/readyz")
"""Who asks whether we are alive calls us by any name."""


class Hosts:
    """The names of this gateway. It listens at ``bound``; ``names`` are those by which it is reached beside
    this machine's own. Where others can reach it, its addresses are names too: a page cannot make its own
    name of an address."""

    def __init__(self, bound: str = "localhost", names: Iterable[str] = ()) -> None:
        self._names = frozenset(name.lower() for name in names)
        self.public = not all(is_loopback(each) for each in (bound, *self._names))
        """Whether others than this machine can reach it: also by a proxy, which is why it has a name."""

    def check(self, scope: Scope) -> None:
        """Raise `Refusal` where a request names somebody else."""
        host = origin = None
        for name, value in scope["headers"]:
            if name == b"host":
                host = _host_of(value)
            elif name == b"origin":
                origin = _host_of(value)
        if host is not None and not self._is_ours(host) and scope["path"] not in PROBES:
            raise Refusal(403, "foreign_host")
        if origin is not None and not (is_loopback(origin) or origin in self._names or origin == host):
            raise Refusal(403, "foreign_host")

    def _is_ours(self, host: str) -> bool:
        return is_loopback(host) or host in self._names or (self.public and _is_address(host))


@lru_cache(KNOWN)
def is_loopback(host: str) -> bool:
    """Whether a host name or address leads to this machine only."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


@lru_cache(KNOWN)
def _host_of(value: bytes) -> str:
    """The host in a header; empty where it names none."""
    text = value.decode("latin-1")
    try:
        return urlsplit(text if "://" in text else f"//{text}").hostname or ""
    except ValueError:
        return ""
