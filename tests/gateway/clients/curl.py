"""What does curl send for a command as vendors print it? The same bytes, for machines that have no curl."""

from __future__ import annotations

import http.client
import shlex
import socket
from dataclasses import dataclass

from tests.gateway.serving import Gate

__all__ = ["Got", "curl", "request"]

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


def request(command: str) -> tuple[int, bytes, bytes]:
    """The port, the head and the body of what curl 7.88 sends.

    >>> request("curl http://127.0.0.1:80/v1/models -H 'Authorization: Bearer k'")[1].splitlines()[0]
    b'GET /v1/models HTTP/1.1'
    """
    words = iter(shlex.split(command.replace("\\\n", " "))[1:])
    address, headers, method, body = "", [], "", None
    for word in words:
        kind = WITH_A_VALUE.get(word)
        if kind == "method":
            method = next(words)
        elif kind == "header":
            headers.append(next(words))
        elif kind == "data":
            body = next(words).encode()
        elif word not in WITHOUT:
            address = word
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


def curl(one: Gate, command: str) -> Got:
    """What a command gets; its address may begin with ``$GATEWAY``."""
    port, head, body = request(command.replace("$GATEWAY", one.url))
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(head)
        agreed = False
        if b"\r\nExpect: " in head:
            agreed = connection.recv(1024).startswith(b"HTTP/1.1 100 ")
        connection.sendall(body)
        response = http.client.HTTPResponse(connection)
        response.begin()
        return Got(response.status, response.read(), response.headers["content-type"], agreed)
