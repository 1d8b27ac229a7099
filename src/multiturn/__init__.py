"""multiturn: memory for stateless chat APIs."""

__version__ = "0.1.0"
