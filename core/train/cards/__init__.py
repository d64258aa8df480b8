"""A run's own cards: held, watched, and checked after they failed."""
