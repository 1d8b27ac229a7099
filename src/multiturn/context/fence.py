"""How do words that are data stand in a message, so that nothing in them is taken for more?"""

from __future__ import annotations

import re

__all__ = ["fenced", "is_chinese"]

TILDES = re.compile("~+")
HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
WORD = re.compile("[A-Za-z\u00c0-\u024f]+")


def fenced(title: str, text: str) -> str:
    """The text between two lines of tildes, under a title in brackets. The lines are longer than any run
    of tildes in the text, so that it cannot close its own fence.

    >>> print(fenced("a note", "tea at five"))
    [a note]
    ~~~
    tea at five
    ~~~
    """
    fence = "~" * max(3, 1 + max(map(len, TILDES.findall(text)), default=0))
    return f"[{title}]\n{fence}\n{text}\n{fence}"


def is_chinese(text: str) -> bool:
    """Whether a text is rather Chinese: with as many ideographs as words of Latin letters.

    >>> is_chinese("我想买 iPhone 15 Pro Max"), is_chinese("What does 谢谢 mean?")
    (True, False)
    """
    han = len(HAN.findall(text))
    return bool(han) and han >= len(WORD.findall(text))
