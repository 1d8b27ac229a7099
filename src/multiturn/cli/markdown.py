"""Which part of a growing Markdown text will not change any more? Closed blocks are printed once; only the
open one is drawn again."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

from .screen import clean

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

__all__ = ["Blocks", "LiveMarkdown"]


class Blocks:
    r"""Splits a growing text into closed blocks and an open rest.

    A block is closed when a blank line stands behind it, a line that is not indented follows, and no
    code fence is open. Closed blocks and the rest always add up to the text.

    >>> blocks = Blocks()
    >>> blocks.feed("One.\n\nTwo"), blocks.open
    (['One.\n\n'], 'Two')
    """

    def __init__(self) -> None:
        self.open = ""
        self._scanned = 0
        self._fence = ""
        self._blank = False

    def feed(self, text: str) -> list[str]:
        """Take more text; gives the blocks that closed."""
        self.open += text
        closed: list[str] = []
        while (end := self.open.find("\n", self._scanned)) >= 0:
            line = self.open[self._scanned : end]
            if block := self._closed_before(line):
                closed.append(block)
                end -= len(block)
            self._look(line)
            self._scanned = end + 1
        if block := self._closed_before(self.open[self._scanned :]):
            closed.append(block)
        return closed

    def _closed_before(self, line: str) -> str:
        """The block that ends where ``line`` begins, cut off from the open text."""
        if not self._blank or not line or line[0].isspace():
            return ""
        block, self.open = self.open[: self._scanned], self.open[self._scanned :]
        self._scanned, self._blank = 0, False
        return block

    def _look(self, line: str) -> None:
        """Remember what a whole line means for those behind it."""
        bare = line.strip()
        mark = next((m for m in ("```", "~~~") if bare.startswith(m)), "")
        if self._fence:
            if mark == self._fence[:3] and bare.startswith(self._fence) and not bare.strip(mark[0]):
                self._fence = ""
        elif mark:
            self._fence = mark[0] * (len(bare) - len(bare.lstrip(mark[0])))
        self._blank = not self._fence and not bare


class LiveMarkdown:
    """Prints a reply on a terminal while it grows; the open block shows its newest lines."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = Console(highlight=False)
        self._live = Live(
            console=self._console, transient=True, refresh_per_second=12, vertical_overflow="crop"
        )
        self._blocks = Blocks()

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()
        if self._blocks.open.strip():
            self._print(self._blocks.open)

    def feed(self, text: str) -> None:
        """Show more of the reply."""
        for block in self._blocks.feed(clean(text)):
            self._print(block)
        self._live.update(Tail(self._blocks.open))

    def status(self, text: str) -> None:
        """Show a passing word in place of the open block."""
        from rich.text import Text

        self._live.update(Text(text, style="dim"))

    def _print(self, block: str) -> None:
        from rich.markdown import Markdown

        self._console.print(Markdown(block))


class Tail:
    """The last lines of a Markdown block, as many as the screen has room for."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.markdown import Markdown
        from rich.segment import Segment

        lines = console.render_lines(Markdown(self._text), options, pad=False)
        for line in lines[-max(1, console.height - 2) :]:
            yield from line
            yield Segment.line()
