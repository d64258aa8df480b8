"""Photos as half cells: two pixels a cell, one above the other, in the colours of "▀"; pure."""

import warnings
from pathlib import Path

from PIL import Image, ImageOps
from textual.content import Content

from kocr_tui.widgets import ink

HALF = "▀"
# Fewer colours make longer runs of one style, and so fewer bytes over a slow line.
COLOURS = 48


class PhotoError(Exception):
    """A photo that can't be shown; ``gone`` says that there is no such file."""

    def __init__(self, gone: bool) -> None:
        super().__init__()
        self.gone = gone


def read_photo(path: str, columns: int, rows: int) -> list[Content]:
    """The photo, upright, in at most ``columns`` x ``rows`` cells; raises PhotoError."""
    file = Path(path)
    if not file.is_file():
        raise PhotoError(gone=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(file) as image:
                small = _small(image, columns, rows * 2)
    # Pillow's readers raise all kinds of errors on broken files.
    except Exception as error:
        raise PhotoError(gone=False) from error
    return half_cells(small)


def _small(image: Image.Image, width: int, height: int) -> Image.Image:
    edge = 2 * max(width, height)
    image.draft("RGB", (edge, edge))
    image.thumbnail((edge, edge), Image.Resampling.BOX)
    upright = ImageOps.exif_transpose(image)
    if upright.has_transparency_data:
        upright = upright.convert("RGBA")
        white = Image.new("RGBA", upright.size, "white")
        upright = Image.alpha_composite(white, upright)
    return ImageOps.contain(upright.convert("RGB"), (width, height))


def half_cells(image: Image.Image) -> list[Content]:
    """An RGB image as rows of half cells; a last odd row of pixels is repeated."""
    few = image.quantize(COLOURS, dither=Image.Dither.NONE).convert("RGB")
    width, height = few.size
    pixels = few.tobytes()

    def colour(x: int, y: int) -> str:
        at = (min(y, height - 1) * width + x) * 3
        return f"#{pixels[at : at + 3].hex()}"

    return [
        _row([(colour(x, y), colour(x, y + 1)) for x in range(width)]) for y in range(0, height, 2)
    ]


def _row(cells: list[tuple[str, str]]) -> Content:
    pieces: list[ink.Piece] = []
    run = 0
    for at, cell in enumerate(cells):
        if at + 1 == len(cells) or cells[at + 1] != cell:
            pieces.append((HALF * (at + 1 - run), f"{cell[0]} on {cell[1]}"))
            run = at + 1
    return ink.line(*pieces)
