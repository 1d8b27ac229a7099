"""What shapes a list of messages for this model and these parameters of the request? Whether it thinks, what
it sees, what of its reasoning it gets back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .cards import Card, Profile
from .images import ImageRule
from .window import Target

__all__ = ["target_of"]


def target_of(card: Card, profile: Profile, params: Mapping[str, Any]) -> Target:
    """What holds for a model with the ``profile`` of its maker, asked with ``params``."""
    thinking = _thinks(card, profile.switches, params)
    keeps_all = bool(card.keep_all_if) and _all_given(card.keep_all_if, params)
    renamed = bool(profile.reasoning_content_if) and _all_given(profile.reasoning_content_if, params)
    return Target(
        model=card.name,
        reasoning=("keep_all" if keeps_all else card.reasoning) if thinking else "drop",
        reasoning_required=card.reasoning_required if thinking else "never",
        reasoning_field="reasoning_content" if renamed else profile.reasoning_field,
        thinking=thinking,
        system=profile.system,
        developer=profile.developer,
        names=profile.names,
        opening=profile.opening,
        alternate=profile.alternate,
        parts=bool(card.media) or profile.text_lists,
        media=card.media,
        bare_calls=profile.bare_calls,
        image=_image_rule(card, params),
    )


def _thinks(card: Card, switches: tuple[str, ...], params: Mapping[str, Any]) -> bool:
    if card.thinks != "toggle":
        return card.thinks == "always"
    for switch in switches:
        value = params.get(switch)
        if isinstance(value, Mapping):
            value = value.get("type")
        if value is not None:
            return value not in (False, "disabled", "none", "off")
    return card.thinks_by_default


def _image_rule(card: Card, params: Mapping[str, Any]) -> ImageRule | None:
    """The formula for this request, which may ask for high resolution."""
    rule = card.image
    if rule and rule.high_maximum and params.get("vl_high_resolution_images"):
        return replace(rule, maximum=rule.high_maximum)
    return rule


def _all_given(wanted: Mapping[str, object], params: Mapping[str, Any]) -> bool:
    """Whether the request carries these parameters, named with dots where they are nested."""
    return all(_at(params, name) == value for name, value in wanted.items())


def _at(params: Mapping[str, Any], name: str) -> object:
    value: object = params
    for step in name.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    return value
