"""Stores: where conversations live."""
