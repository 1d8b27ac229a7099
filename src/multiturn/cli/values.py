"""What may the value of an option be? Each raises `ValueError`, or refuses, what it cannot be."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import Any

import click

from ..storage.key_store import SCOPES

__all__ = ["GROUPS", "Amount", "against", "decimals", "grouping", "port", "scope", "since", "switch", "whole"]

AGO = re.compile(r"(\d{1,9})([mhdw])")
GROUPS = ("day", "model", "user", "conversation", "tag")
SECONDS = {"m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


class Amount(click.ParamType[int]):
    """A whole number of at least ``least``."""

    name = "amount"

    def __init__(self, least: int) -> None:
        self.least = least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number; refused where it is none, or too small."""
        try:
            amount = int(value)
        except ValueError:
            amount = self.least - 1
        if amount < self.least:
            self.fail(str(value), param, ctx)
        return amount


def whole(text: str) -> int:
    """A whole number."""
    try:
        return int(text)
    except ValueError:
        raise ValueError(text) from None


def port(text: str) -> int:
    """A port of this machine."""
    if not 0 <= whole(text) < 1 << 16:
        raise ValueError(text)
    return int(text)


def decimals(text: str) -> float:
    """A number with decimals."""
    try:
        return float(text)
    except ValueError:
        raise ValueError(text) from None


def switch(text: str) -> bool:
    """On or off."""
    if text not in ("on", "off"):
        raise ValueError(text)
    return text == "on"


def grouping(text: str) -> str:
    """One of the ways to group usage."""
    if text not in GROUPS:
        raise ValueError(text)
    return text


def scope(text: str) -> str:
    """What a key may be for."""
    if text not in SCOPES:
        raise ValueError(text)
    return text


def since(text: str) -> float:
    """A time: ``7d`` (days ago; also ``m``, ``h``, ``w``) or a date such as ``2026-05-01``, as seconds since
    1970."""
    ago = AGO.fullmatch(text)
    if ago:
        return time.time() - int(ago[1]) * SECONDS[ago[2]]
    try:
        named = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(text) from None
    return (named if named.tzinfo else named.replace(tzinfo=UTC)).timestamp()


def against(text: str) -> str:
    """What predictions are compared with."""
    if text != "billed":
        raise ValueError(text)
    return text
