"""How does the turn of a response begin?"""

from __future__ import annotations

from dataclasses import replace

from ...client import AsyncMultiTurn
from ...conversations import Declared
from ...known import Known
from ...request import asked_of
from ...step import Place
from ...storage import Begun, Reach, Start
from ...terms import Input
from ...turn import OpenTurn, begin
from .request import Wanted
from .spot import Spot

__all__ = ["asked_in"]


async def asked_in(
    client: AsyncMultiTurn, spot: Spot, wanted: Wanted, model: str, given: Input, start: Start
) -> OpenTurn | Begun:
    """Begin the turn of a response; or give what the same key began before."""
    engine = client.engine
    declared = Declared(model=model, policy=wanted.policy.to_dict() if wanted.policy else None)
    place, known = Place(spot.owner, spot.conversation, declared, spot.branch), Known(declared)
    if not spot.make:
        path = await engine.store.gather(spot.owner, spot.conversation, Reach(turns=0), spot.branch)
        known.learn(path.settings)
        known.last = asked_of(path.request)
    start = replace(
        start,
        declared=declared,
        wait=engine.queue,
        hold=engine.lease,
        branch=spot.branch,
        upon=spot.upon,
        switch=spot.switch,
        make=spot.make,
    )
    return await begin(engine, place, start, given, known)
