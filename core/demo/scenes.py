"""Draws signs: plain boards for reading practice and photo-like shop fronts."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from core.demo.typeset import Color, Glyph, Style, advances, draw_line

Role = Literal["name", "english", "slogan", "phone"]
Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels
Random = np.random.Generator

# Type sizes in pixels (smallest, largest) and the largest share of the name's size.
_SIZES: dict[Role, tuple[int, int, float]] = {
    "name": (28, 58, 1.0),
    "english": (18, 28, 0.72),
    "slogan": (16, 21, 0.6),
    "phone": (17, 24, 0.6),
}


@dataclass(frozen=True, slots=True)
class TextLine:
    """One line of a sign; the role decides its type size."""

    text: str
    role: Role


@dataclass(frozen=True, slots=True)
class Sign:
    """A drawn sign: the picture, its glyphs in reading order and its whole text on one line."""

    image: Image.Image
    glyphs: tuple[Glyph, ...]
    transcript: str


def plain_sign(lines: Sequence[TextLine], size: tuple[int, int], rng: Random) -> Sign:
    """Text on a flat or softly shaded board that fills ``size`` (width, height) pixels."""
    board, ink = color_pair(rng)
    canvas = Image.new("RGB", size, board)
    glyphs = _set_lines(canvas, lines, (3, 2, size[0] - 3, size[1] - 2), ink, rng)
    canvas = _soften(canvas, rng, blur=0.6, noise=5.0, shade=0.15)
    return Sign(canvas, tuple(glyphs), _transcript(lines))


def primer_page(texts: Sequence[str], size: tuple[int, int], rng: Random) -> Sign:
    """Dark type of nearly one size on a light page, for the first minutes of learning."""
    light = tuple(rng.integers(200, 256, 3).tolist())
    canvas = Image.new("RGB", size, (light[0], light[1], light[2]))
    ink = tuple(rng.integers(0, 56, 3).tolist())
    style = Style(size=int(rng.integers(30, 41)), weight=2, fill=(ink[0], ink[1], ink[2]))
    pitch = style.size * 1.15
    glyphs: list[Glyph] = []
    kept = []
    top = rng.uniform(0, 8)
    for index, whole in enumerate(texts):
        if top + pitch > size[1]:
            break
        text = whole
        while sum(advances(text, style)) > size[0] - 4:
            text = text[:-1].rstrip()
        free = size[0] - sum(advances(text, style))
        glyphs += draw_line(canvas, text, style, rng.uniform(0, free), top + pitch / 2, index)
        kept.append(text)
        top += pitch
    return Sign(canvas, tuple(glyphs), " ".join(kept))


def photo_sign(lines: Sequence[TextLine], size: tuple[int, int], rng: Random) -> Sign:
    """A shop front of ``size`` (width, height) pixels whose sign board carries ``lines``."""
    canvas = Image.new("RGB", size, _muted(rng))
    box = _board_box(size, rng)
    _draw_street(canvas, box, rng)
    ink = _draw_board(canvas, box, rng)
    inner = (box[0] + 5, box[1] + 3, box[2] - 5, box[3] - 3)
    glyphs = _set_lines(canvas, lines, inner, ink, rng)
    canvas, glyphs = _tilt(canvas, glyphs, rng)
    canvas = _soften(canvas, rng, blur=1.1, noise=11.0, shade=0.35)
    return Sign(canvas, tuple(glyphs), _transcript(lines))


def through_jpeg(image: Image.Image, quality: int) -> Image.Image:
    """The picture as it comes back from a JPEG file of ``quality`` (1 to 95)."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    buffer.seek(0)
    return Image.open(buffer).convert("RGB")


def color_pair(rng: Random) -> tuple[Color, Color]:
    """A board colour and an ink colour that stand apart in brightness."""
    board = _color(rng)
    for _ in range(20):
        ink = _color(rng)
        if abs(_brightness(board) - _brightness(ink)) > 75:
            return board, ink
    return board, (255, 255, 255) if _brightness(board) < 128 else (15, 15, 15)


def _transcript(lines: Sequence[TextLine]) -> str:
    return " ".join(line.text for line in lines)


def _color(rng: Random) -> Color:
    if rng.random() < 0.3:
        grey = int(rng.choice((12, 245))) + int(rng.integers(-10, 10))
        return grey, grey, grey
    red, green, blue = rng.integers(0, 256, 3).tolist()
    return red, green, blue


def _muted(rng: Random) -> Color:
    grey = int(rng.integers(50, 220))
    red, green, blue = np.clip(rng.integers(-25, 26, 3) + grey, 0, 255).tolist()
    return red, green, blue


def _brightness(color: Color) -> float:
    return 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2]


def _board_box(size: tuple[int, int], rng: Random) -> Box:
    width, height = size
    board_width = width * rng.uniform(0.84, 0.98)
    board_height = max(height * rng.uniform(0.55, 0.85), min(130.0, height * 0.92))
    left = rng.uniform(0, width - board_width)
    top = rng.uniform(0, 0.6) * (height - board_height)
    return left, top, left + board_width, top + board_height


def _draw_street(canvas: Image.Image, box: Box, rng: Random) -> None:
    """Walls, windows and clutter around the board."""
    width, height = canvas.size
    pen = ImageDraw.Draw(canvas)
    if rng.random() < 0.5:
        pitch = int(rng.integers(8, 24))
        mortar = _muted(rng)
        for y in range(int(rng.integers(0, pitch)), height, pitch):
            pen.line((0, y, width, y), fill=mortar)
    for _ in range(int(rng.integers(3, 9))):
        left, top = rng.uniform(-20, width), rng.uniform(-20, height)
        if box[1] < top < box[3] - 10:
            top = box[3]
        right, bottom = left + rng.uniform(12, 90), top + rng.uniform(12, 80)
        frame = _muted(rng) if rng.random() < 0.6 else None
        pen.rectangle((left, top, right, bottom), fill=_muted(rng), outline=frame, width=2)
    if rng.random() < 0.3:
        x = rng.uniform(0, width)
        pen.line((x, 0, x + rng.uniform(-30, 30), height), fill=_muted(rng), width=2)


def _draw_board(canvas: Image.Image, box: Box, rng: Random) -> Color:
    """The board itself; returns the ink that reads well on it."""
    board, ink = color_pair(rng)
    pen = ImageDraw.Draw(canvas)
    if rng.random() < 0.5:
        pen.rectangle((box[0] + 3, box[1] + 4, box[2] + 3, box[3] + 4), fill=(25, 25, 25))
    frame = _color(rng) if rng.random() < 0.4 else None
    pen.rectangle(box, fill=board, outline=frame, width=int(rng.integers(1, 4)))
    return ink


def _set_lines(
    canvas: Image.Image, lines: Sequence[TextLine], box: Box, ink: Color, rng: Random
) -> list[Glyph]:
    """Stacks the lines in ``box``; a line that is too wide or too tall is set smaller."""
    styles = _styles(lines, box, ink, rng)
    heights = [style.size * 1.18 for style in styles]
    room = box[3] - box[1] - sum(heights)
    gap = max(room, 0.0) / (len(lines) + 1)
    top = box[1] + gap * rng.uniform(0.4, 1.6) + min(room, 0.0) / 2
    glyphs: list[Glyph] = []
    for index, (line, style, height) in enumerate(zip(lines, styles, heights, strict=True)):
        free = max(box[2] - box[0] - sum(advances(line.text, style)), 0.0)
        left = box[0] + free * (0.5 if rng.random() < 0.7 else rng.random())
        glyphs += draw_line(canvas, line.text, style, left, top + height / 2, index)
        top += height + gap * rng.uniform(0.5, 1.0)
    return glyphs


def _styles(lines: Sequence[TextLine], box: Box, ink: Color, rng: Random) -> list[Style]:
    width, height = box[2] - box[0], box[3] - box[1]
    names = [_fit(line, width, 1.0, ink, rng) for line in lines if line.role == "name"]
    largest = max((style.size for style in names), default=_SIZES["name"][1])
    pending = iter(names)
    styles = []
    for line in lines:
        if line.role == "name":
            styles.append(next(pending))
        else:
            cap = largest * _SIZES[line.role][2]
            style = _fit(line, width, cap / _SIZES[line.role][1], ink, rng)
            styles.append(replace(style, outline=None))
    excess = sum(style.size * 1.18 for style in styles) / height
    if excess > 1:
        styles = [
            style if style.size < 24 else replace(style, size=max(24, int(style.size / excess)))
            for style in styles
        ]
    return styles


def _fit(line: TextLine, width: float, cap: float, ink: Color, rng: Random) -> Style:
    """A random style for one line that keeps it inside ``width`` pixels."""
    smallest, largest, _ = _SIZES[line.role]
    size = int(rng.integers(smallest, max(smallest, int(largest * min(cap, 1.0))) + 1))
    style = Style(
        size=size,
        weight=int(rng.integers(0 if size > 34 else 1, 4)),
        stretch=float(rng.uniform(0.85, 1.2)) if rng.random() < 0.5 else 1.0,
        tracking=float(rng.uniform(0, 5)) if rng.random() < 0.4 else 0.0,
        fill=ink if rng.random() < 0.8 else _near(ink, rng),
        outline=_near(ink, rng, 90) if size > 34 and rng.random() < 0.15 else None,
        shadow=_near((60, 60, 60), rng) if size > 26 and rng.random() < 0.25 else None,
    )
    needed = sum(advances(line.text, style))
    if needed > width:
        style = replace(style, tracking=0.0, stretch=1.0)
        needed = sum(advances(line.text, style))
    if needed > width:
        style = replace(style, size=max(15, int(style.size * width / needed)))
    return style


def _near(color: Color, rng: Random, reach: int = 30) -> Color:
    red, green, blue = np.clip(np.add(color, rng.integers(-reach, reach + 1, 3)), 0, 255).tolist()
    return red, green, blue


def _tilt(
    canvas: Image.Image, glyphs: Sequence[Glyph], rng: Random
) -> tuple[Image.Image, list[Glyph]]:
    """Looks at the scene from a slight angle; the glyph centres move along."""
    width, height = canvas.size
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)], dtype=np.float64)
    reach = np.array([width * 0.035, height * 0.06])
    target = corners + rng.uniform(-1, 1, (4, 2)) * reach
    backward = _homography(target, corners)
    picture = canvas.transform(
        canvas.size,
        Image.Transform.PERSPECTIVE,
        (backward / backward[2, 2]).ravel()[:8].tolist(),
        Image.Resampling.BILINEAR,
        fillcolor=_muted(rng),
    )
    forward = np.linalg.inv(backward)
    return picture, [_moved(glyph, forward) for glyph in glyphs]


def _homography(source: NDArray[Any], target: NDArray[Any]) -> NDArray[np.float64]:
    """The 3x3 matrix that maps four ``source`` points (x, y) onto four ``target`` points."""
    rows = []
    for (x, y), (u, v) in zip(source, target, strict=True):
        rows.append([x, y, 1, 0, 0, 0, -u * x, -u * y])
        rows.append([0, 0, 0, x, y, 1, -v * x, -v * y])
    solution = np.linalg.solve(np.array(rows), target.ravel())
    return np.append(solution, 1.0).reshape(3, 3)


def _moved(glyph: Glyph, matrix: NDArray[Any]) -> Glyph:
    half = glyph.height / 2
    points = np.array([(glyph.x, glyph.y + offset, 1.0) for offset in (-half, 0.0, half)])
    mapped = points @ matrix.T
    mapped = mapped[:, :2] / mapped[:, 2:]
    height = float(np.hypot(*(mapped[2] - mapped[0])))
    return replace(glyph, x=float(mapped[1, 0]), y=float(mapped[1, 1]), height=height)


def _soften(
    image: Image.Image, rng: Random, *, blur: float, noise: float, shade: float
) -> Image.Image:
    """Blur of up to ``blur`` px, uneven light of up to ``shade`` and grain of up to ``noise``."""
    if rng.random() < 0.6:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, blur)))
    width, height = image.size
    across, down = rng.uniform(-shade, shade, 2).astype(np.float32)
    light = (
        1.0
        + across * np.linspace(-1, 1, width, dtype=np.float32)[None, :]
        + down * np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    ) * np.float32(rng.uniform(1 - shade * 0.8, 1 + shade * 0.4))
    pixels = np.asarray(image, dtype=np.float32) * light[:, :, None]
    grain = rng.standard_normal((height, width, 1), dtype=np.float32)
    pixels += grain * np.float32(rng.uniform(0, noise))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
