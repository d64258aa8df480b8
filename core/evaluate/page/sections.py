"""The parts of the page that hold figures: tiles, charts and tables."""
