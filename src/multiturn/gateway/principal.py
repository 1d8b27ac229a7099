"""Who sends a request? The key it came with, and what that may do."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.types import Scope

from ..client import AsyncMultiTurn

__all__ = ["PRINCIPAL", "Principal", "principal_of"]

PRINCIPAL = "multiturn.principal"
"""Where it stands in the scope of a request."""


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller. ``client`` sees what is theirs; ``user`` is the only one they may act for, where the key
    is bound to one."""

    client: AsyncMultiTurn
    user: str | None = None


def principal_of(scope: Scope) -> Principal | None:
    """The caller of a request; ``None``: somebody on this machine, where nobody needs a key."""
    found: Principal | None = scope.get(PRINCIPAL)
    return found
