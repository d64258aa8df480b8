"""Checkpoints: sealed, verified, kept by rule, and saved when it is time."""
