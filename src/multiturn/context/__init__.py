"""The pure heart: history in, window out."""
