"""What can be wrong with a connection? Whoever holds connections raises one of these, or an `OSError`."""

from __future__ import annotations

from ..phrases import Reason, system_reason

__all__ = [
    "BrokenOff",
    "ConnectingTooLong",
    "Disconnected",
    "Hindrance",
    "NoSuchHost",
    "NotConnected",
    "NotTrusted",
    "ProxyRefused",
    "reason_of",
]


class Hindrance(Exception):
    """Something is wrong with a connection; ``reason`` says what."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class NotConnected(Hindrance):
    """No connection could be had; ``problem`` says why."""

    def __init__(self, host: str, port: int | None, problem: str) -> None:
        super().__init__(Reason("why.unreachable", host=f"{host}:{port}", problem=problem))


class NotTrusted(NotConnected):
    """The other side could not show that it is who it should be."""

    def __init__(self, host: str, port: int | None) -> None:
        super().__init__(host, port, Reason("why.certificate"))


class NoSuchHost(NotConnected):
    """Nobody knows where the other side is."""

    def __init__(self, host: str, port: int | None) -> None:
        super().__init__(host, port, Reason("why.no_host"))


class ConnectingTooLong(Hindrance):
    """The connection did not stand in time."""

    def __init__(self, seconds: float) -> None:
        super().__init__(Reason("why.no_connection", seconds=f"{seconds:g}"))


class ProxyRefused(Hindrance):
    """A proxy does not let us through."""

    def __init__(self, status: int) -> None:
        super().__init__(Reason("why.proxy_refused", status=status))


class Disconnected(Hindrance):
    """The other side left before it answered."""

    def __init__(self) -> None:
        super().__init__(Reason("why.disconnected"))


class BrokenOff(Hindrance):
    """The connection broke in the middle of an answer, or what came is none."""

    def __init__(self) -> None:
        super().__init__(Reason("why.broken_off"))


def reason_of(error: Hindrance | OSError) -> str:
    """Why there is no connection, or no longer one."""
    return error.reason if isinstance(error, Hindrance) else system_reason(error)
