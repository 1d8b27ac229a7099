"""When do conversations go whose time is over? From time to time, while the gateway runs."""

from __future__ import annotations

import asyncio

from ..client import AsyncMultiTurn
from ..errors import Error
from .log import LOG

__all__ = ["sweeping"]

EVERY = 60.0
"""Seconds from one time to the next."""


async def sweeping(client: AsyncMultiTurn, every: float = EVERY) -> None:
    """Remove what is over, again and again; a store that fails is tried again."""
    while True:
        try:
            swept = await client.sweep()
            if swept:
                LOG.info("swept", extra={"figures": {"conversations": swept}})
        except Error as error:
            LOG.warning("not swept", extra={"figures": {"code": error.code}})
        await asyncio.sleep(every)
