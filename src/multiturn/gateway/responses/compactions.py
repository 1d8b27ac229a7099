"""What is in a compaction item? A summary of everything that came before it, sealed so that clients hand it
back as it is. Later it stands for what it covers: as data at the head of the conversation, which every window
keeps."""

from __future__ import annotations

import base64
import zlib

import orjson

from ...context import summary_note
from ..http.refusal import Refusal
from ..items.items import Item

__all__ = ["MARK", "compaction_item", "opened"]

SEAL = "mt1."
"""Of our own making, and in which form."""
MARK = "cmp_"
LARGEST = 1 << 20


def compaction_item(id: str, text: str, turns: int) -> Item:
    """The item for a summary of so many turns."""
    body = base64.urlsafe_b64encode(zlib.compress(orjson.dumps([turns, text]))).decode()
    return {"id": id, "type": "compaction", "encrypted_content": SEAL + body}


def opened(item: Item) -> list[Item]:
    """What a compaction item says, as the message that stands for it. Raises `Refusal` for one that was not
    made here."""
    seal, _, rest = str(item.get("encrypted_content")).partition(".")
    try:
        body = zlib.decompressobj().decompress(base64.urlsafe_b64decode(rest), LARGEST)
        turns, text = orjson.loads(body if f"{seal}." == SEAL else b"")
        words = summary_note(str(text), int(turns))
    except (TypeError, ValueError, zlib.error) as error:
        raise Refusal(400, "compaction_unreadable", param="input") from error
    return [
        {
            "id": str(item.get("id") or MARK),
            "type": "message",
            "role": "user",
            "status": "completed",
            "content": [{"type": "input_text", "text": words}],
        }
    ]
