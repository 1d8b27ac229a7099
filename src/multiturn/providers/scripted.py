"""What answers in tests and documents? A provider that replays a script and remembers what it was asked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence

import orjson

from ..errors import ProviderFailed
from ..phrases import Reason
from ..prompts import is_request
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

    Summaries are asked for beside the conversation, at a time of their own: they have lines of their own,
    ``summaries``, and ``summary_requests`` holds those requests. A request beyond the last line raises
    `ProviderFailed`, with the number of lines there were.

    >>> provider = ScriptedProvider(["27.", TimeoutError("gone"), lambda request: request.model])
    >>> provider.requests
    []
    """

    def __init__(
        self, script: Iterable[Line], *, summaries: Iterable[Line] = (), name: str = "scripted"
    ) -> None:
        self.name = name
        self.requests: list[Request] = []
        self.summary_requests: list[Request] = []
        self._lines: Iterator[Line] = iter(script)
        self._summaries: Iterator[Line] = iter(summaries)

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        """Answer with the next line of the script."""
        summary = is_request(orjson.loads(request.body))
        requests = self.summary_requests if summary else self.requests
        requests.append(request)
        line = next(self._summaries if summary else self._lines, None)
        if line is None:
            raise ProviderFailed(
                Reason("why.script_ended", written=len(requests) - 1, request=len(requests)),
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
