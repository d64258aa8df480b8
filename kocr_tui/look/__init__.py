"""Colours, glyphs, and text that leaves the screen."""
