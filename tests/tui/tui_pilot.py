"""Waiting for what an app shows."""

import asyncio
import time
from collections.abc import Callable

from textual.pilot import Pilot

from kocr_tui.app import ConsoleApp

LIMIT = 30.0


async def until(pilot: Pilot[str], condition: Callable[[], bool]) -> None:
    """Lets the app work until the condition holds."""
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end, f"still not so:\n{screen_text(pilot.app)}"
        await asyncio.sleep(0.02)


def screen_text(app: object) -> str:
    """What the screen shows, as text."""
    assert isinstance(app, ConsoleApp)
    return "\n".join(strip.text.rstrip() for strip in app.screen._compositor.render_strips())


def shows(pilot: Pilot[str], *texts: str) -> Callable[[], bool]:
    """A condition: all texts are on the screen."""
    return lambda: all(text in screen_text(pilot.app) for text in texts)
