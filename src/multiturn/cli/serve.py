"""``multiturn serve``: the gateway, on this machine."""

from __future__ import annotations

import socket
import sys

from ..client import AsyncMultiTurn
from .session import Session

__all__ = ["serve"]

HOST, PORT = "127.0.0.1", 8484
REFUSED = 2


def serve(session: Session, *, host: str | None = None, port: int | None = None) -> int:
    """Serve until a signal comes; refuses to listen where others could reach it."""
    screen, host = session.screen, host or HOST
    try:
        from ..gateway import serve as run
        from ..gateway.passage import is_loopback
    except ModuleNotFoundError as missing:
        sys.stderr.write(screen.say("serve.extra", name=missing.name) + "\n")
        return 1
    if not is_loopback(host):
        sys.stderr.write(screen.say("serve.loopback_only", host=host) + " [loopback_only]\n")
        return REFUSED
    model = session.model()
    session.check(model)
    listener = socket.create_server(
        (host, PORT if port is None else port),
        family=socket.AF_INET6 if ":" in host else socket.AF_INET,
        backlog=2048,
    )
    name = f"[{host}]" if ":" in host else host
    url = f"http://{name}:{listener.getsockname()[1]}/v1"

    def started() -> None:
        sys.stderr.write(screen.say("serve.started", url=url, model=model, store=session.config.store) + "\n")
        sys.stderr.flush()

    config = session.config
    run(AsyncMultiTurn(model=model, config=config), listener, started)
    return 0
