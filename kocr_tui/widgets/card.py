"""The card that the run is on, from NVML; on the CPU the box's load and the worker's share."""

import re

from textual.app import ComposeResult
from textual.content import Content

from core.events import FINAL_STATES
from core.hardware.nvml import Card
from core.hardware.nvml.throttle import HARMFUL
from core.hardware.nvml.xid import xid_words
from kocr_tui import format as fmt
from kocr_tui.reading.card_reading import CardReading, HostReading
from kocr_tui.strings import say, table
from kocr_tui.views.run_view import RunView
from kocr_tui.widgets import ink
from kocr_tui.widgets.lines import Lines
from kocr_tui.widgets.pane import Pane, waiting_row

LABEL_COLUMNS = 8
KEPT_XIDS = 2


class CardPane(Pane):
    """Load, temperature, power and clocks, and what holds them down."""

    number = 7
    title_key = "card.title"
    reading: CardReading | None = None

    def compose(self) -> ComposeResult:
        yield Lines("card-figures")

    def figures(self, view: RunView) -> object:
        return self.reading, view.state.worker, view.live in FINAL_STATES

    def draw(self, view: RunView) -> None:
        worker = view.state.worker
        self.set_title(fmt.visible(worker.card) if worker else "")
        rows = [] if self.reading is None else card_rows(self.reading, self.content_size.width)
        if view.live in FINAL_STATES:
            rows.insert(0, ink.line((say("card.over"), "$text-muted")))
        self.query_one(Lines).show_rows(rows or [waiting_row(view, "card")])


def card_rows(reading: CardReading, columns: int) -> list[Content]:
    """The lines of a reading; what the card does not tell is left out."""
    if reading.host is not None:
        return _host_rows(reading.host, columns)
    card = reading.card
    if card is None:
        lead, *rest = fmt.visible(reading.reason or "").split(": ")
        return [ink.line(("! ", "bold $warning"), lead), *(Content(f"  {part}") for part in rest)]
    name = fmt.visible(card.name or say("card.unnamed"))
    if card.lost:
        return [ink.line(("✗ " + say("card.lost", name=name), "bold $error"))]
    rows = [_load_row(card, columns), _heat_row(card), _clock_row(card)]
    xids = (say("card.xid", code=xid_words(code)) for code in reading.xids[-KEPT_XIDS:])
    rows += [ink.line((f"✗ {text}", "bold $error")) for text in xids]
    rows += map(_throttle_row, card.throttle_reasons or ())
    return [row for row in rows if row.plain]


def _gauge(label: str, share: float, figures: str, columns: int) -> Content:
    lead = fmt.pad(label, LABEL_COLUMNS)
    drawn = fmt.bar(share, max(4, min(30, columns - LABEL_COLUMNS - fmt.width(figures) - 1)))
    return ink.line((lead, "$text-muted"), (drawn, "$primary"), " " + figures)


def _load_row(card: Card, columns: int) -> Content:
    if card.utilization_percent is None:
        return Content("")
    percent = card.utilization_percent
    return _gauge(say("card.load"), percent / 100, f"{percent:3} %", columns)


def _heat_row(card: Card) -> Content:
    told = []
    if card.temperature_c is not None:
        told.append(f"{card.temperature_c} °C")
    if card.power_w is not None:
        limit = f"/{card.power_limit_w:.0f}" if card.power_limit_w else ""
        told.append(f"{card.power_w:.0f}{limit} W")
    return ink.line("   ".join(told))


def _clock_row(card: Card) -> Content:
    clocks = (
        ("card.sm_clock", card.sm_clock_mhz, card.sm_clock_max_mhz),
        ("card.memory_clock", card.memory_clock_mhz, card.memory_clock_max_mhz),
    )
    pieces: list[ink.Piece] = []
    for key, clock, most in clocks:
        if clock is not None:
            of = f"/{most:,}" if most else ""
            pieces += [(say(key) + " ", "$text-muted"), f"{clock:,}{of}  "]
    return ink.line(*pieces, ("MHz" if pieces else "", "$text-muted"))


def _throttle_row(reason: str) -> Content:
    text = say("card.held_down", reason=throttle_name(reason))
    if reason in HARMFUL:
        return ink.line((f"! {text}", "bold $warning"))
    return ink.line((f"· {text}", "$text-muted"))


def throttle_name(reason: str) -> str:
    """A reason of core.hardware.nvml.throttle in the language in use, as it is if not known."""
    key = "throttle." + re.sub(r"[^a-z]+", "_", reason).strip("_")
    return say(key) if key in table("en") else fmt.visible(reason)


def _host_rows(host: HostReading, columns: int) -> list[Content]:
    newest, *older = (f"{load:.2f}" for load in host.load)
    figures = f"{newest} {' '.join(older)} / {host.cores}"
    rows = [_gauge(say("card.host_load"), host.load[0] / host.cores, figures, columns)]
    if host.worker_percent is not None:
        percent = f"{host.worker_percent:3.0f} %"
        share = host.worker_percent / 100 / host.cores
        rows.append(_gauge(say("card.worker"), share, percent, columns))
    if host.worker_bytes is not None:
        memory = (fmt.pad(say("card.worker_memory"), LABEL_COLUMNS), "$text-muted")
        rows.append(ink.line(memory, fmt.size(host.worker_bytes)))
    return rows
