"""What do the images of a window cost, where the model has a formula of its own?

Stored messages are counted by the generic formula, for no model in particular.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import orjson

from .images import ImageRule, correction
from .messages import Entry, Trait
from .path import MessageRow
from .window import Material

__all__ = ["pictured", "surplus"]

Counted = TypeVar("Counted", MessageRow, Entry)


def pictured(material: Material, rule: ImageRule | None) -> Material:
    """What a window is made of, with its images counted by ``rule`` (``None``: as they are stored)."""
    if rule is None:
        return material
    path = material.path
    if _seen(path.rows or ()) or _seen(path.standing) or _seen(path.current):
        rows = None if path.rows is None else _counted(path.rows, rule)
        standing, current = _counted(path.standing, rule), _counted(path.current, rule)
        material = material._replace(path=path._replace(rows=rows, standing=standing, current=current))
    if _seen(material.current) or _seen(material.context):
        current, context = _counted(material.current, rule), _counted(material.context, rule)
        material = material._replace(current=current, context=context)
    return material


def surplus(pieces: Sequence[bytes], rule: ImageRule | None) -> int:
    """What the images of these messages cost more by ``rule`` than they are counted (negative: less)."""
    return 0 if rule is None else sum(_correction(piece, rule) for piece in pieces)


def _seen(rows: Sequence[MessageRow] | Sequence[Entry]) -> bool:
    return any(row.traits & Trait.IMAGE for row in rows)


def _counted(rows: Sequence[Counted], rule: ImageRule) -> list[Counted]:
    return [
        row._replace(tokens=row.tokens + _correction(row.body, rule)) if row.traits & Trait.IMAGE else row
        for row in rows
    ]


def _correction(body: bytes, rule: ImageRule) -> int:
    content = orjson.loads(body).get("content")
    return correction(content, rule) if isinstance(content, list) else 0
