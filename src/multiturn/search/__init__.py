"""Which old messages fit a question? Terms, dates, ranking, vectors: pure, without a model."""
