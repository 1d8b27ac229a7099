"""What is written down of a request? One line of JSON: id, route, status, time. No secret, no content."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime

import orjson

__all__ = ["LOG", "set_up"]

LOG = logging.getLogger("multiturn.gateway")
LOUD = ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi")


class Lines(logging.Formatter):
    """A record as one line of JSON. Of an exception only its kind is told: its words may be a user's."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.msg if record.name == LOG.name else record.getMessage(),
            **getattr(record, "figures", {}),
        }
        if record.exc_info and record.exc_info[0]:
            line["error"] = record.exc_info[0].__name__
        return orjson.dumps(line).decode()


def set_up() -> None:
    """Write to standard error; the server's own words only where something is wrong."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines())
    for name in (LOG.name, *LOUD):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(logging.INFO if name == LOG.name else logging.WARNING)
