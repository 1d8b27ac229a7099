"""How is a provider reached? Its address, the key it wants, and how much patience there is with it."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..catalog import Profile
from .faults import Faults
from .patience import Budget, Patience, Retry

__all__ = ["Access"]


@dataclass(frozen=True, slots=True)
class Access:
    """What every endpoint of a provider is called with. ``key`` is ``None`` where none is wanted; ``address``
    ends without a slash; the ``budget`` of repetitions may be shared with other providers."""

    profile: Profile
    key: str | None = field(repr=False)
    address: str
    patience: Patience
    retry: Retry
    budget: Budget | None = None

    def headers(self) -> dict[str, str]:
        """The headers that every request of JSON carries."""
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        return headers | {"Authorization": f"Bearer {self.key}"} if self.key else headers

    def faults(self) -> Faults:
        """What reads the provider's complaints, and repeats no key."""
        return Faults(self.profile.id, self.profile.codes, (self.key,) if self.key else ())
