"""How is one request put to a provider, and why did it come to nothing?"""

from __future__ import annotations

import asyncio
import io
from dataclasses import dataclass, field

from ..errors import ProviderTimeout, ProviderUnreachable
from ..phrases import Reason
from .hindrance import ConnectingTooLong, Hindrance, reason_of
from .sessions import Answer, Session

__all__ = ["LARGEST_ANSWER", "LARGEST_COMPLAINT", "Call", "late"]

LARGEST_ANSWER = 32 << 20
"""Bytes of one event, or of an answer that is not streamed."""
LARGEST_COMPLAINT = 64 << 10
"""Bytes of an error's body that are read."""
LARGEST_PLAIN_BODY = 1 << 20
"""Bytes that may be handed to the network in one piece."""


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP POST."""

    url: str
    body: bytes
    stream: bool
    headers: dict[str, str] = field(repr=False)
    elsewhere: tuple[type[Exception], ...] = ()
    """With which errors it is not made again, because somebody else can be asked."""

    async def put(
        self,
        session: Session,
        proxy: str | None,
        until: float,
        limit: tuple[str, float],
        *,
        provider: str,
    ) -> Answer:
        """Ask, and wait for the head of the answer ``until`` this time of the loop; ``limit`` has passed then
        (see `late`). Raises `ProviderTimeout` and `ProviderUnreachable`."""
        data = self.body if len(self.body) <= LARGEST_PLAIN_BODY else io.BytesIO(self.body)
        try:
            async with asyncio.timeout_at(until):
                return await session.post(
                    self.url, data=data, headers=self.headers, allow_redirects=False, proxy=proxy
                )
        except ConnectingTooLong as error:
            raise ProviderTimeout(error.reason, provider=provider) from error
        except TimeoutError as error:
            raise ProviderTimeout(late(*limit), provider=provider) from error
        except (Hindrance, OSError) as error:
            raise ProviderUnreachable(reason_of(error), provider=provider) from error


def late(what: str, seconds: float) -> Reason:
    """Which time limit has passed."""
    return Reason(f"why.{what}", seconds=f"{seconds:g}")
