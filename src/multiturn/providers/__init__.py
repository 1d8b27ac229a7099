"""Providers: a request goes in, deltas come out."""
