"""Who sends a request? The key it came with, and what that may do."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.types import Scope

from ...client import AsyncMultiTurn
from ...errors import UserBound

__all__ = ["PRINCIPAL", "Principal", "check_user", "principal_of"]

PRINCIPAL = "multiturn.principal"
"""Where it stands in the scope of a request."""


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller. ``client`` sees what is theirs; ``user`` is the only one they may act for, where the key
    is bound to one; ``scopes`` is what the key is for."""

    client: AsyncMultiTurn
    user: str | None = None
    scopes: frozenset[str] = frozenset()


def principal_of(scope: Scope) -> Principal | None:
    """The caller of a request; ``None``: somebody on this machine, where nobody needs a key."""
    found: Principal | None = scope.get(PRINCIPAL)
    return found


def check_user(scope: Scope, named: object) -> None:
    """Raise `UserBound` where a request whose key is bound to a user names somebody else."""
    principal = principal_of(scope)
    if principal is not None and principal.user is not None and named not in (None, principal.user):
        raise UserBound(name="user")
