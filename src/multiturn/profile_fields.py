"""Which fields may a profile have, and what may stand in them? The check of the catalogue's data and of
what an operator overrides."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from .caching import CacheRule, MarkerRule
from .errors import SettingInvalid
from .images import ImageRule
from .messages import Trait
from .phrases import Reason
from .usage import Price, Tier

__all__ = ["CODE_CLASSES", "card", "embedding", "overridable", "profile", "table"]

CODE_CLASSES = frozenset(
    (
        "context_overflow",
        "content_filter",
        "auth",
        "billing",
        "not_found",
        "bad_history",
        "bad_request",
        "rate_limit",
        "burst",
        "overloaded",
        "server",
        "timeout",
    )
)
"""What an error code may mean: ``burst`` is a rate limit that wants a longer pause; a quota that does not
pass by waiting is ``billing``."""

MEDIA = {"image": Trait.IMAGE, "audio": Trait.AUDIO, "video": Trait.VIDEO, "file": Trait.FILE}

Check = Callable[[Any], Any]


def table(value: object, where: str) -> Mapping[str, Any]:
    """``value`` where it is a table; else raises `SettingInvalid`."""
    if not isinstance(value, Mapping):
        raise SettingInvalid(Reason("why.no_table", value=repr(value)), name=where)
    return value


def profile(raw: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The fields of a `Profile`, checked."""
    return _fields(raw, PROFILE, where)


def overridable(raw: Mapping[str, Any], where: str) -> None:
    """Raises `SettingInvalid` where an operator names a field that makes the provider what it is."""
    for name in ("id", "protocol", "keys", "models_of", "relay", "counting"):
        if name in raw:
            raise SettingInvalid(Reason("why.field_fixed"), name=f"{where}.{name}")


def card(raw: Mapping[str, Any], where: str, price: Price | None = None) -> dict[str, Any]:
    """The fields of a `Card`, checked. ``price`` is the one a lone multiplier applies to."""
    values = _fields(raw, CARD, where)
    values.pop("aliases", None)
    multiplier = values.pop("multiplier", None)
    price = values.get("price", price)
    if multiplier is not None and price is not None:
        values["price"] = replace(price, multiplier=multiplier)
    return values


def embedding(raw: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The fields of an `EmbeddingCard`, checked."""
    return _fields(raw, EMBEDDING, where)


def _fields(raw: Mapping[str, Any], checks: Mapping[str, Check], where: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in raw.items():
        check = checks.get(name)
        if check is None:
            raise SettingInvalid(Reason("why.field_unknown", known=", ".join(checks)), name=f"{where}.{name}")
        try:
            values[name] = check(value)
        except (TypeError, ValueError) as problem:
            raise SettingInvalid(problem.args[0], name=f"{where}.{name}") from problem
    return values


# ------------------------------------------------------------------------------------- values


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(Reason("why.value_text", value=repr(value)))
    return value


def _switch(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(Reason("why.value_switch", value=repr(value)))
    return value


def _tokens(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise ValueError(Reason("why.value_whole", value=repr(value)))
    return value


def _amount(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise TypeError(Reason("why.value_number", value=repr(value)))
    amount = Decimal(str(value))
    if not amount.is_finite() or amount < 0:
        raise ValueError(Reason("why.value_amount", value=repr(value)))
    return amount


def _sizes(value: object) -> tuple[int, ...]:
    if not isinstance(value, list | tuple):
        raise TypeError(Reason("why.value_list", value=repr(value)))
    return tuple(_tokens(item) for item in value)


def _one_of(*allowed: str) -> Check:
    def check(value: object) -> object:
        if value not in allowed:
            raise ValueError(Reason("why.value_among", value=repr(value), known=", ".join(allowed)))
        return value

    return check


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise TypeError(Reason("why.value_list", value=repr(value)))
    return tuple(_text(item) for item in value)


def _media(value: object) -> int:
    names = _texts(value)
    unknown = sorted(set(names) - MEDIA.keys())
    if unknown:
        raise ValueError(Reason("why.value_among", value=repr(unknown[0]), known=", ".join(MEDIA)))
    return int(sum(MEDIA[name] for name in set(names)))


def _conditions(value: object) -> Mapping[str, object]:
    if not isinstance(value, Mapping) or not all(isinstance(v, str | bool) for v in value.values()):
        raise ValueError(Reason("why.value_conditions", value=repr(value)))
    return MappingProxyType(dict(value))


def _address(value: object) -> str:
    text = _text(value).rstrip("/")
    if not text.startswith(("http://", "https://")) or "@" in text.split("/")[2] or not text.split("/")[2]:
        raise ValueError(Reason("why.not_address"))
    return text


def _price(value: object) -> Price:
    if not isinstance(value, Mapping):
        raise TypeError(Reason("why.price_kind", value=repr(value)))
    raw = dict(value)
    head = {name: _text(raw.pop(name, "")) for name in ("currency", "as_of", "source")}
    if not head["currency"]:
        raise ValueError(Reason("why.price_currency"))
    tiers = raw.pop("tiers", None)
    if tiers is None:
        tiers, raw = [raw], {}
    if raw or not isinstance(tiers, list | tuple) or not tiers:
        surplus = Reason("why.price_field", field=", ".join(raw))
        raise ValueError(surplus if raw else Reason("why.price_tiers"))
    made = tuple(_tier(tier) for tier in tiers)
    steps = [tier.up_to for tier in made if tier.up_to is not None]
    if any(tier.up_to is None for tier in made[:-1]) or steps != sorted(set(steps)):
        raise ValueError(Reason("why.price_order"))
    return Price(head["currency"], made, as_of=head["as_of"], source=head["source"])


def _tier(value: object) -> Tier:
    if not isinstance(value, Mapping) or not {"input", "output"} <= value.keys():
        raise ValueError(Reason("why.price_amounts"))
    unknown = value.keys() - {"input", "output", "up_to", "cached", "cache_write", "reasoning", "marked"}
    if unknown:
        raise ValueError(Reason("why.price_field", field=min(unknown)))
    amounts = {name: _amount(each) for name, each in value.items() if name != "up_to"}
    return Tier(up_to=_tokens(value["up_to"]) if "up_to" in value else None, **amounts)


def _share(value: object) -> float:
    return float(_amount(value))


def _cache(value: object) -> CacheRule | None:
    """A rule; ``False`` where the operator says that none holds."""
    if value is False:
        return None
    raw = dict(table(value, "cache"))
    explicit = raw.pop("explicit", None)
    rule = CacheRule(**_fields(raw, CACHE, "cache"))
    if explicit is None:
        return rule
    return replace(rule, explicit=MarkerRule(**_fields(table(explicit, "cache"), MARKERS, "cache.explicit")))


def _image(value: object) -> ImageRule | None:
    if value is False:
        return None
    raw = table(value, "image")
    if "kind" not in raw:
        raise ValueError(Reason("why.image_kind"))
    return ImageRule(**_fields(raw, IMAGE, "image"))


# ------------------------------------------------------------------------------------- fields

IMAGE: Mapping[str, Check] = {
    "kind": _one_of("grid", "patches", "tiles", "fixed"),
    "side": _tokens,
    "minimum": _tokens,
    "maximum": _tokens,
    "high_maximum": _tokens,
    "extra": _tokens,
    "tile": _tokens,
    "factor": _share,
    "low": _tokens,
    "low_by_default": _switch,
    "as_of": _text,
    "source": _text,
}

CACHE: Mapping[str, Check] = {
    "minimum": _tokens,
    "step": _tokens,
    "ttl": _share,
    "match": _one_of("prefix", "unit", "breakpoint"),
    "hit": _share,
    "as_of": _text,
    "source": _text,
}

MARKERS: Mapping[str, Check] = {
    "minimum": _tokens,
    "ttl": _share,
    "markers": _tokens,
    "reach": _tokens,
    "write": _share,
    "hit": _share,
    "odds": _share,
}

PROFILE: Mapping[str, Check] = {
    "id": _text,
    "protocol": _one_of("openai_chat", "dashscope", "demo", "scripted"),
    "base_url": _address,
    "base_url_variable": _text,
    "keys": _texts,
    "key_required": _switch,
    "default_model": _text,
    "models_of": _text,
    "relay": _switch,
    "multiplier": _amount,
    "include_usage": _switch,
    "max_out_field": _one_of("", "max_tokens", "max_completion_tokens"),
    "drop_params": _texts,
    "switches": _texts,
    "reasoning_field": _one_of("reasoning_content", "reasoning"),
    "reasoning_content_if": _conditions,
    "system": _one_of("any", "first"),
    "developer": _switch,
    "names": _switch,
    "opening": _switch,
    "alternate": _switch,
    "text_lists": _switch,
    "bare_calls": _one_of("keep", "null", "omit"),
    "counting": _one_of("", "kimi", "stepfun", "glm", "dashscope"),
    "counting_path": _text,
    "cache_key": _one_of("", "prompt_cache_key"),
}

CARD: Mapping[str, Check] = {
    "aliases": _texts,
    "window": _tokens,
    "max_input": _tokens,
    "max_output": _tokens,
    "thinks": _one_of("no", "toggle", "always"),
    "thinks_by_default": _switch,
    "reasoning": _one_of("drop", "keep_in_tool_loop", "keep_all", "keep_all_if_enabled"),
    "reasoning_required": _one_of("never", "tool_calls", "after_tool_call", "always"),
    "keep_all_if": _conditions,
    "media": _media,
    "tools": _switch,
    "price": _price,
    "multiplier": _amount,
    "tokenizer": _text,
    "can_summarise": _switch,
    "stream_only": _switch,
    "native": _one_of("text", "multimodal"),
    "cache": _cache,
    "image": _image,
    "drop_params": _texts,
    "status": _one_of("current", "retiring", "retired"),
    "as_of": _text,
    "source": _text,
}

EMBEDDING: Mapping[str, Check] = {
    "dimension": _tokens,
    "dimensions": _sizes,
    "batch": _tokens,
    "max_tokens": _tokens,
    "max_batch_tokens": _tokens,
    "price": _price,
    "status": _one_of("current", "retiring", "retired"),
    "as_of": _text,
    "source": _text,
}
