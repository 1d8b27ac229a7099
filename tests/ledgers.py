"""Ledgers to try things on: any, and one."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

from multiturn.decision import Code, Span
from multiturn.ledger import Ledger

figures = st.dictionaries(st.text(), st.integers(0, 10**9) | st.floats(0, 1) | st.text(), max_size=2)


@st.composite
def spans(draw: st.DrawFn) -> Span:
    first = draw(st.integers(1, 99))
    return Span(
        code=draw(st.sampled_from(Code)),
        messages=draw(st.integers(0, 5)),
        tokens=draw(st.none() | st.integers(0, 10**6)),
        turns=draw(st.none() | st.integers(0, 9).map(lambda more: (first, first + more))),
        place=draw(st.none() | st.integers(0, 9)),
        figures=draw(figures),
        omitted=tuple(draw(st.lists(st.text(min_size=1), max_size=2))),
    )


ledgers = st.builds(
    Ledger,
    spans=st.lists(spans(), max_size=5).map(tuple),
    tokens=st.integers(0, 10**6),
    budget=st.integers(1, 10**6),
    notes=st.lists(st.sampled_from(("one", "other"))).map(tuple),
    instructions=st.none() | st.text(min_size=1),
)
EXAMPLE: Sequence[Span] = (
    Span(Code.SYSTEM, 1, 12),
    Span(Code.OVER_BUDGET, 40, None, (1, 20), figures={"limit": 800}),
    Span(Code.RECENT, 3, 1_234, (21, 22), omitted=("modality_unsupported",)),
    Span(Code.NEW, 1, 9, (23, 23)),
)
