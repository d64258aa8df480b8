"""Practice pages for the base model: drawn text with the place of every glyph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.demo.lexicon import (
    LATIN,
    english_words,
    lexicon_syllables,
    readable_characters,
    readable_syllables,
    words,
)
from core.demo.scenes import (
    Random,
    Sign,
    TextLine,
    photo_sign,
    plain_sign,
    primer_page,
    through_jpeg,
)
from core.demo.signboards import draw_name, phone_number, sign_lines

Level = Literal["primer", "page", "strip", "plain", "photo"]

_PAGE_SIZES = ((196, 140), (224, 140), (224, 168), (168, 168))
_TEST_SIZE = (280, 196)
_STRIP_SIZES = ((112, 56), (140, 56), (168, 56), (196, 56), (168, 84), (196, 84))
_SIGN_SIZES = ((224, 168), (252, 168), (252, 196), (280, 196), (308, 196), (336, 224))
_SIZES: dict[Level, tuple[tuple[int, int], ...]] = {
    "primer": _PAGE_SIZES,
    "page": _PAGE_SIZES,
    "strip": _STRIP_SIZES,
    "plain": _SIGN_SIZES,
    "photo": _SIGN_SIZES,
}


@dataclass(frozen=True, slots=True)
class PracticeBatch:
    """``images`` uint8 (batch, height, width, 3), their transcripts and one row per glyph.

    ``glyphs`` holds int64 columns: image, 28 px cell, quarter of the cell (0 to 3), character,
    previous character in reading order (both as indices into ``readable_characters()``, the
    count of characters standing for "none") and 1 where the glyph starts a word or line.
    ``heights`` is the type size of each glyph in pixels.
    """

    images: NDArray[np.uint8]
    transcripts: tuple[str, ...]
    glyphs: NDArray[np.int64]
    heights: NDArray[np.float32]


def practice_batch(level: Level, count: int, seed: Sequence[int]) -> PracticeBatch:
    """Draws ``count`` images of one size; the same arguments give the same batch."""
    rng = np.random.default_rng(list(seed))
    sizes = _SIZES[level]
    size = sizes[int(rng.integers(len(sizes)))]
    return as_batch([practice_sign(level, size, rng) for _ in range(count)])


def practice_sign(level: Level, size: tuple[int, int], rng: Random) -> Sign:
    """One picture of exactly ``size`` (width, height) pixels."""
    if level == "primer":
        return primer_page([_hangul(rng, 9) for _ in range(6)], size, rng)
    if level == "strip":
        return _strip(size, rng)
    if level == "page":
        return _page(size, rng)
    lines = _practice_lines(rng)
    if level == "plain":
        return plain_sign(lines, size, rng)
    native = (size[0] + int(rng.integers(-13, 14)), size[1] + int(rng.integers(-13, 14)))
    sign = photo_sign(lines, native, rng)
    return _resized(_through_file(sign, rng), size)


def reading_test(level: Level, count: int) -> PracticeBatch:
    """Signs that carry one whole validation name and nothing else; the same on every call."""
    rng = np.random.default_rng(7)
    signs = []
    for _ in range(count):
        lines = [TextLine(draw_name("validation", rng).korean, "name")]
        if level == "photo":
            signs.append(_through_file(photo_sign(lines, _TEST_SIZE, rng), rng))
        else:
            signs.append(plain_sign(lines, _TEST_SIZE, rng))
    return as_batch(signs)


def as_batch(signs: Sequence[Sign]) -> PracticeBatch:
    """Stacks signs of one size and lists their glyphs."""
    index = _character_index()
    rows, heights = [], []
    for image, sign in enumerate(signs):
        previous = len(index)
        width, height = sign.image.size
        for glyph, starts in zip(sign.glyphs, _starts(sign), strict=True):
            column = min(max(int(glyph.x // 14), 0), width // 14 - 1)
            row = min(max(int(glyph.y // 14), 0), height // 14 - 1)
            cell = (row // 2) * (width // 28) + column // 2
            quarter = (row % 2) * 2 + column % 2
            rows.append((image, cell, quarter, index[glyph.char], previous, starts))
            heights.append(glyph.height)
            previous = index[glyph.char]
    return PracticeBatch(
        images=np.stack([np.asarray(sign.image) for sign in signs]),
        transcripts=tuple(sign.transcript for sign in signs),
        glyphs=np.array(rows, dtype=np.int64),
        heights=np.array(heights, dtype=np.float32),
    )


@cache
def _character_index() -> dict[str, int]:
    return {char: position for position, char in enumerate(readable_characters())}


def _starts(sign: Sign) -> list[bool]:
    """For each glyph whether a space, or nothing, stands before it in the transcript."""
    text = " " + sign.transcript
    return [text[i - 1] == " " for i in range(1, len(text)) if text[i] != " "]


def _page(size: tuple[int, int], rng: Random) -> Sign:
    """A page full of lines, for as many glyphs per patch as possible."""
    pitch = rng.uniform(24, 64)
    count = max(1, round(size[1] / (pitch * 1.2)))
    length = max(1, round(size[0] / pitch * 0.95))
    lines = []
    for _ in range(count):
        if rng.random() < 0.2:
            text = _latin(rng, int(rng.integers(3, 1 + max(4, min(13, size[0] // 20)))))
            lines.append(TextLine(text, "english"))
        elif rng.random() < 0.15:
            lines.append(TextLine(phone_number(rng), "phone"))
        else:
            role: Literal["slogan", "name"] = "slogan" if pitch < 32 else "name"
            lines.append(TextLine(_hangul(rng, length), role))
    if rng.random() < 0.5:
        return plain_sign(lines, size, rng)
    return _through_file(plain_sign(lines, size, rng), rng)


def _strip(size: tuple[int, int], rng: Random) -> Sign:
    """One or two short lines on a small board: little to look at, all of it to be copied."""
    lines = []
    for _ in range(1 if size[1] < 84 or rng.random() < 0.3 else 2):
        if rng.random() < 0.15:
            lines.append(TextLine(_latin(rng, int(rng.integers(2, size[0] // 20))), "english"))
        else:
            lines.append(TextLine(_hangul(rng, int(rng.integers(2, size[0] // 28))), "name"))
    return plain_sign(lines, size, rng)


def _practice_lines(rng: Random) -> list[TextLine]:
    """The lines of a sign whose name may be any text."""
    lines = sign_lines(draw_name("train", rng), rng)
    if rng.random() < 0.3:
        lines = [line for line in lines if line.role == "name"]
    if rng.random() < 0.35:
        return lines
    replaced = []
    for line in lines:
        text = line.text
        if line.role in ("name", "slogan"):
            text = _hangul(rng, int(rng.integers(2, 8)))
        elif line.role == "english":
            text = _latin(rng, int(rng.integers(3, 12)))
        replaced.append(replace(line, text=text))
    return replaced


def _hangul(rng: Random, length: int) -> str:
    """About ``length`` syllables: real words, or syllables at random."""
    kind = rng.random()
    if kind < 0.25:
        text = ""
        while len(text) < length:
            text += words()[int(rng.integers(len(words())))]
        return text[: max(length, 2)]
    source = lexicon_syllables() if kind < 0.65 else readable_syllables()
    text = "".join(source[i] for i in rng.integers(0, len(source), length).tolist())
    if length > 4 and rng.random() < 0.2:
        cut = int(rng.integers(2, length - 1))
        text = f"{text[:cut]} {text[cut:]}"
    return text


def _latin(rng: Random, length: int) -> str:
    if rng.random() < 0.5:
        pick = rng.integers(0, len(english_words()), 2).tolist()
        return " ".join(english_words()[i] for i in pick)[:13].strip()
    letters = LATIN + "&.!-" if rng.random() < 0.2 else LATIN
    return "".join(letters[i] for i in rng.integers(0, len(letters), length).tolist())


def _through_file(sign: Sign, rng: Random) -> Sign:
    if rng.random() < 0.4:
        return sign
    return replace(sign, image=through_jpeg(sign.image, int(rng.integers(50, 96))))


def _resized(sign: Sign, size: tuple[int, int]) -> Sign:
    """The sign as the image processor brings it to a multiple of 28 pixels."""
    across, down = size[0] / sign.image.width, size[1] / sign.image.height
    glyphs = tuple(
        replace(glyph, x=glyph.x * across, y=glyph.y * down, height=glyph.height * down)
        for glyph in sign.glyphs
    )
    return replace(sign, image=sign.image.resize(size, Image.Resampling.BICUBIC), glyphs=glyphs)
