"""Sets lines of text with Pillow and reports where every glyph came to lie."""

from __future__ import annotations

import importlib.util
import math
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from core.errors import KocrError

Color = tuple[int, int, int]

WEIGHTS = ("Light", "", "Bold", "ExtraBold")
MINIMUM_ADVANCE = 14.0  # px; closer glyphs would share one 14 px patch of the vision tower
_BASELINE_DROP = 0.36  # em from the middle of a capital or a Hangul syllable to the baseline
_MARGIN = 4  # px around a line for outline and shadow


@dataclass(frozen=True, slots=True)
class Glyph:
    """One visible character: its centre (``x``, ``y``) and its type size ``height``, in pixels."""

    char: str
    x: float
    y: float
    height: float
    line: int


@dataclass(frozen=True, slots=True)
class Style:
    """How a line is set: ``size`` and ``tracking`` in pixels, ``stretch`` as a width factor."""

    size: int
    weight: int = 2
    stretch: float = 1.0
    tracking: float = 0.0
    fill: Color = (0, 0, 0)
    outline: Color | None = None
    shadow: Color | None = None


@cache
def font_folder() -> Path:
    """The folder of the NanumGothic files that koreanize-matplotlib brings along."""
    spec = importlib.util.find_spec("koreanize_matplotlib")
    for location in (spec.submodule_search_locations or ()) if spec else ():
        folder = Path(location) / "fonts"
        if (folder / "NanumGothic.ttf").is_file():
            return folder
    raise KocrError("The NanumGothic fonts are missing: pip install koreanize-matplotlib")


@lru_cache(maxsize=256)
def _font(weight: int, size: int) -> ImageFont.FreeTypeFont:
    path = font_folder() / f"NanumGothic{WEIGHTS[weight]}.ttf"
    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)


@lru_cache(maxsize=65536)
def _natural_advance(char: str, weight: int, size: int) -> float:
    return float(_font(weight, size).getlength(char))


def advances(text: str, style: Style) -> list[float]:
    """The width in pixels that each character of ``text`` takes."""
    widths = []
    for char in text:
        width = _natural_advance(char, style.weight, style.size) * style.stretch + style.tracking
        widths.append(width if char == " " else max(width, MINIMUM_ADVANCE))
    return widths


def draw_line(
    canvas: Image.Image, text: str, style: Style, left: float, middle: float, line: int
) -> list[Glyph]:
    """Draws ``text`` from ``left`` around the height ``middle`` (pixels) and returns its glyphs."""
    widths = advances(text, style)
    mask, outline = _masks(text, widths, style)
    corner = (round(left) - _MARGIN, round(middle - mask.height / 2))
    if style.shadow is not None:
        shift = max(1, style.size // 16)
        canvas.paste(style.shadow, (corner[0] + shift, corner[1] + shift), mask)
    if outline is not None and style.outline is not None:
        canvas.paste(style.outline, corner, outline)
    canvas.paste(style.fill, corner, mask)
    glyphs = []
    pen = float(round(left))
    for char, width in zip(text, widths, strict=True):
        if char != " ":
            glyphs.append(Glyph(char, pen + width / 2, middle, float(style.size), line))
        pen += width
    return glyphs


def _masks(text: str, widths: list[float], style: Style) -> tuple[Image.Image, Image.Image | None]:
    """The coverage of the filled line and of its outline, ``_MARGIN`` wider on every side."""
    font = _font(style.weight, style.size)
    width = math.ceil(sum(widths)) + 2 * _MARGIN
    height = math.ceil(style.size * 1.3) + 2 * _MARGIN
    baseline = height / 2 + _BASELINE_DROP * style.size
    natural = (math.ceil(width / style.stretch), height)
    fill = Image.new("L", natural)
    outline = Image.new("L", natural) if style.outline is not None else None
    fill_pen, outline_pen = ImageDraw.Draw(fill), ImageDraw.Draw(outline or fill)
    pen = float(_MARGIN)
    for char, advance in zip(text, widths, strict=True):
        if char != " ":
            slack = advance - _natural_advance(char, style.weight, style.size) * style.stretch
            at = ((pen + slack / 2) / style.stretch, baseline)
            fill_pen.text(at, char, fill=255, font=font, anchor="ls")
            if outline is not None:
                outline_pen.text(at, char, fill=255, font=font, anchor="ls", stroke_width=2)
        pen += advance
    if style.stretch != 1.0:
        fill = fill.resize((width, height), Image.Resampling.BILINEAR)
        outline = outline and outline.resize((width, height), Image.Resampling.BILINEAR)
    return fill, outline
