"""The gateway: any OpenAI SDK, stateful, on any stateless provider. This is the door."""

from __future__ import annotations

from .access.hosts import Hosts
from .app import application
from .server import serve

__all__ = ["Hosts", "application", "serve"]
