"""What answers in tests and documents? A provider that replays a script and remembers what it was asked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence

from ..errors import ProviderFailed
from ..reply import Delta
from ..usage import Usage
from ..window import Request

__all__ = ["Line", "ScriptedProvider"]

Line = (
    str
    | Delta
    | Sequence[Delta]
    | Exception
    | Callable[[Request], "str | Delta | Sequence[Delta] | Exception"]
)
"""One reply: its text, its deltas as they stand (an answer without a finish reason is one that was cut),
an error to raise, or a function of the request that returns one of these."""


class ScriptedProvider:
    """Answers with the lines of ``script``, one for each request, in order; ``requests`` holds what came.

    A request beyond the last line raises `ProviderFailed`, with the number of lines there were.

    >>> provider = ScriptedProvider(["27.", TimeoutError("gone"), lambda request: request.model])
    >>> provider.requests
    []
    """

    def __init__(self, script: Iterable[Line], *, name: str = "scripted") -> None:
        self.name = name
        self.requests: list[Request] = []
        self._lines: Iterator[Line] = iter(script)

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        """Answer with the next line of the script."""
        self.requests.append(request)
        line = next(self._lines, None)
        if line is None:
            raise ProviderFailed(
                f"the script ended: {len(self.requests) - 1} replies were written, this is request "
                f"{len(self.requests)}",
                provider=self.name,
            )
        for delta in self._deltas(line, request):
            yield delta

    async def close(self) -> None:
        """Nothing is open."""

    def _deltas(self, line: Line, request: Request) -> Sequence[Delta]:
        if callable(line):
            line = line(request)
        if isinstance(line, Exception):
            raise line
        if isinstance(line, str):
            usage = Usage(input=len(request.body), output=len(line), estimated=True)
            return [Delta(text=line, finish_reason="stop", usage=usage, model=request.model)]
        return [line] if isinstance(line, Delta) else line
