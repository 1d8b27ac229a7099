"""Can the drawing be read, by a program and by a person?"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace
from decimal import Decimal

from multiturn.replay import Total, picture
from multiturn.usage import Cost

SVG = "{http://www.w3.org/2000/svg}"
ONE = Total(
    scheme="as stored",
    models=("m",),
    **dict.fromkeys(("conversations", "folds"), 1),
    **dict.fromkeys(("turns", "requests", "used"), 10),
    **dict.fromkeys(("shared", "unpriced", "refused"), 0),
    input=1000,
    output=100,
    cached=600,
    sent=5,
    quoted=2,
    folded=1,
    gone=2,
    costs=(Cost(Decimal("0.5"), "CNY"),),
    summaries=(Cost(Decimal("0.1"), "CNY"),),
)


def drawn(*totals: Total) -> ET.Element:
    return ET.fromstring(
        picture(totals, lambda code: f"<{code}>", lambda panel, total: f"{panel} & {total.turns}")
    )


def widths(root: ET.Element, words: str) -> list[float]:
    return [
        float(rect.attrib["width"])
        for rect in root.iter(f"{SVG}rect")
        if (title := rect.find(f"{SVG}title")) is not None and title.text == words
    ]


def test_bars_are_as_long_as_what_they_stand_for() -> None:
    half = replace(ONE, scheme="half & <half>", input=500, cached=300)
    root = drawn(ONE, half)
    (cached,), (new,) = widths(root, "as stored: <cached>"), widths(root, "as stored: <new>")
    assert round(cached / new, 2) == 1.5
    (less,) = widths(root, "half & <half>: <cached>")
    assert round(cached / less, 2) == 2.0
    (sent,), (gone,) = widths(root, "as stored: <sent>"), widths(root, "as stored: <gone>")
    assert round(sent / gone, 2) == 2.5
    (cost,), (summary,) = widths(root, "as stored: <cost>"), widths(root, "as stored: <summary>")
    assert round(cost / summary, 2) == 4.0


def test_every_scheme_has_its_figure_in_every_panel() -> None:
    texts = [text.text for text in drawn(ONE, replace(ONE, scheme="other")).iter(f"{SVG}text")]
    assert texts.count("as stored") == texts.count("other") == 3
    assert [text for text in texts if text == "evidence & 10"] == ["evidence & 10"] * 2


def test_long_names_are_told_apart_and_stay_inside() -> None:
    policy = "the last twenty messages of every conversation"
    root = drawn(
        *(replace(ONE, scheme=f"{policy} · {model}") for model in ("qwen/qwen-plus", "kimi/kimi-k2.6"))
    )
    names = {text.text or "" for text in root.iter(f"{SVG}text") if text.attrib.get("text-anchor") == "end"}
    assert len(names) == 2
    assert all(name.startswith("the last") and "…" in name for name in names)
    edge = next(float(t.attrib["x"]) for t in root.iter(f"{SVG}text") if t.attrib.get("text-anchor") == "end")
    assert 7 * max(map(len, names)) < edge
    assert edge < float(root.attrib["width"])


def test_what_is_unknown_draws_nothing() -> None:
    bare = replace(ONE, costs=(), summaries=(), cached=None, used=0, sent=0, quoted=0, folded=0, gone=0)
    root = drawn(bare)
    assert widths(root, "as stored: <cost>") == widths(root, "as stored: <cached>") == []
    assert len(widths(root, "as stored: <new>")) == 1


def test_the_drawing_is_small_and_needs_nothing_else() -> None:
    text = picture([ONE] * 12, str, lambda _, __: "1")
    assert len(text) < 30_000
    assert text.count("http") == 1
    assert "<script" not in text
