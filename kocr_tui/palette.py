"""Colours that people with any colour vision can tell apart (Okabe and Ito), and state marks."""

from textual.theme import Theme

from core.events import State

ORANGE = "#E69F00"
SKY = "#56B4E9"
GREEN = "#009E73"
BLUE = "#4A9FE0"
VERMILION = "#E8743B"
PURPLE = "#CC79A7"
GREY = "#8A93A0"

DARK = Theme(
    name="kocr-dark",
    primary=SKY,
    secondary=GREY,
    accent=ORANGE,
    warning=ORANGE,
    error=VERMILION,
    success="#2BB58C",
    foreground="#D8DEE6",
    background="#10141A",
    surface="#171C24",
    panel="#222A35",
    dark=True,
)
LIGHT = Theme(
    name="kocr-light",
    primary="#0072B2",
    secondary="#5C6670",
    accent="#9A6A00",
    warning="#9A6A00",
    error="#B34700",
    success="#00704F",
    foreground="#1B2027",
    background="#FBFBF8",
    surface="#F1F1EC",
    panel="#E2E2DB",
    dark=False,
)

# A mark and a style for each state, so that none is told by colour alone.
STATE_MARKS: dict[State, tuple[str, str]] = {
    "queued": ("…", "secondary"),
    "tuning": ("≈", "primary"),
    "baseline": ("◇", "primary"),
    "training": ("▶", "success"),
    "validating": ("◆", "primary"),
    "saving": ("▼", "primary"),
    "paused": ("‖", "warning"),
    "stopping": ("□", "warning"),
    "stopped": ("■", "warning"),
    "aborted": ("■", "warning"),
    "died": ("✗", "error"),
    "failed": ("✗", "error"),
    "done": ("✓", "success"),
}
