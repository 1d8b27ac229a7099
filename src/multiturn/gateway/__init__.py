"""The gateway: any OpenAI SDK, stateful, on any stateless provider. This is the door."""

from __future__ import annotations

from .app import application
from .hosts import Hosts
from .server import serve

__all__ = ["Hosts", "application", "serve"]
