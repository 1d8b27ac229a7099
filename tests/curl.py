"""What the documents need of curl, for machines that have none: an address, ``-s``, ``-H`` and ``-d``."""

from __future__ import annotations

import sys
import urllib.request
from collections.abc import Sequence

__all__ = ["fetch"]


def fetch(arguments: Sequence[str]) -> str:
    """What is answered."""
    headers, body, address = dict[str, str](), None, ""
    given = iter(arguments)
    for each in given:
        if each == "-H":
            name, _, value = next(given).partition(":")
            headers[name] = value.strip()
        elif each == "-d":
            body = next(given).encode()
        elif each != "-s":
            address = each
    with urllib.request.urlopen(urllib.request.Request(address, body, headers)) as answer:
        told: bytes = answer.read()
    return told.decode()


if __name__ == "__main__":
    sys.stdout.write(fetch(sys.argv[1:]))
