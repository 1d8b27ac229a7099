"""Who may ask, for whom, and how much."""
