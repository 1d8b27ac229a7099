"""What does a provider's prompt cache hold, and where do markers pay? Pure: bytes in, a forecast out. This is
the door."""

from .markers import marks
from .prefix import Forecast, compared, digest_of, fingerprint, forecast, opened
from .rules import CacheRule, Caching, MarkerRule

__all__ = [
    "CacheRule",
    "Caching",
    "Forecast",
    "MarkerRule",
    "compared",
    "digest_of",
    "fingerprint",
    "forecast",
    "marks",
    "opened",
]
