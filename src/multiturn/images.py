"""How many tokens is this image, for this model?

The formulas are data (`ImageRule`): a grid of patches, tiles, or a fixed figure. The size of an image that
is carried in a ``data:`` URL is read from its first bytes (PNG, JPEG, GIF, WebP); one that is only linked
to is taken as 1,024 × 1,024. Nothing is downloaded.
"""

from __future__ import annotations

import binascii
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

__all__ = ["GENERIC", "IMAGE_KINDS", "ImageRule", "Size", "correction", "size_of", "tokens_of"]


class Size(NamedTuple):
    """Width and height in pixels."""

    width: int
    height: int


UNKNOWN = Size(1024, 1024)
"""What an image is taken to be whose size cannot be read."""
HEAD = 64 * 1024
"""How much of a ``data:`` URL is decoded first; a photograph's size may stand behind a preview."""
IMAGE_KINDS = ("image_url", "image", "input_image")


@dataclass(frozen=True, slots=True)
class ImageRule:
    """What an image costs.

    - ``"grid"``: sides are rounded to multiples of ``side``, the whole is scaled into ``minimum`` to
      ``maximum`` patches (``high_maximum`` where the request asks for high resolution), each a token, and
      ``extra`` more (Qwen-VL).
    - ``"patches"``: squares of ``side`` that cover it, scaled down to ``maximum`` of them, times
      ``factor`` (OpenAI's smaller models).
    - ``"tiles"``: fitted into 2,048 × 2,048, then the short side to 768; ``tile`` tokens for each square of
      ``side`` and ``extra`` more (OpenAI).
    - ``"fixed"``: ``extra`` tokens, whatever its size.

    ``low`` is what one with ``detail: "low"`` costs; ``None``: no less.
    """

    kind: Literal["grid", "patches", "tiles", "fixed"]
    side: int = 32
    minimum: int = 1
    maximum: int = 16_384
    high_maximum: int | None = None
    extra: int = 0
    tile: int = 0
    factor: float = 1.0
    low: int | None = None
    low_by_default: bool = False
    as_of: str = ""
    source: str = ""

    def count(self, size: Size, detail: str | None = None) -> int:
        """The tokens of an image of this size.

        >>> ImageRule("tiles", side=512, tile=170, extra=85, low=85).count(Size(1024, 1024), "high")
        765
        """
        if self.low is not None and (detail == "low" or (detail is None and self.low_by_default)):
            return self.low
        match self.kind:
            case "fixed":
                return self.extra
            case "grid":
                return _grid(self, size) + self.extra
            case "patches":
                return math.ceil(_patches(self, size) * self.factor)
            case "tiles":
                return _tiles(self, size) * self.tile + self.extra


GENERIC = ImageRule("grid", minimum=256, maximum=2_560, low=400)
"""What is counted before the model is known, and where its formula is not; ``low`` is StepFun's figure
(OpenAI's 85 is below it)."""


def tokens_of(parts: Iterable[Any], rule: ImageRule | None = None) -> int:
    """What the images among the parts of a message cost; without a ``rule``, by the generic one.

    >>> tokens_of([{"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}])
    1024
    """
    rule = rule or GENERIC
    wanted = [_address(part) for part in parts if _pictures(part)]
    return sum(rule.count(size_of(url), detail) for url, detail in wanted)


def correction(parts: Sequence[Any], rule: ImageRule | None) -> int:
    """What must be added to the stored count of a message, which is by the generic rule, for a model with
    this one (negative: less)."""
    return 0 if rule is None else tokens_of(parts, rule) - tokens_of(parts)


def size_of(url: str) -> Size:
    """The size of the image in a ``data:`` URL; 1,024 × 1,024 where it cannot be read.

    >>> size_of("data:image/gif;base64,R0lGODlhAwACAIAAAAAAAP///w==")
    Size(width=3, height=2)
    """
    head, comma, _ = url[:128].partition(",")
    if not comma or not head.startswith("data:") or not head.endswith(";base64"):
        return UNKNOWN
    start = len(head) + 1
    for end in (start + HEAD, len(url)):
        size = _read(_decoded(url[start:end]))
        if size is not None and size.width > 0 and size.height > 0:
            return size
    return UNKNOWN


# ------------------------------------------------------------------------------------- formulas


def _grid(rule: ImageRule, size: Size) -> int:
    side, pixels = rule.side, size.width * size.height
    wide, high = (max(side, round(length / side) * side) for length in size)
    cells = wide * high // (side * side)
    if cells > rule.maximum:
        shrink = math.sqrt(pixels / (rule.maximum * side * side))
        wide, high = (max(side, math.floor(length / shrink / side) * side) for length in size)
    elif cells < rule.minimum:
        grow = math.sqrt(rule.minimum * side * side / pixels)
        wide, high = (math.ceil(length * grow / side) * side for length in size)
    return wide * high // (side * side)


def _patches(rule: ImageRule, size: Size) -> int:
    cells = math.ceil(size.width / rule.side) * math.ceil(size.height / rule.side)
    if cells <= rule.maximum:
        return cells
    shrink = math.sqrt(rule.side * rule.side * rule.maximum / (size.width * size.height))
    wide, high = (max(1.0, length * shrink / rule.side) for length in size)
    fit = min(math.floor(wide) / wide, math.floor(high) / high)  # no patch is left half empty
    return min(rule.maximum, math.ceil(wide * fit - 1e-9) * math.ceil(high * fit - 1e-9))


def _tiles(rule: ImageRule, size: Size) -> int:
    fit = min(1.0, 2048 / max(size))
    wide, high = size.width * fit, size.height * fit
    shrink = min(1.0, 768 / min(wide, high))
    return math.ceil(wide * shrink / rule.side) * math.ceil(high * shrink / rule.side)


# ------------------------------------------------------------------------------------------ parts


def _pictures(part: object) -> bool:
    return isinstance(part, Mapping) and part.get("type") in IMAGE_KINDS


def _address(part: Mapping[str, Any]) -> tuple[str, str | None]:
    """Where the image is, and in which detail it is wanted (``"auto"`` is no wish)."""
    value = part.get("image_url", part.get("image"))
    holder = value if isinstance(value, Mapping) else part
    url = value.get("url") if isinstance(value, Mapping) else value
    detail = holder.get("detail")
    return str(url or ""), detail if detail in ("low", "high") else None


# ------------------------------------------------------------------------------------------ bytes


def _decoded(text: str) -> bytes:
    whole = text[: len(text) - len(text) % 4]
    try:
        return binascii.a2b_base64(whole)
    except (binascii.Error, ValueError):
        return b""


def _read(data: bytes) -> Size | None:
    if data.startswith(b"\x89PNG\r\n\x1a\n") and data[12:16] == b"IHDR" and len(data) >= 24:
        return Size(int.from_bytes(data[16:20]), int.from_bytes(data[20:24]))
    if data[:6] in (b"GIF87a", b"GIF89a") and len(data) >= 10:
        return Size(int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little"))
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _webp(data)
    return _jpeg(data) if data.startswith(b"\xff\xd8") else None


def _webp(data: bytes) -> Size | None:
    kind = data[12:16]
    if kind == b"VP8 " and len(data) >= 30:
        wide, high = (int.from_bytes(data[at : at + 2], "little") & 0x3FFF for at in (26, 28))
        return Size(wide, high)
    if kind == b"VP8L" and len(data) >= 25:
        bits = int.from_bytes(data[21:25], "little")
        return Size((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if kind == b"VP8X" and len(data) >= 30:
        wide, high = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
        return Size(wide, high)
    return None


def _jpeg(data: bytes) -> Size | None:
    """The size stands in the frame header, behind a chain of segments that each tell their length."""
    at = 2
    while at + 9 <= len(data):
        if data[at] != 0xFF:
            return None
        kind = data[at + 1]
        if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
            return Size(int.from_bytes(data[at + 7 : at + 9]), int.from_bytes(data[at + 5 : at + 7]))
        alone = kind in (0x01, 0xFF) or 0xD0 <= kind <= 0xD8
        at += (1 if kind == 0xFF else 2) if alone else 2 + max(2, int.from_bytes(data[at + 2 : at + 4]))
    return None
