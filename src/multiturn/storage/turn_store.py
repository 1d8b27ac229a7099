"""What does a store do for one turn?

The turn protocol (what makes "acknowledged" mean "durable"):

1. ``begin`` commits the user's input and takes the lease of its branch in one transaction. Only then may a
   provider be called.
2. ``append`` keeps what has arrived so far, in batches, while the answer streams.
3. ``finish`` commits the answer, the ledger, usage and state in one transaction and frees the lease.
4. Whoever begins next finds a turn whose lease ran out and closes it as `TurnState.INCOMPLETE`, with
   the text that had arrived and without ever an empty assistant message.

Every write of a turn carries the epoch of its lease: a holder that lost it to another writes nothing
and gets `TurnExpired`. One that only slept past its time, while nobody came, goes on. Time is the
database's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ..conversations import Address, Owner, Turn
from ..path import Path
from .records import Begun, Ending, Exchange, Lease, Partial, Reach, Start

__all__ = ["TurnStore"]


class TurnStore(Protocol):
    """Where turns are kept while they are made. All methods may raise `multiturn.errors.StoreError`."""

    async def begin(
        self,
        owner: Owner,
        conversation: str,
        start: Start,
        reach: Reach | None = None,
        ahead: Callable[[Begun], None] | None = None,
    ) -> Begun:
        """Accept a turn and take the lease of its branch, in one transaction; with ``reach``, read what its
        window may be built from at the same time, as `gather` does once the turn is held (`Reach.held`).

        ``ahead`` may be called with the outcome before it is durable, and only where nothing else is written
        (`Begun.alone`): what is read and worked out then holds if this call ends well, and nobody may
        hear of it before.
        """
        ...

    async def was_made(self, owner: Owner, conversation: str, key: str) -> bool:
        """Whether the turn of a request key is there and need not be made again: `begin` gives it back, or
        refuses another input."""
        ...

    async def gather(self, owner: Owner, conversation: str, reach: Reach, branch: int | None = None) -> Path:
        """Read what a window may be built from, in one snapshot, touching no other row. Of turns before
        that which are never sent, whatever the limits, come the figures (`Path.withheld`).

        A conversation that does not exist gives an empty path; somebody else's raises
        `ConversationNotFound`. What `Reach.facts` asks for may be left out: then it is asked for by
        `model_facts`.
        """
        ...

    async def renew(self, lease: Lease, hold: float) -> bool:
        """Hold on for ``hold`` more seconds. Gives ``False`` once the turn was asked to stop."""
        ...

    async def append(self, lease: Lease, partial: Partial) -> bool:
        """Keep what has arrived. Gives ``False`` once the turn was asked to stop."""
        ...

    async def finish(self, lease: Lease, ending: Ending) -> Turn:
        """End the step and free the lease, in one transaction."""
        ...

    async def cancel(
        self, owner: Owner, conversation: str, turn: int | None = None, branch: int | None = None
    ) -> bool:
        """Ask the running turn to stop, or none but ``turn`` of ``branch``; whether it ran."""
        ...

    async def settle(self, owner: Owner, conversation: str) -> None:
        """Close a turn whose holder is gone and whose time ran out, as the next ``begin`` would."""
        ...

    async def exchange(self, owner: Owner, at: Address) -> Exchange:
        """A step that was asked for through a door (`Start.asked`), by the address of its response. Raises
        `TurnNotFound` where there is none, or it was forgotten."""
        ...

    async def forget_exchange(self, owner: Owner, at: Address) -> None:
        """Keep no longer how a step was asked for and told; its messages stay."""
        ...
