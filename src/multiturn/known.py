"""What is known of a conversation without asking its store? The settings that were found last, and the terms
that follow from them: what they show to be impossible is refused before anything is stored. They may have
changed since; a turn learns what holds when it begins."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from operator import attrgetter

from .conversations import DECLARABLE, Declared, Owner, Settings
from .request import asked_of
from .terms import Engine, Input, Terms, terms_of

__all__ = ["Acquaintance", "Known", "in_force"]

MOST = 1_024
"""Conversations of which is kept what was learned of them: a few kilobytes each, and their instructions."""
ROOM = 16 << 20
"""Bytes that the instructions of all of them may have."""
MEETINGS = 256
"""… after which that is looked at again."""

told = attrgetter(*DECLARABLE)
"""What of settings terms are worked out from."""


def in_force(settings: Settings, declared: Declared) -> Settings:
    """Stored settings once what is declared applies."""
    both = zip(told(settings), told(declared), strict=True)
    agreed = [stored if stated is None else stated for stored, stated in both]
    return Settings(*[*agreed, settings.version])


@dataclass(slots=True)
class Known:
    """What a handle declares and has learned of its conversation: the stored settings (``None``: nothing
    yet), and the terms of a step that brings none of its own, which are worked out once."""

    declared: Declared = Declared()
    settings: Settings | None = None
    force: tuple[Settings | None, Settings] | None = None
    """Stored settings, and what is in force with them."""
    terms: Terms | None = None
    calibrated: int = 0
    """The version of the calibration that the terms were worked out with."""
    last: str | None = None
    """The model that answered last, with which a route goes on."""

    @property
    def size(self) -> int:
        """How many bytes the instructions have that were declared and learned."""
        stored = self.settings.instructions if self.settings else ()
        return sum(map(len, stored)) + sum(map(len, self.declared.instructions or ()))

    def learn(self, settings: Settings, request: bytes | None = None) -> bool:
        """Take the stored settings, and what was kept of the last ``request``; whether other terms follow
        from them."""
        if request is not None and (last := asked_of(request)) != self.last:
            self.last, self.settings, self.terms = last, settings, None
            return True
        if settings == self.settings:
            return False
        before, self.settings = self._in_force(), settings
        if told(self._in_force()) == told(before):
            return False
        self.terms = None
        return True

    def terms_of(self, engine: Engine, given: Input) -> Terms:
        """The terms of a step, as far as is known."""
        own = given.policy or given.model or given.params or given.tools or given.instructions is not None
        version = engine.calibration.version
        if self.terms is not None and not own and self.calibrated == version and self._stands(engine):
            return self.terms
        terms = terms_of(engine, self._in_force(), given, self.last)
        if not own:
            self.terms, self.calibrated = terms, version
        return terms

    def model(self, engine: Engine) -> str:
        """The model of the conversation, or its route."""
        return self._in_force().model or engine.model

    def _stands(self, engine: Engine) -> bool:
        """Whether a route would still choose the model of the terms."""
        if not engine.catalog.routes or self.terms is None:
            return True
        return engine.card(self.model(engine), self.last).name == self.terms.card.name

    def _in_force(self) -> Settings:
        if self.force is None or self.force[0] is not self.settings:
            self.force = self.settings, in_force(self.settings or Settings(), self.declared)
        return self.force[1]


class Acquaintance:
    """What a client has learned of the conversations it worked with lately, for their next handles."""

    def __init__(self, most: int = MOST, room: int = ROOM) -> None:
        self._most = most
        self._room = room
        self._meetings = 0
        self._known: OrderedDict[tuple[str, str | None, str], Known] = OrderedDict()

    def of(self, owner: Owner, conversation: str, declared: Declared) -> Known:
        """What is known of a conversation by a handle that declares this."""
        key = (owner.tenant, owner.user, conversation)
        known = self._known.pop(key, None)
        if known is None or known.declared != declared:
            before = known or Known()
            known = Known(declared, before.settings, last=before.last)
        self._known[key] = known
        if len(self._known) > self._most:
            self._known.popitem(last=False)
        self._meetings += 1
        if self._meetings == MEETINGS:
            self._make_room()
        return known

    def _make_room(self) -> None:
        """Forget those met longest ago where the instructions of all are too long to be kept."""
        self._meetings, left = 0, self._room
        for key in reversed(list(self._known)):
            known = self._known.get(key)
            left -= known.size if known else 0
            if left < 0:
                self._known.pop(key, None)
