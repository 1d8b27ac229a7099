"""Images: each provider's formula on the examples of its documents; sizes from headers; no download."""

from __future__ import annotations

import base64
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiturn.catalog import Catalog
from multiturn.images import GENERIC, ImageRule, Size, correction, size_of, tokens_of
from multiturn.tokens import count_message

SIDES = st.integers(1, 20_000)


def url(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def png(width: int, height: int) -> bytes:
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + b"\x80\x00\x00"


def jpeg(width: int, height: int, preview: int = 0) -> bytes:
    exif = b"\xff\xe1" + struct.pack(">H", preview + 2) + b"\xff\xc0" * (preview // 2)
    frame = b"\xff\xc2" + struct.pack(">HBHHB", 17, 8, height, width, 3) + b"\x00" * 9
    tables = b"\xff\xc4" + struct.pack(">H", 12) + b"\x11" * 10
    return b"\xff\xd8" + (exif if preview else b"") + tables + b"\xff\xff" + frame


def webp(kind: bytes, width: int, height: int) -> bytes:
    if kind == b"VP8 ":
        body = b"\x00" * 6 + struct.pack("<HH", width, height)
    elif kind == b"VP8L":
        body = b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14)
    else:
        body = b"\x00" * 4 + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"RIFF\x00\x00\x00\x00WEBP" + kind + b"\x00" * 4 + body + b"\x00" * 4


def image(address: str, detail: str | None = None) -> dict[str, object]:
    return {"type": "image_url", "image_url": {"url": address} | ({"detail": detail} if detail else {})}


def rule(model: str, **params: object) -> ImageRule:
    known = Catalog()
    found = known.target(known.card(model), params).image
    assert found
    return found


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("png", png(640, 480)),
        ("gif", gif(640, 480)),
        ("jpeg", jpeg(640, 480)),
        ("jpeg", jpeg(640, 480, preview=60_000)),
        ("webp", webp(b"VP8 ", 640, 480)),
        ("webp", webp(b"VP8L", 640, 480)),
        ("webp", webp(b"VP8X", 640, 480)),
        ("png", png(640, 480) + b"\x00" * 200_000),
    ],
    ids=["png", "gif", "jpeg", "jpeg with a preview", "webp", "webp lossless", "webp extended", "large"],
)
def test_the_size_stands_in_the_first_bytes(kind: str, data: bytes) -> None:
    assert size_of(url(kind, data)) == (640, 480)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "https://example.com/cat.png",
        "data:image/png,plain",
        "data:image/png;base64,",
        "data:image/png;base64,%%%%",
        "data:image/png;base64,图片图片",
        url("png", b"not an image at all"),
        url("png", png(640, 480)[:20]),
        url("png", png(0, 480)),
        url("jpeg", b"\xff\xd8" + b"\xff\xc0\x00"),
        url("webp", b"RIFF0000WEBPVP8 "),
        "ms://file-1",
    ],
)
def test_an_image_of_unknown_size_is_taken_as_1024_by_1024(address: str) -> None:
    assert size_of(address) == (1024, 1024)


@given(st.binary(max_size=64), st.sampled_from([b"", b"\xff\xd8", b"RIFF0000WEBPVP8X", b"GIF89a"]))
def test_any_bytes_have_a_size(data: bytes, head: bytes) -> None:
    size = size_of(url("x", head + data))
    assert size.width > 0
    assert size.height > 0


@pytest.mark.parametrize(
    ("model", "size", "detail", "tokens"),
    [
        ("gpt-4o", (1024, 1024), "high", 765),
        ("gpt-4o", (2048, 4096), "high", 1105),
        ("gpt-4o", (4096, 1024), "high", 765),
        ("gpt-4o", (4096, 8192), "low", 85),
        ("gpt-4o-mini", (1024, 1024), None, 2833 + 4 * 5667),
        ("gpt-5", (1024, 1024), None, 70 + 4 * 140),
        ("gpt-4.1-mini", (1024, 1024), None, 1659),
        ("gpt-5-nano", (1024, 1024), None, 2520),
        ("gpt-4.1-mini", (1800, 2400), None, 2353),
        ("qwen3-vl-plus", (1024, 1024), None, 1026),
        ("qwen3-vl-plus", (1000, 300), None, 31 * 9 + 2),
        ("qwen3-vl-plus", (10, 10), None, 4 + 2),
        ("step-3.7-flash", (1024, 1024), None, 400),
        ("step-3.7-flash", (1024, 1024), "low", 400),
        ("step-3.7-flash", (1024, 1024), "high", 1024),
    ],
)
def test_each_model_has_its_formula(
    model: str, size: tuple[int, int], detail: str | None, tokens: int
) -> None:
    assert rule(model).count(Size(*size), detail) == tokens


def test_high_resolution_is_counted_where_the_request_asks_for_it() -> None:
    large = Size(8000, 6000)
    assert rule("qwen3-vl-plus").count(large) <= 2562
    assert 10_000 < rule("qwen3-vl-plus", vl_high_resolution_images=True).count(large) <= 16_386


@given(SIDES, SIDES, st.sampled_from(["gpt-4o", "gpt-5-mini", "qwen3-vl-plus", "step-3.7-flash"]))
def test_every_size_costs_something_and_not_too_much(width: int, height: int, model: str) -> None:
    assert 0 < rule(model).count(Size(width, height)) <= 45_000
    assert 256 <= GENERIC.count(Size(width, height)) <= 2_560 + 160


def test_a_fixed_figure_is_one() -> None:
    assert ImageRule("fixed", extra=258).count(Size(5, 9000)) == 258


def test_only_images_are_counted() -> None:
    parts = [
        {"type": "text", "text": "what is it?"},
        image(url("png", png(320, 320))),
        "loose",
        {"type": "file"},
    ]
    assert tokens_of(parts) == 256
    assert tokens_of([{"type": "image", "image": url("png", png(1024, 320))}]) == 320
    assert tokens_of([{"type": "image_url", "image_url": "https://x/y.png", "detail": "low"}]) == 400
    assert tokens_of([{"type": "image_url"}]) == 1024


def test_what_was_counted_is_corrected_for_the_model() -> None:
    parts = [image(url("png", png(1024, 1024)))]
    assert correction(parts, None) == 0
    assert correction(parts, rule("gpt-4o")) == 765 - 1024
    message = {"role": "user", "content": parts}
    assert count_message(message) + correction(parts, rule("qwen3-vl-plus")) == count_message(message) + 2


def test_a_small_image_is_counted_as_a_small_one() -> None:
    small = {"role": "user", "content": [image(url("png", png(64, 64)))]}
    unknown = {"role": "user", "content": [image("https://example.com/x.png")]}
    assert count_message(small) < count_message(unknown)
