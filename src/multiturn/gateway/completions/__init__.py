"""Chat completions: stateless, or the next turn of a conversation."""
