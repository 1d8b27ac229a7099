"""Which turn or message of a conversation is meant? By its number on the path, by its id, or by itself."""

from __future__ import annotations

from .conversations import Address, Owner, Turn
from .errors import TurnNotFound
from .messages import Message
from .storage import Store

__all__ = ["References", "TurnLike"]

TurnLike = int | str | Turn
"""A turn by its number on the path, by its id, or itself."""


class References:
    """Finds what is meant in one conversation. Numbers are those of the path of ``branch`` (``None``: the one
    in use); an id names its branch itself. Every method raises `TurnNotFound` for what is not there."""

    def __init__(self, store: Store, owner: Owner, conversation: str) -> None:
        self._store = store
        self._at = (owner, conversation)
        self._ulid = ""

    async def turn(self, turn: TurnLike, branch: int | None) -> tuple[int, int | None]:
        """The number of a turn, and the branch on whose path it has that number."""
        if isinstance(turn, int):
            return turn, branch
        address = await self.address(turn)
        return address.turn, address.branch

    async def message(self, message: Message | TurnLike, branch: int | None) -> tuple[int, int, int | None]:
        """Turn, place and branch of a message; of a turn, the place of its first user message."""
        wanted = message.id if isinstance(message, Message) else message
        if isinstance(wanted, str) and not wanted.startswith("turn_"):
            address = await self._own(wanted) or await self._store.locate(*self._at, wanted)
            return address.turn, address.place or 0, address.branch
        number, branch = await self.turn(wanted, branch)
        rows = await self._store.history(*self._at, after=number - 1, limit=1, branch=branch)
        places = [told.row.place for told in rows if told.row.role == "user"]
        if not places:
            raise TurnNotFound(wanted=wanted, conversation=self._at[1])
        return number, places[0], branch

    async def address(self, turn: str | Turn) -> Address:
        """Where a turn stands that is named by its id."""
        name = turn.id if isinstance(turn, Turn) else turn
        address = await self._own(name)
        if address is None:
            raise TurnNotFound(wanted=name, conversation=self._at[1])
        return address

    async def _own(self, id: str) -> Address | None:
        """The place an id speaks of; ``None`` where it is none of this conversation's."""
        address = Address.parse(str(id))
        if address is not None and address.ulid != self._ulid:
            self._ulid = (await self._store.conversation(*self._at)).ulid
        return address if address is not None and address.ulid == self._ulid else None
