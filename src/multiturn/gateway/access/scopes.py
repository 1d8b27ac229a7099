"""What must a key be for, to come to an address, and is a model asked there? The first rule that fits
decides; what no rule knows is for administrators. Rules err on the strict side: they fit more than there are
addresses."""

from __future__ import annotations

import re
from typing import NamedTuple

from ...storage.key_store import SCOPES

__all__ = ["ANY", "OPEN", "Rule", "rule_of"]

CHAT, READ, INSPECT, ADMIN = SCOPES
OPEN = "open"
"""No key is needed."""
ANY = "any"
"""Every key will do."""


class Rule(NamedTuple):
    """What holds for addresses that begin like ``path`` (and these ``methods``; none: all): what a key must
    be for, and whether a model ``answers`` there, so that limits and budgets hold."""

    scope: str
    methods: tuple[str, ...]
    path: re.Pattern[str]
    answers: bool = False


def _rule(scope: str, methods: str, path: str, *, answers: bool = False) -> Rule:
    return Rule(scope, tuple(methods.split()), re.compile(path, re.DOTALL), answers)


RULES = (
    _rule(CHAT, "POST", r"/v1/chat/completions", answers=True),
    _rule(OPEN, "GET HEAD", r"/(healthz|readyz)$"),
    _rule(ADMIN, "", r"/metrics|/v1/(keys|usage|users)"),
    _rule(ANY, "GET HEAD", r"/v1/models|/openapi\.json$"),
    _rule(INSPECT, "", r"/v1/.*/(context|window)\s*$"),
    _rule(READ, "GET HEAD", r"/v1/"),
    _rule(READ, "POST", r"/v1/(search|conversations/[^/]*/recall)\s*$"),
    _rule(CHAT, "POST", r"/v1/(responses(/compact)?|embeddings)\s*$|/api/v1/", answers=True),
    _rule(CHAT, "POST", r"/v1/conversations/.*/(regenerate|edit|retry)\s*$", answers=True),
    _rule(CHAT, "", r"/v1/|/api/v1/"),
)
ELSEWHERE = _rule(ADMIN, "", "")


def rule_of(method: str, path: str) -> Rule:
    """What holds for a request.

    >>> rule_of("POST", "/v1/responses").scope, rule_of("GET", "/v1/responses/resp_1/context").scope
    ('chat', 'inspect')
    """
    for rule in RULES:
        if rule.path.match(path) and (not rule.methods or method in rule.methods):
            return rule
    return ELSEWHERE
