"""What must a key be for, to come to an address? The first rule that fits decides; what no rule knows is for
administrators. Rules err on the strict side: they fit more than there are addresses."""

from __future__ import annotations

import re
from typing import NamedTuple

from ..storage.key_store import SCOPES

__all__ = ["ANY", "OPEN", "scope_of"]

CHAT, READ, INSPECT, ADMIN = SCOPES
OPEN = "open"
"""No key is needed."""
ANY = "any"
"""Every key will do."""


class Rule(NamedTuple):
    """Addresses (their beginning), and what a key must be for."""

    scope: str
    methods: tuple[str, ...]
    path: re.Pattern[str]


def _rule(scope: str, methods: str, path: str) -> Rule:
    return Rule(scope, tuple(methods.split()), re.compile(path, re.DOTALL))


RULES = (
    _rule(OPEN, "GET HEAD", r"/(healthz|readyz)$"),
    _rule(ADMIN, "", r"/metrics|/v1/(keys|usage|users)"),
    _rule(ANY, "GET HEAD", r"/v1/models"),
    _rule(INSPECT, "", r"/v1/.*/(context|window)\s*$"),
    _rule(CHAT, "POST", r"/v1/chat/completions"),
    _rule(READ, "GET HEAD", r"/v1/"),
    _rule(READ, "POST", r"/v1/(search|conversations/[^/]*/recall)\s*$"),
    _rule(CHAT, "", r"/v1/|/api/v1/"),
)
"""No methods: all of them."""


def scope_of(method: str, path: str) -> str:
    """What a request needs.

    >>> scope_of("POST", "/v1/responses"), scope_of("GET", "/v1/responses/resp_1/context")
    ('chat', 'inspect')
    """
    for rule in RULES:
        if rule.path.match(path) and (not rule.methods or method in rule.methods):
            return rule.scope
    return ADMIN
