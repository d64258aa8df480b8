"""Scores as one HTML file that opens anywhere: figures, charts and the photos that were misread."""
