"""``multiturn serve``: the gateway, on this machine or, with keys, for others."""

from __future__ import annotations

import asyncio
import socket
import sys

from ..client import AsyncMultiTurn
from .keys import has_key
from .session import Session

__all__ = ["serve"]

HOST, PORT = "127.0.0.1", 8484
EVERYWHERE = {"0.0.0.0": HOST, "::": "::1"}  # noqa: S104  (listened on only where keys are needed)
"""What means all addresses of this machine, and the one of them at which it reaches itself."""
REFUSED = 2


def serve(
    session: Session, *, host: str | None = None, port: int | None = None, names: tuple[str, ...] = ()
) -> int:
    """Serve until a signal comes; refuses to listen where others could reach it and nobody has a key, or
    where its store cannot be used."""
    screen, host = session.screen, host or HOST
    try:
        from ..gateway import Hosts
        from ..gateway import serve as run
    except ModuleNotFoundError as missing:
        sys.stderr.write(screen.say("serve.extra", name=missing.name) + "\n")
        return 1
    hosts = Hosts(host, names)
    keyed = asyncio.run(has_key(session.config.store))  # a store that cannot be used is told here and now
    if hosts.public and not keyed:
        told = screen.say("serve.key_needed", host=", ".join((host, *names)), store=session.config.store)
        sys.stderr.write(told + " [key_needed]\n")
        return REFUSED
    model = session.model()
    session.check(model)
    listener = socket.create_server(
        (host, PORT if port is None else port),
        family=socket.AF_INET6 if ":" in host else socket.AF_INET,
        backlog=2048,
    )
    port = listener.getsockname()[1]
    url = f"http://{_written(EVERYWHERE.get(host, host))}:{port}/v1"

    def started() -> None:
        told = [screen.say("serve.started", url=url, model=model, store=session.config.store)]
        if host in EVERYWHERE:
            told.append(screen.say("serve.everywhere", address=f"{_written(host)}:{port}", url=url))
        sys.stderr.write("\n".join((*told, "")))
        sys.stderr.flush()

    run(AsyncMultiTurn(model=model, config=session.config), listener, started, hosts)
    return 0


def _written(host: str) -> str:
    """A host as it stands in an address."""
    return f"[{host}]" if ":" in host else host
