"""What does an address name? A slash that belongs to a name is written ``%2F`` there, and parts nothing."""

from __future__ import annotations

import re
from urllib.parse import unquote

from starlette.requests import Request
from starlette.types import Scope

__all__ = ["hold_slashes", "named"]

WRITTEN = re.compile("%2[fF]")
SLASH = "\udc2f"
"""Stands for a slash of a name while the address is taken apart: nothing that is UTF-8 holds it."""


def hold_slashes(scope: Scope) -> Scope:
    """The scope, with the slashes of names told from those that part the address, before anybody looks at its
    path. The server's own scope stays as it is: a server may log the address, and cannot write what stands
    for a slash here."""
    raw: bytes = scope.get("raw_path") or b""
    if b"%2" not in raw:
        return scope
    return {**scope, "path": SLASH.join(unquote(each) for each in WRITTEN.split(raw.decode("ascii")))}


def named(request: Request, part: str) -> str:
    """What stands in the place of the address that its route calls ``part``."""
    name: str = request.path_params[part]
    return name.replace(SLASH, "/")
