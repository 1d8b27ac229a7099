"""What does a provider's prompt cache hold, and where do markers pay? Pure: bytes in, a forecast out. This is
the door."""

from .fingerprints import fingerprint
from .markers import marks
from .past import digest_of, opened
from .prefix import Forecast, compared, forecast
from .prompt import Prompt
from .rules import CacheRule, Caching, MarkerRule

__all__ = [
    "CacheRule",
    "Caching",
    "Forecast",
    "MarkerRule",
    "Prompt",
    "compared",
    "digest_of",
    "fingerprint",
    "forecast",
    "marks",
    "opened",
]
