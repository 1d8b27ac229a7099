"""What is written down of a request? One line of JSON: id, route, status, time. No secret, no content."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache

import orjson

__all__ = ["LOG", "Journal", "set_up"]

LOG = logging.getLogger("multiturn.gateway")
TOGETHER = 0.05
"""Seconds within which lines about requests are written in one go."""
LOUD = ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi")


class Journal:
    """Writes one line for each request that ended, where the level of `LOG` lets it. Many are written
    together: a record of `logging` and a write for each would cost a tenth of the whole request."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def note(self, figures: Mapping[str, object]) -> None:
        """A request has ended."""
        if not LOG.isEnabledFor(logging.INFO):
            return
        line = {"time": _moment(time.time()), "level": "info", "event": "request", **figures}
        self._lines.append(orjson.dumps(line).decode())
        if len(self._lines) == 1:
            asyncio.get_running_loop().call_later(TOGETHER, self.write)

    def write(self) -> None:
        """Write what was noted."""
        lines, self._lines = self._lines, []
        for handler in LOG.handlers if lines else ():
            if isinstance(handler, logging.StreamHandler):
                handler.stream.write("\n".join([*lines, ""]))
                handler.flush()


def _moment(seconds: float) -> str:
    return f"{_second(int(seconds))}.{int(seconds * 1000) % 1000:03d}+00:00"


@lru_cache(8)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


class Lines(logging.Formatter):
    """A record as one line of JSON. Of an exception only its kind is told: its words may be a user's."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line: dict[str, object] = {
            "time": _moment(record.created),
            "level": record.levelname.lower(),
            "event": _event(record),
            **getattr(record, "figures", {}),
        }
        if record.exc_info and record.exc_info[0]:
            line["error"] = record.exc_info[0].__name__
        return orjson.dumps(line).decode()


def _event(record: logging.LogRecord) -> str:
    """What happened. Libraries tell it in their first line; what follows may show what they work with."""
    if record.name == LOG.name:
        return str(record.msg)
    if record.name in LOUD:
        return record.getMessage()
    return f"{record.name}: {record.getMessage().partition(chr(10))[0]}"


def set_up() -> None:
    """Write to standard error; what others say than the gateway only where something is wrong."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines())
    for name in ("", LOG.name, *LOUD):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(logging.INFO if name == LOG.name else logging.WARNING)
