"""What does a provider's prompt cache hold, and where do markers pay? Pure: bytes in, a forecast out."""
