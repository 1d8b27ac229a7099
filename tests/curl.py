"""What does curl send for a command as documents print it, and what does it get? The same bytes, for machines
that have no curl: as a module, and as the command itself."""

from __future__ import annotations

import http.client
import shlex
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Got", "curl", "fetch", "request", "words"]

WITH_A_VALUE = {
    "-X": "method",
    "--request": "method",
    "-H": "header",
    "--header": "header",
    "-d": "data",
    "--data": "data",
    "--data-raw": "data",
}
WITHOUT = {"-L", "--location", "-N", "--no-buffer", "-s", "--silent"}
TO_BE_AWAITED = 1 << 20
"""Longer bodies are sent only once the server has said that it wants them."""


@dataclass(frozen=True)
class Got:
    """An answer. ``agreed`` is whether the server asked for a body that was announced."""

    status: int
    body: bytes
    kind: str
    agreed: bool


def words(command: str) -> list[str]:
    """The arguments of a command as a shell reads them."""
    return shlex.split(command.replace("\\\n", " "))[1:]


def request(arguments: Sequence[str]) -> tuple[int, bytes, bytes]:
    """The port, the head and the body of what curl 7.88 sends.

    >>> request(["http://127.0.0.1:80/v1/models", "-H", "Authorization: Bearer k"])[1].splitlines()[0]
    b'GET /v1/models HTTP/1.1'
    """
    given = iter(arguments)
    address, headers, method, body = "", list[str](), "", None
    for each in given:
        kind = WITH_A_VALUE.get(each)
        if kind == "method":
            method = next(given)
        elif kind == "header":
            headers.append(next(given))
        elif kind == "data":
            body = next(given).encode()
        elif each not in WITHOUT:
            address = each
    host, _, path = address.removeprefix("http://").partition("/")
    method = method or ("GET" if body is None else "POST")
    lines = [
        f"{method} /{path} HTTP/1.1",
        f"Host: {host}",
        "User-Agent: curl/7.88.1",
        "Accept: */*",
        *headers,
        *_of_body(body, headers),
    ]
    return int(host.partition(":")[2]), "\r\n".join([*lines, "", ""]).encode(), body or b""


def _of_body(body: bytes | None, headers: list[str]) -> list[str]:
    if body is None:
        return []
    lines = [f"Content-Length: {len(body)}"]
    if not any(each.lower().startswith("content-type:") for each in headers):
        lines.append("Content-Type: application/x-www-form-urlencoded")
    return [*lines, "Expect: 100-continue"] if len(body) > TO_BE_AWAITED else lines


def fetch(arguments: Sequence[str]) -> Got:
    """What is answered."""
    port, head, body = request(arguments)
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(head)
        agreed = False
        if b"\r\nExpect: " in head:
            agreed = connection.recv(1024).startswith(b"HTTP/1.1 100 ")
        connection.sendall(body)
        response = http.client.HTTPResponse(connection)
        response.begin()
        return Got(response.status, response.read(), response.headers["content-type"], agreed)


def curl(url: str, command: str) -> Got:
    """What a command gets; its address may begin with ``$GATEWAY``, which is at ``url``."""
    return fetch(words(command.replace("$GATEWAY", url)))


if __name__ == "__main__":
    sys.stdout.buffer.write(fetch(sys.argv[1:]).body)
