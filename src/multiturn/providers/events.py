"""Where does one server-sent event end and the next begin? Bytes go in as they arrive, events come out."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Event", "EventParser"]

STATUS_COMMENT = b":HTTP_STATUS/"
"""DashScope tells the status of an event in a comment."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event. ``data`` are its data lines, joined by line feeds, as bytes: they may be JSON in any
    state. ``status`` is the HTTP status that DashScope writes beside its events."""

    data: bytes
    name: str = ""
    status: int | None = None


@dataclass(slots=True)
class EventParser:
    r"""An incremental parser that does not care where the network splits its input.

    Lines end with CR, LF or both; a byte order mark at the beginning, comments and fields we do not use
    are passed over.

    >>> parser = EventParser()
    >>> parser.feed(b"data: {}\r")
    []
    >>> parser.feed(b"\n\ndata: 1")
    [Event(data=b'{}', name='', status=None)]
    >>> parser.end()
    Event(data=b'1', name='', status=None)
    """

    _pieces: list[bytes] = field(default_factory=list)
    """The line that is not complete yet."""
    _pending: int = 0
    _after_cr: bool = False
    _begun: bool = False
    _data: list[bytes] = field(default_factory=list)
    _name: str = ""
    _status: int | None = None

    @property
    def pending(self) -> int:
        """How many bytes of an unfinished event are held."""
        return self._pending + sum(map(len, self._data))

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that are complete with ``chunk``."""
        if self._at_rest and chunk[:6] == b"data: " and _is_one_line(chunk):
            return [Event(chunk[6:-2])]
        if self._after_cr and chunk:
            chunk = chunk.removeprefix(b"\n")
            self._after_cr = False
        if b"\n" not in chunk and b"\r" not in chunk:
            self._pieces.append(chunk)
            self._pending += len(chunk)
            return []
        self._after_cr = chunk.endswith(b"\r")
        lines = b"".join((*self._pieces, chunk)).splitlines(keepends=True)
        self._pieces = [] if lines[-1].endswith((b"\n", b"\r")) else [lines.pop()]
        self._pending = sum(map(len, self._pieces))
        return [event for line in lines if (event := self._line(line.rstrip(b"\r\n")))]

    @property
    def _at_rest(self) -> bool:
        """Whether nothing is under way."""
        waiting = self._pieces or self._data or self._name or self._after_cr
        return self._begun and not waiting and self._status is None

    def end(self) -> Event | None:
        """The event that was under way when the input ended; it may be cut off in the middle."""
        rest = b"".join(self._pieces)
        self._pieces, self._pending = [], 0
        if rest:
            self._line(rest)
        return self._line(b"")

    def _line(self, line: bytes) -> Event | None:
        if not self._begun:
            self._begun = True
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not line:
            return self._dispatch()
        if line[:1] == b":":
            if line.startswith(STATUS_COMMENT) and line[len(STATUS_COMMENT) :].strip().isdigit():
                self._status = int(line[len(STATUS_COMMENT) :].strip()[:4])
            return None
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._name = value.decode("utf-8", "replace").strip()
        elif name == b"status" and value.strip().isdigit():
            self._status = int(value.strip()[:4])
        return None

    def _dispatch(self) -> Event | None:
        event = Event(b"\n".join(self._data), self._name, self._status) if self._data else None
        self._data, self._name, self._status = [], "", None
        return event


def _is_one_line(chunk: bytes) -> bool:
    """Whether it is one line and the blank one behind it, as nearly all chunks are."""
    return chunk.endswith(b"\n\n") and chunk.find(b"\n") == len(chunk) - 2 and b"\r" not in chunk
