"""Follows the card that a run is on, or its worker on the CPU, while a screen watches."""

import threading
from collections.abc import Callable

from core.hardware.nvml import Monitor
from kocr_tui.messages import RunCardRead
from kocr_tui.reading.card_reading import CardReader, CardReading, HostReader, Wanted
from kocr_tui.reading.folder_watch import CARD_SECONDS, Post


def follow_run_card(wanted: Callable[[], Wanted | None], stop: threading.Event, post: Post) -> None:
    """Reads every two seconds until ``stop``; posts only readings that differ.

    ``wanted`` returns None as long as the run's device isn't known.
    """
    known: CardReading | None = None
    host = HostReader()
    with Monitor() as monitor:
        cards = CardReader(monitor)
        while not stop.is_set():
            now = wanted()
            if now is not None:
                reading = cards.read(now) if now.on_card else CardReading(host=host.read(now.pid))
                if reading != known:
                    known = reading
                    post(RunCardRead(reading))
            stop.wait(CARD_SECONDS)
