"""Which theme a terminal gets, and that what a theme says can be told apart."""

import pytest
from textual.color import Color

from kocr_tui.look.palette import THEMES, choose_theme
from kocr_tui.settings import Settings


@pytest.mark.parametrize(
    ("wanted", "system", "environment", "chosen"),
    [
        ("auto", "truecolor", {}, "dark"),
        ("auto", "256", {"COLORFGBG": "15;0"}, "dark"),
        ("auto", "256", {"COLORFGBG": "0;15"}, "light"),
        ("auto", "truecolor", {"COLORFGBG": "0;default;7"}, "light"),
        ("auto", "truecolor", {"COLORFGBG": "12;8"}, "dark"),
        ("auto", "truecolor", {"COLORFGBG": "default"}, "dark"),
        ("auto", "standard", {"COLORFGBG": "0;15"}, "basic"),
        ("light", "standard", {}, "light"),
        ("contrast", "256", {"COLORFGBG": "0;15"}, "contrast"),
    ],
)
def test_the_theme_that_suits(
    wanted: str, system: str, environment: dict[str, str], chosen: str
) -> None:
    assert choose_theme(wanted, system, environment) is THEMES[chosen]


def contrast(one: Color, other: Color) -> float:
    """The contrast ratio of two colours as WCAG defines it, 1 to 21."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: Color) -> float:
    parts = [part / 255 for part in colour.rgb]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return sum(share * part for share, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize(
    ("theme", "least"), [("dark", 4.5), ("light", 4.5), ("contrast", 7.0), ("basic", 3.0)]
)
@pytest.mark.parametrize("paper", ["background", "surface", "panel"])
def test_inks_are_legible_on_every_background(theme: str, least: float, paper: str) -> None:
    variables = THEMES[theme].to_color_system().generate()
    ground = Color.parse(variables[paper])
    inks = ("foreground", "primary", "secondary", "accent", "warning", "error", "success")
    ratios = {ink: round(contrast(Color.parse(variables[ink]), ground), 2) for ink in inks}
    assert {ink: ratio for ink, ratio in ratios.items() if ratio < least} == {}


def test_settings_know_the_themes() -> None:
    for name in ("auto", *THEMES):
        assert Settings(theme=name).theme == name  # type: ignore[arg-type]
