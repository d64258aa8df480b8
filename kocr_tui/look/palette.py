"""Themes in colours that any colour vision can tell apart (Okabe and Ito), and state marks."""

from collections.abc import Mapping

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
    primary="#005A90",
    secondary="#4F5862",
    accent="#785200",
    warning="#785200",
    error="#963B00",
    success="#006246",
    foreground="#1B2027",
    background="#FBFBF8",
    surface="#F1F1EC",
    panel="#D2D2CA",
    dark=False,
)

# The same hues on black, each at 7:1 or more against every background that is used.
CONTRAST = Theme(
    name="kocr-contrast",
    primary="#7CC8FF",
    secondary="#C8C8C8",
    accent="#FFC233",
    warning="#FFC233",
    error="#FF9E73",
    success="#3DDCAA",
    foreground="#FFFFFF",
    background="#000000",
    surface="#000000",
    panel="#00284A",
    dark=True,
    variables={"text-muted": "#D8D8D8", "text-disabled": "#B0B0B0"},
)
# Only colours that a terminal of 16 has, so that none is replaced by one that looks alike.
BASIC = Theme(
    name="kocr-basic",
    primary="#55FFFF",
    secondary="#AAAAAA",
    accent="#FFFF55",
    warning="#FFFF55",
    error="#FF5555",
    success="#55FF55",
    foreground="#FFFFFF",
    background="#000000",
    surface="#000000",
    panel="#0000AA",
    boost="#000000",
    dark=True,
    luminosity_spread=0,
    variables={
        "text": "#FFFFFF",
        "text-muted": "#AAAAAA",
        "text-disabled": "#AAAAAA",
        "text-primary": "#55FFFF",
        "text-secondary": "#AAAAAA",
        "text-accent": "#FFFF55",
        "text-warning": "#FFFF55",
        "text-error": "#FF5555",
        "text-success": "#55FF55",
        "block-cursor-foreground": "#000000",
        "block-cursor-background": "#55FFFF",
        "block-cursor-blurred-foreground": "#FFFFFF",
        "block-cursor-blurred-background": "#0000AA",
        "input-selection-background": "#00AAAA",
        "input-selection-foreground": "#000000",
        "scrollbar": "#AAAAAA",
        "scrollbar-background": "#555555",
        "border-blurred": "#555555",
        "screen-selection-background": "#00AAAA",
        "screen-selection-foreground": "#000000",
    },
)
# By the names that people use for them.
THEMES: dict[str, Theme] = {"dark": DARK, "light": LIGHT, "contrast": CONTRAST, "basic": BASIC}
_LIGHT_BACKGROUNDS = {"7", "15"}


def choose_theme(wanted: str, color_system: str | None, environment: Mapping[str, str]) -> Theme:
    """The theme of that name; for ``auto`` the one that suits the terminal.

    ``color_system`` is rich's name for what the terminal can do. COLORFGBG, where a terminal sets
    it, ends in the number of its background.
    """
    if wanted != "auto":
        return THEMES[wanted]
    if color_system == "standard":
        return BASIC
    background = environment.get("COLORFGBG", "").rpartition(";")[2]
    return LIGHT if background in _LIGHT_BACKGROUNDS else DARK


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
